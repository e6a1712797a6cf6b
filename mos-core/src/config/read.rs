//! From text to configuration. A fault does not end the reading, and is reported once: what follows from it is not.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::entry::Tables;
use super::error::{Diagnostics, Notes, Place, Problem};
use super::file::{Application, Machine, MosConf};
use super::keys::{Block, KEYS, Key, KeySpec};
use super::lex::{Piece, Text, pieces};
use super::near::nearest;
use super::settings::Settings;
use super::text::{Quoted, words};
use super::value;

/// The most applications that C programs can be told of (`mtcp_conf.app_argv`).
const MAX_APPLICATIONS: usize = 20;

/// Reads a file.
pub(super) fn read(file: &str, text: &str, machine: Machine<'_>) -> Result<MosConf, Diagnostics> {
    let pieces = pieces(text);
    let count = |is: fn(&Piece<'_>) -> bool| pieces.iter().filter(|piece| is(piece)).count();
    let opened = count(|piece| matches!(piece, Piece::Open { .. }));
    let closed = count(|piece| matches!(piece, Piece::Close(_)));
    let mut reader = Reader {
        machine,
        notes: Notes::default(),
        open: Vec::new(),
        unclosed: opened.saturating_sub(closed),
        unopened: closed.saturating_sub(opened),
        firsts: [None; Block::ALL.len()],
        applications: Vec::new(),
        mos: Section::default(),
        tables: Tables::default(),
    };
    for piece in pieces {
        match piece {
            Piece::Line(line) => reader.line(line),
            Piece::Open { name, brace } => reader.open(name, brace),
            Piece::Close(brace) => reader.close(brace),
        }
    }
    reader.finish(file)
}

/// A block that is open.
#[derive(Clone, Copy)]
struct Open {
    /// `None`: nobody knows it, so nothing in it is looked at.
    block: Option<Block>,
    place: Place,
}

/// A key that is given, right or wrong.
#[derive(Clone, Copy)]
struct Given<'t> {
    key: Key,
    /// By which of its names.
    name: &'static str,
    place: Place,
    value: Text<'t>,
}

/// The keys of a block that are given, right or wrong.
#[derive(Default)]
struct Section<'t> {
    settings: Settings,
    given: Vec<Given<'t>>,
    /// The keys that unknown ones look like.
    meant: Vec<Key>,
    place: Option<Place>,
}

impl Section<'_> {
    fn given(&self, key: Key) -> Option<&Given<'_>> {
        self.given.iter().find(|given| given.key == key)
    }

    /// Whether a key is given, or what looks like it: the latter is a fault already.
    fn has(&self, key: Key) -> bool {
        self.given(key).is_some() || self.meant.contains(&key)
    }
}

struct Reader<'t, 'm> {
    machine: Machine<'m>,
    notes: Notes,
    open: Vec<Open>,
    /// How many blocks are never closed, and how many closing braces have no block: which of two ways a file can be read is
    /// right depends on it.
    unclosed: usize,
    unopened: usize,
    /// Where the first block of each kind begins.
    firsts: [Option<Place>; Block::ALL.len()],
    applications: Vec<Section<'t>>,
    mos: Section<'t>,
    tables: Tables<'t>,
}

impl<'t> Reader<'t, '_> {
    fn open(&mut self, name: Text<'t>, brace: Place) {
        if self.is_skipping() {
            self.open.push(Open { block: None, place: name.place });
            return;
        }
        let mut name_words = words(name.text);
        let Some(first) = name_words.next() else {
            let why = "`{` has no name before it: allowed are names of blocks".into();
            self.notes.add(brace, Problem::Brace { why });
            self.open.push(Open { block: None, place: brace });
            return;
        };
        let Some(block) = Block::named(first.text) else {
            let near = nearest(first.text, Block::ALL.iter().map(|block| block.spec().name));
            self.notes.add(name.place, Problem::UnknownBlock { found: first.text.into(), near });
            // What was meant is likely what is missing.
            match near.and_then(Block::named).filter(|meant| self.firsts[*meant as usize].is_none()) {
                Some(meant) => self.begin(meant, name.place),
                None => self.open.push(Open { block: None, place: name.place }),
            }
            return;
        };
        if let Some(extra) = name_words.next() {
            let why = format!("found {} instead of `{{` after `{block}`", Quoted(extra.text));
            self.notes.add(name.place.of(extra), Problem::Brace { why });
        }
        self.begin(block, name.place);
    }

    fn begin(&mut self, block: Block, place: Place) {
        let parent = block.spec().parent;
        while self.current() != parent && self.unclosed > 0 && (parent.is_none() || self.is_inside(parent)) {
            // Whoever wrote this thought that the block was closed.
            let Some(open) = self.open.pop() else { break };
            self.unclosed -= 1;
            if let Some(before) = open.block {
                let why = format!("`}}` is missing before `{block}`: `{before}` of line {} is open", open.place.line);
                self.notes.add(place, Problem::Brace { why });
                self.end(before);
            }
        }
        if self.current() != parent {
            self.notes.add(place, Problem::Misplaced { found: block.spec().name, inside: parent });
        } else if let (Some(first), true) = (self.firsts[block as usize], block != Block::Application) {
            self.notes.add(place, Problem::Repeated { found: block.to_string(), first });
        }
        self.firsts[block as usize].get_or_insert(place);
        if block == Block::Application {
            self.applications.push(Section { place: Some(place), ..Section::default() });
            if self.applications.len() == MAX_APPLICATIONS + 1 {
                let why = format!("too many blocks `application`: allowed are {MAX_APPLICATIONS}");
                self.notes.add(place, Problem::Other(why));
            }
        }
        self.open.push(Open { block: Some(block), place });
    }

    fn close(&mut self, brace: Place) {
        match self.open.pop() {
            Some(Open { block: Some(block), .. }) => self.end(block),
            Some(_) => {}
            None => self.notes.add(brace, Problem::Brace { why: "`}` closes nothing".into() }),
        }
    }

    /// What must be in a block, now that it is over.
    fn end(&mut self, block: Block) {
        if block != Block::Application {
            return;
        }
        let Some(application) = self.applications.last() else { return };
        let Some(place) = application.place else { return };
        for spec in block.keys().filter(|spec| spec.required && !application.has(spec.key)) {
            let what = format!("`{}`: allowed is {}", spec.name, spec.kind);
            self.notes.add(place, Problem::Missing { what, inside: Some(block) });
        }
    }

    fn line(&mut self, line: Text<'t>) {
        if self.is_skipping() {
            return;
        }
        if let Some(block) = Block::named(line.text) {
            let why = format!("`{{` is missing after `{block}`");
            self.notes.add(line.end(), Problem::Brace { why });
            if self.unopened > 0 {
                self.unopened -= 1;
                self.begin(block, line.place);
            }
            return;
        }
        match self.current() {
            Some(block @ (Block::Mos | Block::Application)) => self.setting(block, line),
            Some(block) => self.tables.read(block, line, self.machine, &mut self.notes),
            None => {
                let key = line.split_at('=').and_then(|(key, _)| key_named(key.text));
                let problem = match key {
                    Some((spec, name)) => Problem::Misplaced { found: name, inside: Some(spec.block) },
                    None => Problem::OutsideBlocks { found: line.text.chars().take(100).collect() },
                };
                self.notes.add(line.place, problem);
            }
        }
    }

    fn setting(&mut self, block: Block, line: Text<'t>) {
        let Some((key, value)) = line.split_at('=') else {
            let first = words(line.text).next().map_or("", |word| word.text);
            let (place, why) = match key_named(first) {
                Some((_, name)) => {
                    let place = line.place.after(name.len());
                    (place, format!("`=` is missing after `{name}`"))
                }
                None => (line.place, format!("{} has no `=`", Quoted(line.text))),
            };
            self.notes.add(place, bad_line(block, why));
            if let (Some((spec, name)), Some(section)) = (key_named(first), self.section(block)) {
                // The key is there all the same.
                if section.given(spec.key).is_none() {
                    let value = Text { text: "", place };
                    section.given.push(Given { key: spec.key, name, place: line.place, value });
                }
            }
            return;
        };
        if key.text.is_empty() {
            self.notes.add(line.place, bad_line(block, "the key is missing before `=`".into()));
            return;
        }
        let Some((spec, name)) = key_named(key.text) else {
            let near = nearest(key.text, block.keys().flat_map(KeySpec::names));
            let found: String = key.text.chars().take(100).collect();
            self.notes.add(key.place, Problem::UnknownKey { found, block, near });
            if let (Some((meant, _)), Some(section)) = (near.and_then(key_named), self.section(block))
                && !section.has(meant.key)
            {
                section.meant.push(meant.key);
            }
            return;
        };
        if spec.block != block {
            self.notes.add(key.place, Problem::Misplaced { found: name, inside: Some(spec.block) });
            return;
        }
        let Some(section) = self.section(block) else { return };
        if let Some(&Given { name: first_name, place: first, .. }) = section.given(spec.key) {
            let problem = if first_name == name {
                Problem::Repeated { found: name.into(), first }
            } else {
                Problem::OtherName { found: name, other: first_name, first }
            };
            self.notes.add(key.place, problem);
            return;
        }
        section.given.push(Given { key: spec.key, name, place: key.place, value });
        match value::read(spec.key, value.text) {
            Ok(read) => section.settings.set(spec.key, read, key.place),
            Err((after, problem)) => self.notes.add(value.place.after(after), problem),
        }
    }

    fn section(&mut self, block: Block) -> Option<&mut Section<'t>> {
        if block == Block::Mos { Some(&mut self.mos) } else { self.applications.last_mut() }
    }

    /// The block of this line.
    fn current(&self) -> Option<Block> {
        self.open.last().and_then(|open| open.block)
    }

    fn is_skipping(&self) -> bool {
        self.open.last().is_some_and(|open| open.block.is_none())
    }

    fn is_inside(&self, block: Option<Block>) -> bool {
        self.open.iter().any(|open| open.block == block)
    }

    fn finish(mut self, file: &str) -> Result<MosConf, Diagnostics> {
        while let Some(open) = self.open.pop() {
            let why = "the block is never closed: `}` is missing".into();
            self.notes.add(open.place, Problem::Brace { why });
            if let Some(block) = open.block {
                self.end(block);
            }
        }
        self.missing();
        let (routes, forward_pairs) = if self.tables.names_devices() {
            self.stat_print();
            self.tables.resolve(&mut self.notes)
        } else {
            Default::default()
        };
        let Self { notes, applications, mos, tables, .. } = self;
        notes.finish(file, || MosConf {
            file: file.into(),
            applications: applications
                .into_iter()
                .filter_map(|section| Some(Application { settings: section.settings, place: section.place? }))
                .collect(),
            settings: mos.settings,
            devices: tables.devices,
            arp_entries: tables.arp_entries,
            routes,
            forward_pairs,
        })
    }

    /// Notes the blocks that must be there and are not.
    fn missing(&mut self) {
        let is_there = |block| self.firsts[block as usize].is_some();
        let required = Block::ALL.into_iter().filter(|block| block.spec().required && !is_there(*block));
        // Without a block its children are missing, too; that need not be said.
        let lacking = required.filter(|block| block.spec().parent.is_none_or(is_there));
        for block in lacking {
            let parent = block.spec().parent;
            let place = parent.and_then(|parent| self.firsts[parent as usize]);
            let what = format!("a block `{block} {{ }}`");
            let place = place.unwrap_or(Place { line: 1, column: 1 });
            self.notes.add(place, Problem::Missing { what, inside: parent });
        }
        if let (Some(place), false) = (self.firsts[Block::Netdev as usize], self.tables.names_devices()) {
            let what = format!("a device, such as `{}`", Block::Netdev.spec().example);
            self.notes.add(place, Problem::Missing { what, inside: Some(Block::Netdev) });
        }
    }

    /// Notes what `stat_print` names and no device is called.
    fn stat_print(&mut self) {
        let Some(&Given { value, .. }) = self.mos.given(Key::StatPrint) else { return };
        for word in words(value.text) {
            if let Err(problem) = self.tables.begins(word.text) {
                self.notes.add(value.place.of(word), problem);
            }
        }
    }
}

/// The key of this name, and the name.
fn key_named(name: &str) -> Option<(&'static KeySpec, &'static str)> {
    KEYS.iter().find_map(|spec| spec.names().find(|known| *known == name).map(|known| (spec, known)))
}

fn bad_line(block: Block, why: String) -> Problem {
    Problem::BadLine { why, block }
}
