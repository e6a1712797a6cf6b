//! What a C compiler makes of the headers: the layout and the types that programs for mOS were built with, in every dialect and
//! order. Without a compiler these tests say that they were skipped.

mod compilers;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use compilers::{Dialect, Verdict};

const HEADERS: [&str; 4] = ["mtcp_api.h", "mtcp_epoll.h", "mos_api.h", "mtcp_util.h"];

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A source that includes these headers, and has something of its own to be a source at all.
fn including<'a>(headers: impl IntoIterator<Item = &'a str>) -> String {
    let lines: String = headers.into_iter().map(|header| format!("#include <{header}>\n")).collect();
    lines + "extern int nothing;\n"
}

/// All orders of some things.
fn orders<T: Copy>(things: &[T]) -> Vec<Vec<T>> {
    if things.is_empty() {
        return vec![vec![]];
    }
    let leading = |index: usize| {
        let others = [&things[..index], &things[index + 1..]].concat();
        orders(&others).into_iter().map(move |rest| [&[things[index]], &rest[..]].concat())
    };
    (0..things.len()).flat_map(leading).collect()
}

#[test]
fn layout_is_that_of_mos() {
    for dialect in Dialect::all() {
        dialect.compile(&file("tests/c/layout.c")).expect_success(&dialect);
    }
}

#[test]
fn checks_of_the_layout_can_fail() {
    for dialect in Dialect::all() {
        for check in ["VALUE(MOS_NULL, 1)", "SIZE(event_t, 4)", "MEMBER(filter_arg_t, int *, arg, 0)"] {
            let source = format!("#include <mos_api.h>\n#include \"check.h\"\n{check};\n");
            assert!(dialect.compile(&source).is_failure(), "{dialect}: {check} passes");
        }
    }
}

#[test]
fn functions_have_the_types_of_mos() {
    for dialect in Dialect::all() {
        dialect.compile(&file("tests/c/prototypes.c")).expect_success(&dialect);
    }
}

#[test]
fn headers_stand_alone() {
    for dialect in Dialect::all() {
        for header in HEADERS {
            dialect.compile(&including([header, header])).expect_success(&dialect);
        }
    }
}

#[test]
fn headers_go_together_in_any_order() {
    for dialect in Dialect::all().filter(Dialect::is_newest) {
        for order in orders(&HEADERS) {
            dialect.compile(&including(order)).expect_success(&dialect);
        }
    }
}

#[test]
fn headers_go_together_with_those_of_the_system() {
    let system =
        ["linux/tcp.h", "linux/if_ether.h", "netinet/ip.h", "netinet/if_ether.h", "net/ethernet.h", "sys/epoll.h"];
    for dialect in Dialect::all() {
        for header in system {
            dialect.compile(&including([header, "mos_api.h"])).expect_success(&dialect);
            dialect.compile(&including(["mos_api.h", header])).expect_success(&dialect);
        }
    }
}

#[test]
fn other_tcp_header_is_refused_with_a_reason() {
    for dialect in Dialect::all() {
        let Verdict::Refused { messages, .. } = dialect.compile(&including(["netinet/tcp.h", "mos_api.h"])) else {
            panic!("{dialect}: two definitions of the TCP states pass");
        };
        assert!(messages.contains("include <linux/tcp.h> instead"), "{dialect}: {messages}");
    }
}

#[test]
fn programs_compile_as_they_are() {
    for dialect in Dialect::of_programs() {
        dialect.compile(&file("tests/c/program.c")).expect_success(&dialect);
    }
}

/// What is exported is what is declared, and the three that no header declares.
#[test]
fn version_script_names_every_function() {
    let declared: BTreeSet<_> =
        HEADERS.iter().flat_map(|header| functions(&file(&format!("include/{header}")))).collect();
    let undeclared = ["GetNumCPUs", "mtcp_get_debug_string", "mtcp_set_debug_string"].map(String::from);
    let expected: BTreeSet<_> = declared.into_iter().chain(undeclared).collect();

    let script = without_comments(&file("mos.map"));
    let (_, names) = script.split_once("global:").expect("the script exports something");
    let (names, _) = names.split_once("local:").expect("the script hides the rest");
    let exported: BTreeSet<_> =
        names.split(';').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();

    assert_eq!(exported, expected);
}

/// The names that a header declares as functions: what stands right before a parenthesis.
fn functions(header: &str) -> Vec<String> {
    let header = without_comments(header);
    let code = header.lines().filter(|line| !line.starts_with('#'));
    code.flat_map(|line| line.match_indices('(').map(|(at, _)| &line[..at]))
        .map(|before| before.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default())
        .filter(|name| name.starts_with(|c: char| c.is_ascii_alphabetic()))
        .map(str::to_owned)
        .collect()
}

fn without_comments(source: &str) -> String {
    let mut pieces = source.split("/*");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |code, piece| code + piece.split_once("*/").map_or("", |(_, rest)| rest))
}
