//! Handlers as they are walked: the events that somebody handles, with all above them, in the order in which they are looked
//! at; and how far a walk has come.

use std::collections::HashMap;
use std::rc::Rc;

use mos_core::event::Interest;

use crate::event::{EventId, Forest, UserEvent};

/// An event in a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) event: EventId,
    /// Once its parent happens, it does if a filter has raised it in this walk: it has none of its own. (What is built in needs
    /// neither.)
    pub(crate) is_raised: bool,
    /// Its handler. [`NOBODY`] if it is there for what is below it only.
    pub(crate) handler: u32,
    /// So many nodes on the walk goes on if it does not happen: behind all that is below it.
    pub(crate) skip: u32,
}

/// Events in the order of a walk: parents before children, siblings in the order in which they were registered, those that
/// filters raise after the others. By the pairs of a hook and a built-in event, and their numbers (see [`Interest::PAIRS`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Program {
    pairs: [Rc<[Node]>; Interest::PAIRS],
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

    /// The event of a pair, if that has a handler, and all that is below it.
    pub(crate) fn nodes(&self, pair: usize) -> &Rc<[Node]> {
        &self.pairs[pair]
    }

    /// The handler of the built-in event of a pair, if there is nothing else for it.
    pub(crate) fn only(&self, pair: usize) -> Option<u32> {
        match *self.pairs[pair] {
            [Node { event: EventId::Builtin(_), handler, .. }] => Some(handler),
            _ => None,
        }
    }
}

/// What filters have raised in a walk.
pub(crate) type Raised = Vec<UserEvent>;

/// How far a walk over the nodes of a pair has come. Small enough to be handed back in a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(u32);

impl Place {
    /// In front of the node `at`, or behind the last one. `happens`: the filter there has been asked, and its event happens.
    #[inline]
    pub(crate) fn new(at: usize, happens: bool) -> Self {
        Self((at as u32) << 1 | u32::from(happens))
    }

    pub(crate) fn at(self) -> usize {
        self.0 as usize >> 1
    }

    pub(crate) fn happens(self) -> bool {
        self.0 & 1 != 0
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
        let mut program = Program::default();
        for (pair, root) in std::mem::take(&mut self.roots) {
            let mut nodes = Vec::new();
            // An own stack: nesting may be deeper than the thread's.
            let mut todo = vec![Step::Enter(root)];
            while let Some(step) = todo.pop() {
                match step {
                    Step::Enter(index) => {
                        let branch = &self.branches[index];
                        let is_user = matches!(branch.event, EventId::User(_));
                        // What happens anyway, and nobody handles, need not be looked at.
                        if is_user || branch.handler != NOBODY {
                            todo.push(Step::Leave(nodes.len()));
                            nodes.push(Node {
                                event: branch.event,
                                is_raised: raised(branch),
                                handler: branch.handler,
                                skip: 0,
                            });
                        }
                        let mut children = branch.children.clone();
                        children.sort_by_key(|child| raised(&self.branches[*child]));
                        todo.extend(children.into_iter().rev().map(Step::Enter));
                    }
                    Step::Leave(node) => nodes[node].skip = (nodes.len() - node) as u32,
                }
            }
            program.pairs[pair] = nodes.into();
        }
        program
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
        let nodes = program.nodes(5);
        let order: Vec<_> = nodes.iter().map(|node| (node.event.number(), node.handler)).collect();
        assert_eq!(order, [(1, 4), (b.number(), 1), (a.number(), NOBODY), (inner.number(), 3), (alarm.number(), 2)]);
        assert!(program.nodes(0).is_empty());
        assert_eq!(nodes.iter().map(|node| node.skip).collect::<Vec<_>>(), [5, 1, 2, 1, 1]);
    }

    #[test]
    fn a_built_in_event_without_a_handler_is_not_looked_at() {
        let mut forest = Forest::new(1);
        let event = forest.define(EventId::Builtin(Event::PktIn), false, None);
        let program = Program::new([(5, event.into(), 1)].into_iter(), &forest);
        assert_eq!(
            program.nodes(5).iter().map(|node| (node.event, node.skip)).collect::<Vec<_>>(),
            [(event.into(), 1)]
        );
        assert_eq!(program.only(5), None);
    }

    #[test]
    fn nesting_has_no_limit() {
        let mut forest = Forest::new(1);
        let mut event = EventId::Builtin(Event::NewData);
        for _ in 0..100_000 {
            event = forest.define(event, false, None).into();
        }
        let program = Program::new([(10, event, 0)].into_iter(), &forest);
        assert_eq!(program.nodes(10).len(), 100_000);
    }
}
