//! The manual pages: texts of `mos-monitor/capi/man/` to roff in `docs/man/`.
//!
//! A text is one page, named after the first function in its NAME section; the other functions named there get pages that
//! only point to it. [`source`] says how texts are written, [`roff`] how pages are. `common.md` has the descriptions
//! of errors that many pages share.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::tree;
use source::{Common, Page};

mod roff;
mod source;
#[cfg(test)]
mod tests;

/// Write the manual pages of the C library to docs/man.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write nothing; fail if a page is not what its text says
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let (texts, out) = (tree::capi().join("man"), tree::man_pages());
    let pages = generate(&texts)?;
    if args.check {
        let stale = stale(&pages, &out)?;
        if !stale.is_empty() {
            bail!("stale, run `cargo run -p xtask -- man`: {}", stale.join(", "));
        }
        return Ok(());
    }
    fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    for name in surplus(&pages, &out)? {
        fs::remove_file(out.join(&name)).with_context(|| name)?;
    }
    for (name, text) in &pages {
        fs::write(out.join(name), text).with_context(|| name.clone())?;
    }
    println!("{} pages in {}", pages.len(), out.display());
    Ok(())
}

/// All pages, by the names of their files.
fn generate(texts: &Path) -> Result<BTreeMap<String, String>> {
    let mut pages = BTreeMap::new();
    for page in read(texts)? {
        for alias in &page.names[1..] {
            add(&mut pages, alias, roff::alias(&page))?;
        }
        add(&mut pages, &page.names[0], roff::page(&page))?;
    }
    Ok(pages)
}

fn add(pages: &mut BTreeMap<String, String>, name: &str, text: String) -> Result<()> {
    if pages.insert(format!("{name}.3"), text).is_some() {
        bail!("two texts have {name} in their NAME sections");
    }
    Ok(())
}

/// The texts, in the order of their names.
fn read(texts: &Path) -> Result<Vec<Page>> {
    let common = texts.join("common.md");
    let common = Common::parse(&common, &text(&common)?)?;
    let mut paths = fs::read_dir(texts)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>())
        .with_context(|| texts.display().to_string())?;
    paths.retain(|path| path.extension().is_some_and(|end| end == "md") && !path.ends_with("common.md"));
    paths.sort();
    paths.iter().map(|path| Page::parse(path, &text(path)?, &common)).collect()
}

fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// Pages that are not there, or not what they should be; and files that should not be there.
fn stale(pages: &BTreeMap<String, String>, out: &Path) -> Result<Vec<String>> {
    let differs = |(name, text): (&String, &String)| {
        let there = fs::read_to_string(out.join(name));
        (there.ok().as_ref() != Some(text)).then(|| name.clone())
    };
    let mut stale: Vec<_> = pages.iter().filter_map(differs).collect();
    stale.extend(surplus(pages, out)?);
    Ok(stale)
}

/// Pages in `out` that no text makes.
fn surplus(pages: &BTreeMap<String, String>, out: &Path) -> Result<Vec<String>> {
    if !out.is_dir() {
        return Ok(Vec::new());
    }
    let mut surplus = Vec::new();
    for entry in fs::read_dir(out).with_context(|| out.display().to_string())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".3") && !pages.contains_key(&name) {
            surplus.push(name);
        }
    }
    surplus.sort();
    Ok(surplus)
}
