//! What is generated is what is committed; pages, headers and the list of exported names agree; and troff and a C compiler, if there
//! are any, have nothing to say.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use super::source::{Block, Common, Page};
use super::{generate, read, roff, stale};
use crate::tree;

/// No function, but the page from which to begin.
const OVERVIEW: &str = "libmos";

/// Functions that no header declares.
const UNDECLARED: [&str; 3] = ["GetNumCPUs", "mtcp_get_debug_string", "mtcp_set_debug_string"];

fn capi() -> PathBuf {
    tree::capi()
}

fn pages() -> Vec<Page> {
    read(&capi().join("man")).unwrap()
}

fn page_of(text: &str) -> anyhow::Result<Page> {
    let common = "# Common\n\nFor readers.\n\n## EACCES\n\n`EACCES`\n: No.\n";
    let common = Common::parse(Path::new("common.md"), common).unwrap();
    Page::parse(Path::new("f.md"), text, &common)
}

/// A page with this description.
fn description(text: &str) -> String {
    let text = format!(
        "# f(3)\n\n## NAME\nf, g - do\n\n## SYNOPSIS\n```c\nint f(int *a, char b[2]);\nint g(void);\n```\n\n## DESCRIPTION\n{text}\n\
         \n## SEE ALSO\ng(3)\n"
    );
    let page = roff::page(&page_of(&text).unwrap());
    let start = page.find(".SH \"DESCRIPTION\"\n").unwrap() + ".SH \"DESCRIPTION\"\n".len();
    page[start..page.find(".SH \"SEE ALSO\"").unwrap()].to_owned()
}

/// Says so past the test harness, which keeps what tests print to itself as long as they pass.
fn skipped(what: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}");
}

/// Says so if a program is not here.
fn is_there(program: &str, what: &str) -> bool {
    let found = env::split_paths(&env::var_os("PATH").unwrap_or_default()).any(|folder| folder.join(program).is_file());
    if !found {
        skipped(&format!("{what}: there is no {program}"));
    }
    found
}

/// The headers by their names. Says so if there are none.
fn headers() -> Option<BTreeMap<String, String>> {
    let folder = capi().join("include");
    let Ok(entries) = fs::read_dir(&folder) else {
        skipped(&format!("pages against headers: there is no {}", folder.display()));
        return None;
    };
    let named =
        |path: PathBuf| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap());
    let headers: BTreeMap<_, _> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "h"))
        .map(named)
        .collect();
    assert!(!headers.is_empty(), "{} is empty", folder.display());
    Some(headers)
}

#[test]
fn pages_are_what_their_texts_say() {
    let pages = generate(&capi().join("man")).unwrap();
    let stale = stale(&pages, &tree::man_pages()).unwrap();
    assert!(stale.is_empty(), "run `cargo run -p xtask -- man`: {stale:?}");
}

#[test]
fn pages_and_headers_have_the_same_functions() {
    let Some(headers) = headers() else { return };
    let described: BTreeSet<_> =
        pages().into_iter().flat_map(|page| page.names).filter(|name| name != OVERVIEW).collect();
    let declared = headers.values().flat_map(|header| declarations(header)).map(|(name, _)| name);
    let known: BTreeSet<_> = declared.chain(UNDECLARED.map(str::to_owned)).collect();
    assert_eq!(described, known);
    let Ok(map) = fs::read_to_string(capi().join("mos.map")) else {
        skipped("pages against what the library exports: there is no mos.map");
        return;
    };
    let map = without_comments(&map);
    let (_, map) = map.split_once("global:").unwrap();
    let (map, _) = map.split_once("local:").unwrap();
    let exported: BTreeSet<_> =
        map.split(';').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
    assert_eq!(described, exported);
}

/// SYNOPSIS names the header that declares a function, and has its types.
#[test]
fn prototypes_are_those_of_the_headers() {
    let Some(headers) = headers() else { return };
    let mut declared = BTreeMap::new();
    for (file, header) in &headers {
        for (name, declaration) in declarations(header) {
            declared.insert(name, (format!("#include <{file}>"), declaration));
        }
    }
    for page in pages().iter().filter(|page| page.names[0] != OVERVIEW) {
        let code = code_of(page, "SYNOPSIS").join("\n");
        let synopsis: BTreeMap<_, _> = declarations(&code).into_iter().collect();
        assert!(synopsis.keys().eq(page.names.iter().collect::<BTreeSet<_>>()), "{}: {synopsis:?}", page.file);
        for (name, declaration) in &synopsis {
            if let Some((include, known)) = declared.get(name) {
                assert_eq!(declaration, known, "{name}");
                assert!(code.contains(include), "{name}: {include}");
            }
        }
    }
}

#[test]
fn references_lead_somewhere() {
    const OTHERS: [&str; 10] = [
        "exit(3)",
        "longjmp(3)",
        "open(2)",
        "pcap-filter(7)",
        "pipe(2)",
        "read(2)",
        "sched_setaffinity(2)",
        "signal(2)",
        "signal-safety(7)",
        "sysconf(3)",
    ];
    let pages = generate(&capi().join("man")).unwrap();
    for (file, page) in &pages {
        for part in page.replace("\\%", "").split("\\fB").skip(1) {
            let Some((name, rest)) = part.split_once("\\fR(") else { continue };
            let Some((section @ ("2" | "3" | "7"), _)) = rest.split_at_checked(1) else { continue };
            let name = name.replace("\\-", "-");
            let reference = format!("{name}({section})");
            let known = pages.contains_key(&format!("{name}.{section}"));
            assert!(known || OTHERS.contains(&reference.as_str()), "{file}: {reference}");
        }
    }
}

#[test]
fn troff_has_no_warnings() {
    if !["groff", "tbl"].iter().all(|program| is_there(program, "pages through troff")) {
        return;
    }
    for page in pages() {
        let path = tree::man_pages().join(format!("{}.3", page.names[0]));
        // As wide as man(1) makes it on a terminal of 80 columns.
        let groff =
            Command::new("groff").args(["-man", "-t", "-ww", "-Tutf8", "-rLL=78n"]).arg(&path).output().unwrap();
        let said = String::from_utf8_lossy(&groff.stderr);
        assert!(groff.status.success() && said.is_empty(), "{}: {said}", page.names[0]);
        assert!(groff.stdout.len() > 500, "{}: {} bytes", page.names[0], groff.stdout.len());
    }
}

#[test]
fn examples_compile() {
    if headers().is_none() || !is_there("cc", "examples of pages") {
        return;
    }
    for page in pages() {
        let code = code_of(&page, "EXAMPLE");
        if !code.iter().any(|line| line.starts_with("#include")) {
            continue;
        }
        let mut cc = Command::new("cc")
            .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c", "-I"])
            .args([capi().join("include"), "-".into()])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        cc.stdin.take().unwrap().write_all((code.join("\n") + "\n").as_bytes()).unwrap();
        assert!(cc.wait().unwrap().success(), "{}", page.file);
    }
}

#[test]
fn text_to_roff() {
    assert_eq!(description("One.\n*Two* is -1.\n\nNon-zero."), "One.\n\\fI\\%Two\\fR is \\-1.\n.PP\nNon-zero.\n");
    assert_eq!(description("`a-b c` and **no `d`**"), "\\fB\\%a\\-b \\%c\\fR and \\fBno \\%d\\fR\n");
    assert_eq!(description("(`a`, `b`)"), "\\%(\\fBa\\fR, \\fB\\%b\\fR)\n");
    assert_eq!(description("2 * 3 and a*"), "2 * 3 and a*\n");
    assert_eq!(description("f(3), h(3)"), "\\fB\\%f\\fR(), \\fB\\%h\\fR(3)\n");
    assert_eq!(description("`T`\n`U`\n: V\n  w\n\n  x"), ".TP\n\\fB\\%T\\fR\n.TQ\n\\fB\\%U\\fR\nV\nw\n.IP\nx\n");
    assert_eq!(description("* a\n* b"), ".IP \\(bu 3\na\n.IP \\(bu 3\nb\n");
    assert_eq!(description("@EACCES"), ".TP\n\\fB\\%EACCES\\fR\nNo.\n");
    assert_eq!(description("```\n.a 'b\\n' -c\n```"), ".in +2n\n.EX\n\\&.a \\(aqb\\en\\(aq \\-c\n.EE\n.in\n");
    assert_eq!(description("| a | b |\n|---|---|\n| c | d |"), ".TS\nlb lb\nl lx.\na\tb\nc\tT{\n.na\nd\nT}\n.TE\n");
}

/// Nothing that a text says is taken for a request or an escape.
#[test]
fn text_is_not_roff() {
    assert_eq!(description(".so x\n'br"), "\\&.so x\n\\(aqbr\n");
    assert_eq!(description("\\n[x] ~ ^"), "\\en[x] \\(ti \\(ha\n");
}

#[test]
fn names_of_arguments_are_italic() {
    let text = "# f(3)\n\n## NAME\nf - do\n\n## SYNOPSIS\n```c\nint f(int *a, char b[2], void (*c)(void));\n```\n\n## DESCRIPTION\nd\n\n\
                ## SEE ALSO\nx\n";
    let page = roff::page(&page_of(text).unwrap());
    assert!(page.contains("\n\\fBint f(int *\\fIa\\fB, char \\fIb\\fB[2], void (*c)(void));\\fR\n"), "{page}");
}

#[test]
fn texts_that_are_wrong_are_refused() {
    let good = "# f(3)\n\n## NAME\nf - do\n\n## SYNOPSIS\nx\n\n## DESCRIPTION\nd\n\n## SEE ALSO\nx\n";
    page_of(good).unwrap();
    let wrong = [
        ("# f(3)", "# g(3)", "the page is called g"),
        ("f - do", "g - do", "NAME does not begin with f"),
        ("f - do", "f", "NAME is not"),
        ("## DESCRIPTION", "## OTHER", "sections"),
        ("## DESCRIPTION", "## SYNOPSIS", "sections"),
        ("## SEE ALSO\nx\n", "", "there is no SEE ALSO"),
        ("\nd\n", "\n@NONE\n", "there is no @NONE"),
        ("\nd\n", "\n```\nd\n", "the code has no end"),
        ("\nd\n", "\n: d\n", "nothing stands before"),
        ("\nd\n", "\n| a |\n| b |\n| c |\n", "no table"),
        ("\nd\n", "\n| a |\n|---|\n| b | c |\n", "different lengths"),
        ("\nd\n", "\nd\n\n## ERRORS\n`EB`\n: x\n\n`EA`\n: y\n", "`EB` stands before `EA`"),
        ("\nd\n", "\n\u{e4}\n", "not ASCII"),
    ];
    for (from, to, message) in wrong {
        let error = format!("{:#}", page_of(&good.replacen(from, to, 1)).unwrap_err());
        assert!(error.contains(message), "{message}: {error}");
    }
    let wide = format!("\n```\n{}\n```\n", "d".repeat(71));
    assert!(format!("{:#}", page_of(&good.replacen("\nd\n", &wide, 1)).unwrap_err()).contains("over 70 columns"));
}

/// The lines of code in a section.
fn code_of<'a>(page: &'a Page, section: &str) -> Vec<&'a str> {
    let blocks = page.sections.iter().filter(|(name, _)| name == section).flat_map(|(_, blocks)| blocks);
    let code = blocks.filter_map(|block| if let Block::Code(lines) = block { Some(lines) } else { None });
    code.flatten().map(String::as_str).collect()
}

/// The functions that C code declares, each with its types.
fn declarations(code: &str) -> Vec<(String, String)> {
    let code = without_comments(code);
    // Directives go over lines that end with a backslash.
    let code = code.replace("\\\n", " ");
    let lines: Vec<_> = code.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let code = lines.join("\n").replace("extern \"C\" {", "");
    let mut depth = 0;
    let mut outside = String::new();
    for char in code.chars() {
        match char {
            '{' => depth += 1,
            // That of extern "C" has no partner left.
            '}' => depth = i32::max(depth - 1, 0),
            _ if depth == 0 => outside.push(char),
            _ => {}
        }
    }
    outside.split(';').filter_map(prototype).collect()
}

fn without_comments(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some((before, after)) = rest.split_once("/*") {
        out.push_str(before);
        rest = after.split_once("*/").map_or("", |(_, after)| after);
    }
    out + rest
}

/// The name of a declared function, and its types without blanks that do not matter.
fn prototype(declaration: &str) -> Option<(String, String)> {
    let declaration = declaration.split_whitespace().collect::<Vec<_>>().join(" ");
    if ["typedef ", "struct ", "union ", "enum "].iter().any(|word| declaration.starts_with(word)) {
        return None;
    }
    let (head, arguments) = declaration.split_once('(')?;
    let arguments = arguments.rsplit_once(')')?.0;
    let start = head.rfind(|char: char| !is_word(char))? + 1;
    let (result, name) = head.split_at(start);
    let types: Vec<_> = arguments.split(',').map(without_name).collect();
    Some((name.to_owned(), format!("{}({})", tight(result), types.join(","))))
}

fn without_name(argument: &str) -> String {
    let argument = argument.trim();
    let (argument, array) = argument.find('[').map_or((argument, ""), |at| argument.split_at(at));
    let start = argument.rfind(|char: char| !is_word(char)).map_or(0, |at| at + 1);
    let is_type = start == 0 || ["int", "long", "char", "short", "unsigned"].contains(&&argument[start..]);
    let of = if is_type { argument } else { &argument[..start] };
    tight(of) + array
}

fn tight(text: &str) -> String {
    text.trim().replace(" *", "*")
}

fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_'
}
