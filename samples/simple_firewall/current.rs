//! The rules in force with their counters, and how cores get to know of new ones.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::rules::Rules;
use super::{Count, table};

/// Rules, and how often each has decided.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) rules: Rules,
    /// One for each rule, and one for what no rule matches.
    counters: Box<[Counter]>,
}

#[derive(Debug, Default)]
pub(super) struct Counter {
    pub(super) flows: AtomicU64,
    pub(super) packets: AtomicU64,
}

impl Counted {
    fn new(rules: Rules) -> Self {
        let counters = (0..=rules.list().len()).map(|_| Counter::default()).collect();
        Self { rules, counters }
    }

    /// That of the rule in this place, or of what none has matched.
    pub(super) fn counter(&self, found: Option<usize>) -> &Counter {
        &self.counters[found.unwrap_or(self.rules.list().len())]
    }

    pub(super) fn counts(&self) -> Vec<Count> {
        let load = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let count = |counter: &Counter| Count { flows: load(&counter.flows), packets: load(&counter.packets) };
        self.counters.iter().map(count).collect()
    }

    pub(super) fn table(&self) -> String {
        table::render(&self.rules, &self.counts())
    }
}

/// What holds now, for all cores.
#[derive(Debug)]
pub(super) struct Current {
    /// Grows with each replacement: cores look at this, and take the lock only if it has.
    version: AtomicU64,
    latest: Mutex<Arc<Counted>>,
}

impl Current {
    pub(super) fn new(rules: Rules) -> Self {
        Self { version: AtomicU64::new(0), latest: Mutex::new(Arc::new(Counted::new(rules))) }
    }

    pub(super) fn latest(&self) -> Arc<Counted> {
        // It is replaced as a whole: a panic elsewhere leaves nothing half done.
        Arc::clone(&self.latest.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn replace(&self, rules: Rules) {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(Counted::new(rules));
        self.version.fetch_add(1, Ordering::Release);
    }
}

/// What one core knows of it.
#[derive(Debug)]
pub(super) struct Known {
    current: Arc<Current>,
    version: u64,
    counted: Arc<Counted>,
}

impl Known {
    pub(super) fn new(current: Arc<Current>) -> Self {
        let version = current.version.load(Ordering::Acquire);
        Self { version, counted: current.latest(), current }
    }

    /// What holds.
    pub(super) fn get(&mut self) -> &Counted {
        let version = self.current.version.load(Ordering::Acquire);
        if version != self.version {
            (self.version, self.counted) = (version, self.current.latest());
        }
        &self.counted
    }
}
