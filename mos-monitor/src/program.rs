//! The handlers of one hook as they are walked: the events that somebody handles, with all above them, in the order in which
//! they are looked at.

use std::collections::HashMap;
use std::ops::Range;

use mos_core::event::Event;
use smallvec::SmallVec;

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
    /// Its handler; without one it is there for what is below it.
    pub(crate) handler: Option<u32>,
    /// Where to go on if it does not happen: behind all that is below it.
    pub(crate) skip: u32,
}

/// Events in the order of a walk: parents before children, siblings in the order in which they were registered, those that
/// filters raise after the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    nodes: Box<[Node]>,
    /// Where the built-in events stand.
    roots: [u32; Event::COUNT],
}

/// The place of an event that nobody handles.
const NOWHERE: u32 = u32::MAX;

impl Program {
    /// The program for these registrations, which are in the order in which they were made.
    pub(crate) fn new(registrations: impl Iterator<Item = (EventId, u32)>, forest: &Forest) -> Self {
        let mut tree = Tree::default();
        for (event, handler) in registrations {
            let index = tree.insert(event, forest);
            tree.branches[index].handler = Some(handler);
        }
        tree.flatten(forest)
    }

    pub(crate) fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    /// Where `event` and all that is below it stand.
    #[inline]
    pub(crate) fn root(&self, event: Event) -> Option<Range<usize>> {
        let start = self.roots[event.index()] as usize;
        self.nodes.get(start).map(|root| start..root.skip as usize)
    }

    /// The handler of `event`, if nothing is defined below it.
    #[inline]
    pub(crate) fn only(&self, event: Event) -> Option<u32> {
        let start = self.roots[event.index()];
        self.nodes.get(start as usize).filter(|root| root.skip == start + 1)?.handler
    }
}

/// What filters have raised in a walk.
pub(crate) type Raised = SmallVec<[UserEvent; 4]>;

#[derive(Debug)]
struct Branch {
    event: EventId,
    handler: Option<u32>,
    children: Vec<usize>,
}

#[derive(Debug, Default)]
struct Tree {
    branches: Vec<Branch>,
    places: HashMap<EventId, usize>,
    roots: Vec<usize>,
}

impl Tree {
    /// The place of `event`, made with all above it if need be.
    fn insert(&mut self, event: EventId, forest: &Forest) -> usize {
        // From the event upwards as far as anything is new; then the new ones are hung in, from above.
        let mut path = Vec::new();
        let mut at = event;
        while !self.places.contains_key(&at) {
            path.push(at);
            match at {
                EventId::Builtin(_) => break,
                EventId::User(user) => at = forest.parent(user),
            }
        }
        for event in path.into_iter().rev() {
            let index = self.branches.len();
            self.branches.push(Branch { event, handler: None, children: Vec::new() });
            self.places.insert(event, index);
            match event {
                EventId::Builtin(_) => self.roots.push(index),
                EventId::User(user) => {
                    let parent = self.places[&forest.parent(user)];
                    self.branches[parent].children.push(index);
                }
            }
        }
        self.places[&event]
    }

    fn flatten(mut self, forest: &Forest) -> Program {
        let raised = |branch: &Branch| matches!(branch.event, EventId::User(user) if forest.is_raised(user));
        let mut nodes = Vec::with_capacity(self.branches.len());
        let mut roots = [NOWHERE; Event::COUNT];
        for root in std::mem::take(&mut self.roots) {
            if let EventId::Builtin(event) = self.branches[root].event {
                roots[event.index()] = nodes.len() as u32;
            }
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
    use super::*;

    #[test]
    fn parents_come_first_and_siblings_in_order_of_registration() {
        let mut forest = Forest::new(1);
        let packet = EventId::Builtin(Event::PktIn);
        let [a, b] = [(); 2].map(|()| forest.define(packet, false, None));
        let alarm = forest.define(packet, true, None);
        let inner = forest.define(a.into(), false, None);
        let program = Program::new(
            [(EventId::User(b), 1), (alarm.into(), 2), (inner.into(), 3), (packet, 4)].into_iter(),
            &forest,
        );
        let order: Vec<_> = program.nodes.iter().map(|node| (node.event.number(), node.handler)).collect();
        assert_eq!(
            order,
            [
                (1, Some(4)),
                (b.number(), Some(1)),
                (a.number(), None),
                (inner.number(), Some(3)),
                (alarm.number(), Some(2))
            ]
        );
        assert_eq!(program.root(Event::PktIn), Some(0..5));
        assert_eq!(program.root(Event::Rexmit), None);
        assert_eq!(program.nodes.iter().map(|node| node.skip).collect::<Vec<_>>(), [5, 2, 4, 4, 5]);
    }

    #[test]
    fn nesting_has_no_limit() {
        let mut forest = Forest::new(1);
        let mut event = EventId::Builtin(Event::NewData);
        for _ in 0..100_000 {
            event = forest.define(event, false, None).into();
        }
        let program = Program::new([(event, 0)].into_iter(), &forest);
        assert_eq!(program.root(Event::NewData), Some(0..100_001));
    }
}
