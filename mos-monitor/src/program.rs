//! Handlers as they are walked: the events that somebody handles, with all above them, in the order in which they are looked
//! at; and how far a walk has come.

use std::collections::HashMap;

use mos_core::event::Interest;

use crate::event::{EventId, Forest, UserEvent};

/// What lets an event happen, once its parent has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Nothing more: it is built in.
    Open,
    /// Its filter.
    Filter(UserEvent),
    /// A filter that has raised it in this walk.
    Raised(UserEvent),
}

/// An event in a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) event: EventId,
    pub(crate) gate: Gate,
    /// Its handler. [`NOBODY`] if it is there for what is below it only.
    pub(crate) handler: u32,
    /// Where to go on if it does not happen: behind all that is below it.
    pub(crate) skip: u32,
}

/// Events in the order of a walk: parents before children, siblings in the order in which they were registered, those that
/// filters raise after the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    nodes: Box<[Node]>,
    /// Where the pairs of a hook and a built-in event stand, by their numbers (see [`Interest::PAIRS`]).
    roots: [(u32, u32); Interest::PAIRS],
}

/// The handler of an event that has none.
const NOBODY: u32 = u32::MAX;

impl Program {
    /// The program for these registrations, which are in the order in which they were made: each the number of a pair, an
    /// event that is its built-in one or descends from that, and a handler.
    pub(crate) fn new(registrations: impl Iterator<Item = (usize, EventId, u32)>, forest: &Forest) -> Self {
        let mut tree = Tree::default();
        for (pair, event, handler) in registrations {
            let index = tree.insert(pair, event, forest);
            tree.branches[index].handler = handler;
        }
        tree.flatten(forest)
    }

    #[inline]
    pub(crate) fn node(&self, index: u32) -> &Node {
        &self.nodes[index as usize]
    }

    /// Where the event of a pair and all that is below it begin and end.
    #[inline]
    pub(crate) fn root(&self, pair: usize) -> (u32, u32) {
        self.roots[pair]
    }

    /// The built-in event of a pair, if there is anything for it.
    pub(crate) fn event(&self, pair: usize) -> Option<EventId> {
        let (start, end) = self.roots[pair];
        (start < end).then(|| self.node(start).event)
    }

    /// The handler of a pair, if there is nothing else for it.
    pub(crate) fn only(&self, pair: usize) -> Option<u32> {
        match self.roots[pair] {
            (start, end) if start + 1 == end => Some(self.node(start).handler).filter(|handler| *handler != NOBODY),
            _ => None,
        }
    }

    /// Where `walk` goes on, where the built-in event there ends, and whether the event there is known to happen.
    pub(crate) fn place(&self, walk: Walk) -> (u32, u32, bool) {
        if !walk.is_inside() {
            return (0, 0, false);
        }
        let at = walk.place >> 1;
        // It has passed the root: no two have the same places behind them.
        let end = self.roots.iter().find(|(start, end)| (start + 1..=*end).contains(&at)).map_or(at, |(_, end)| *end);
        (at, end, walk.place & 1 != 0)
    }
}

/// What filters have raised in a walk.
pub(crate) type Raised = Vec<UserEvent>;

/// How far a walk has come. Small enough to be handed to and fro in registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk {
    /// What is still to be told of what was raised.
    pub(crate) events: Interest,
    /// Twice the place that comes next, plus one if the filter there has been asked, and its event happens. 0 as long as no
    /// event with more than a handler was looked at: no walk stops in front of the first place.
    pub(crate) place: u32,
}

impl Walk {
    /// The end of a walk.
    pub(crate) const DONE: Self = Self::new(Interest::NONE);

    /// A walk over all `events`, which are of one hook.
    #[inline]
    pub(crate) const fn new(events: Interest) -> Self {
        Self { events, place: 0 }
    }

    /// A walk that has come to the node `at`.
    pub(crate) fn inside(events: Interest, at: u32, happens: bool) -> Self {
        Self { events, place: at << 1 | u32::from(happens) }
    }

    /// Whether it has come to a node.
    #[inline]
    pub(crate) fn is_inside(self) -> bool {
        self.place != 0
    }
}

#[derive(Debug)]
struct Branch {
    event: EventId,
    handler: u32,
    children: Vec<usize>,
}

#[derive(Debug, Default)]
struct Tree {
    branches: Vec<Branch>,
    places: HashMap<(usize, EventId), usize>,
    /// With the pairs that they stand for.
    roots: Vec<(usize, usize)>,
}

impl Tree {
    /// The place of `event` below the root of `pair`, made with all above it if need be.
    fn insert(&mut self, pair: usize, event: EventId, forest: &Forest) -> usize {
        // From the event upwards as far as anything is new; then the new ones are hung in, from above.
        let mut path = Vec::new();
        let mut at = event;
        while !self.places.contains_key(&(pair, at)) {
            path.push(at);
            match at {
                EventId::Builtin(_) => break,
                EventId::User(user) => at = forest.parent(user),
            }
        }
        for event in path.into_iter().rev() {
            let index = self.branches.len();
            self.branches.push(Branch { event, handler: NOBODY, children: Vec::new() });
            self.places.insert((pair, event), index);
            match event {
                EventId::Builtin(_) => self.roots.push((pair, index)),
                EventId::User(user) => {
                    let parent = self.places[&(pair, forest.parent(user))];
                    self.branches[parent].children.push(index);
                }
            }
        }
        self.places[&(pair, event)]
    }

    fn flatten(mut self, forest: &Forest) -> Program {
        let raised = |branch: &Branch| matches!(branch.event, EventId::User(user) if forest.is_raised(user));
        let mut nodes = Vec::with_capacity(self.branches.len());
        let mut roots = [(0, 0); Interest::PAIRS];
        for (pair, root) in std::mem::take(&mut self.roots) {
            let start = nodes.len() as u32;
            // An own stack: nesting may be deeper than the thread's.
            let mut todo = vec![Step::Enter(root)];
            while let Some(step) = todo.pop() {
                match step {
                    Step::Enter(index) => {
                        let branch = &self.branches[index];
                        let gate = match branch.event {
                            EventId::Builtin(_) => Gate::Open,
                            EventId::User(user) if forest.is_raised(user) => Gate::Raised(user),
                            EventId::User(user) => Gate::Filter(user),
                        };
                        todo.push(Step::Leave(nodes.len()));
                        nodes.push(Node { event: branch.event, gate, handler: branch.handler, skip: 0 });
                        let mut children = branch.children.clone();
                        children.sort_by_key(|child| raised(&self.branches[*child]));
                        todo.extend(children.into_iter().rev().map(Step::Enter));
                    }
                    Step::Leave(node) => nodes[node].skip = nodes.len() as u32,
                }
            }
            roots[pair] = (start, nodes.len() as u32);
        }
        Program { nodes: nodes.into(), roots }
    }
}

enum Step {
    Enter(usize),
    Leave(usize),
}

#[cfg(test)]
mod tests {
    use mos_core::event::Event;

    use super::*;

    #[test]
    fn parents_come_first_and_siblings_in_order_of_registration() {
        let mut forest = Forest::new(1);
        let packet = EventId::Builtin(Event::PktIn);
        let [a, b] = [(); 2].map(|()| forest.define(packet, false, None));
        let alarm = forest.define(packet, true, None);
        let inner = forest.define(a.into(), false, None);
        let program = Program::new(
            [(5, EventId::User(b), 1), (5, alarm.into(), 2), (5, inner.into(), 3), (5, packet, 4)].into_iter(),
            &forest,
        );
        let order: Vec<_> = program.nodes.iter().map(|node| (node.event.number(), node.handler)).collect();
        assert_eq!(order, [(1, 4), (b.number(), 1), (a.number(), NOBODY), (inner.number(), 3), (alarm.number(), 2)]);
        assert_eq!(program.root(5), (0, 5));
        assert_eq!(program.root(0), (0, 0));
        assert_eq!(program.nodes.iter().map(|node| node.skip).collect::<Vec<_>>(), [5, 2, 4, 4, 5]);
    }

    #[test]
    fn nesting_has_no_limit() {
        let mut forest = Forest::new(1);
        let mut event = EventId::Builtin(Event::NewData);
        for _ in 0..100_000 {
            event = forest.define(event, false, None).into();
        }
        let program = Program::new([(10, event, 0)].into_iter(), &forest);
        assert_eq!(program.root(10), (0, 100_001));
    }
}
