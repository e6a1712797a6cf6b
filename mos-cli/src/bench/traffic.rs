//! What is measured on one core: a trace, or flows that are made up as it goes on.

use super::live::LiveFlows;
use super::{Counts, Trace};

/// What the packets of a chunk do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing but open flows.
    Opening,
    /// All else.
    Packets,
}

/// Packets that are in memory, to be measured without a pause.
#[derive(Debug)]
pub(crate) struct Chunk<'a> {
    pub(crate) phase: Phase,
    pub(crate) trace: &'a mut Trace,
}

/// The traffic of one core.
#[derive(Debug)]
pub(crate) enum Traffic {
    /// A trace, in one chunk.
    Trace { trace: Trace, counts: Option<Counts>, is_over: bool },
    /// Flows that stay.
    Live(LiveFlows),
}

impl Traffic {
    /// A trace, and what is in it, if that is known.
    pub(crate) fn trace(trace: Trace, counts: Option<Counts>) -> Self {
        Self::Trace { trace, counts, is_over: false }
    }

    /// The trace, if it is one.
    pub(crate) fn as_trace(&self) -> Option<&Trace> {
        match self {
            Self::Trace { trace, .. } => Some(trace),
            Self::Live(_) => None,
        }
    }

    /// Begins a run.
    pub(crate) fn rewind(&mut self) {
        match self {
            Self::Trace { is_over, .. } => *is_over = false,
            Self::Live(flows) => flows.rewind(),
        }
    }

    /// How many chunks a run has.
    pub(crate) fn chunks(&self) -> usize {
        match self {
            Self::Trace { .. } => 1,
            Self::Live(flows) => flows.chunks(),
        }
    }

    /// The next packets of this run.
    pub(crate) fn next(&mut self) -> Option<Chunk<'_>> {
        match self {
            Self::Trace { is_over: true, .. } => None,
            Self::Trace { trace, is_over, .. } => {
                *is_over = true;
                Some(Chunk { phase: Phase::Packets, trace })
            }
            Self::Live(flows) => flows.next(),
        }
    }

    /// What this run had up to now, if that is known.
    pub(crate) fn counts(&self) -> Option<Counts> {
        match self {
            Self::Trace { counts, .. } => *counts,
            Self::Live(flows) => Some(flows.counts()),
        }
    }

    /// Whether the end of all flows is part of what is measured: it is where every packet is.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self, Self::Trace { .. })
    }

    /// Bytes of memory that the packets take up.
    pub(crate) fn memory_bytes(&self) -> usize {
        match self {
            Self::Trace { trace, .. } => trace.memory_bytes(),
            Self::Live(flows) => flows.memory_bytes(),
        }
    }
}
