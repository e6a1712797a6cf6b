//! The bookkeeping against a model that remembers what every single byte became.

use proptest::prelude::*;

use super::*;

fn seqs(numbers: [u32; 2]) -> [SeqNum; 2] {
    numbers.map(SeqNum)
}

#[test]
fn numbers_around_one_edit() {
    // 100..110 became five bytes.
    let mut remap = Remap::default();
    remap.record(SeqNum(100), 10, b"abcde").unwrap();
    for (sender, receiver) in [(99, 99), (100, 100), (101, 105), (109, 105), (110, 105), (111, 106)] {
        assert_eq!(remap.to_receiver(SeqNum(sender)), SeqNum(receiver), "{sender}");
    }
    for (receiver, sender) in [(99, 99), (100, 100), (101, 100), (104, 100), (105, 110), (106, 111)] {
        assert_eq!(remap.to_sender(SeqNum(receiver)), SeqNum(sender), "{receiver}");
    }
    for (block, expected) in [
        ([90, 100], [90, 100]),
        ([90, 104], [90, 100]),
        ([90, 105], [90, 110]),
        ([100, 105], [100, 110]),
        ([101, 106], [110, 111]),
        ([101, 104], [110, 110]),
        ([103, 103], [110, 110]),
        ([105, 107], [110, 112]),
        ([106, 90], [111, 111]),
    ] {
        assert_eq!(remap.sack_to_sender(seqs(block)), seqs(expected), "{block:?}");
    }
    assert!(!remap.is_identity());
    remap.acked(SeqNum(104));
    assert!(remap.touches(SeqNum(109), 1));
    remap.acked(SeqNum(105));
    assert!(!remap.touches(SeqNum(100), 10));
    assert_eq!(remap.to_sender(SeqNum(105)), SeqNum(110));
    assert!(!remap.is_identity(), "the shift stays");
}

#[test]
fn bytes_that_nothing_stands_for() {
    let mut remap = Remap::default();
    remap.record(SeqNum(u32::MAX), 4, b"").unwrap();
    remap.record(SeqNum(3), 2, b"").unwrap();
    assert_eq!(remap.to_sender(SeqNum(u32::MAX)), SeqNum(5));
    assert_eq!(remap.to_sender(SeqNum(u32::MAX - 1)), SeqNum(u32::MAX - 1));
    assert_eq!(remap.sack_to_sender(seqs([u32::MAX - 5, u32::MAX])), seqs([u32::MAX - 5, 5]));
    assert_eq!(remap.sack_to_sender(seqs([u32::MAX, 3])), seqs([5, 9]));
    let mut out = Vec::new();
    assert_eq!(remap.payload(SeqNum(u32::MAX), b"0123", &mut out), SeqNum(u32::MAX));
    assert!(out.is_empty());
    assert!(!remap.touches(SeqNum(5), 9) && !remap.touches(SeqNum(0), 0));
    remap.acked(SeqNum(u32::MAX));
    assert_eq!(remap.to_receiver(SeqNum(5)), SeqNum(u32::MAX));
}

#[test]
fn a_change_within_the_same_length_leaves_no_trace() {
    let mut remap = Remap::default();
    assert!(remap.is_identity());
    remap.record(SeqNum(7), 3, b"abc").unwrap();
    assert!(!remap.is_identity());
    remap.acked(SeqNum(10));
    assert!(remap.is_identity());
}

#[test]
fn limits() {
    let mut remap = Remap::default();
    let refuse = |remap: &Remap, at, removed, inserted: &[u8]| {
        let mut copy = remap.clone();
        let error = copy.record(SeqNum(at), removed, inserted).unwrap_err();
        assert_eq!(&copy, remap, "nothing changed");
        error.to_string()
    };
    let nothing = "the edit at 5 removes nothing: at least 1 byte is needed for what is inserted to go with";
    assert_eq!(refuse(&remap, 5, 0, b"x"), nothing);
    let far = "an edit at 5 is out of order: from 5 on, within 2^30 bytes of the first one, is allowed";
    assert_eq!(refuse(&remap, 5, MAX_SPAN + 1, b""), far);
    let big = vec![0; Remap::MAX_BYTES + 1];
    let bytes = "edits not acknowledged yet would insert 262145 bytes: at most 262144 are kept";
    assert_eq!(refuse(&remap, 5, 1, &big), bytes);
    remap.record(SeqNum(5), 1, &big[1..]).unwrap();
    assert_eq!(refuse(&remap, 6, 1, b"x"), bytes);
    let early = "an edit at 5 is out of order: from 6 on, within 2^30 bytes of the first one, is allowed";
    assert_eq!(refuse(&remap, 5, 1, b""), early);
    assert!(refuse(&remap, 6, MAX_SPAN, b"").contains("out of order"));
    for at in 1..Remap::MAX_EDITS as u32 {
        remap.record(SeqNum(5 + at), 1, b"").unwrap();
    }
    assert_eq!(refuse(&remap, 1000, 1, b""), "64 edits are not acknowledged yet: no more are kept");
    remap.acked(SeqNum(5 + Remap::MAX_BYTES as u32));
    assert_eq!(remap.edits.len(), 0);
}

/// What every byte of the sender became, and what the receiver has of it.
struct Model {
    remap: Remap,
    /// The first number, which both count from.
    start: SeqNum,
    sent: Vec<u8>,
    /// The bytes that each of the sent ones was forwarded as.
    images: Vec<Vec<u8>>,
    /// For each sent byte, the first byte of the edit it was in.
    edits: Vec<Option<usize>>,
    /// The receiver's stream, as far as it has it.
    received: Vec<Option<u8>>,
    /// Bytes acknowledged by the receiver.
    acked: usize,
}

impl Model {
    fn new(start: u32) -> Self {
        let (remap, start) = (Remap::default(), SeqNum(start));
        let (sent, images, edits, received) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { remap, start, sent, images, edits, received, acked: 0 }
    }

    fn seq(&self, offset: usize) -> SeqNum {
        self.start + offset as u32
    }

    /// What the receiver is to get.
    fn stream(&self) -> Vec<u8> {
        self.images.concat()
    }

    /// Where in the receiver's stream the image of a sent byte begins.
    fn position(&self, offset: usize) -> usize {
        self.images[..offset].iter().map(Vec::len).sum()
    }

    /// Of the sent bytes, how many the receiver has the images of when it has `len` bytes of its stream.
    fn had(&self, len: usize) -> usize {
        (0..self.images.len()).take_while(|&offset| self.position(offset + 1) <= len).count()
    }

    /// New bytes are sent: from the offset `from` on, which may repeat some.
    fn send(&mut self, from: usize, new: &[u8], edit: Option<(usize, &[u8])>, lost: bool) -> Result<(), TestCaseError> {
        let first = self.sent.len();
        self.sent.extend(new);
        self.images.extend(new.iter().map(|&byte| vec![byte]));
        self.edits.resize(self.sent.len(), None);
        if let Some((skip, inserted)) = edit.filter(|(skip, _)| *skip < new.len()) {
            let at = first + skip;
            let recorded = self.remap.record(self.seq(at), (new.len() - skip) as u32, inserted);
            if recorded.is_ok() {
                self.images[at..].fill(Vec::new());
                self.images[at] = inserted.to_vec();
                self.edits[at..].fill(Some(at));
            }
        }
        self.received.resize(self.stream().len(), None);
        self.forward(from, self.sent.len(), lost)
    }

    /// A segment of sent bytes passes: what comes out is right, and received if it is not lost.
    fn forward(&mut self, from: usize, to: usize, lost: bool) -> Result<(), TestCaseError> {
        let mut out = b"before".to_vec();
        let seq = self.remap.payload(self.seq(from), &self.sent[from..to], &mut out);
        prop_assert_eq!(&out[..6], b"before");
        let out = &out[6..];
        let from_acked = from >= self.had(self.acked);
        if from_acked {
            prop_assert_eq!(seq, self.seq(self.position(from)));
            prop_assert_eq!(out, self.images[from..to].concat());
            let touched = self.edits[from..to].iter().any(Option::is_some);
            prop_assert_eq!(self.remap.touches(self.seq(from), (to - from) as u32), touched);
        }
        prop_assert_eq!(self.remap.to_receiver(self.seq(from)), seq);
        let stream = self.stream();
        for (index, &byte) in out.iter().enumerate() {
            // Relative to what is acknowledged: what comes before it the receiver has, and does not look at.
            let ahead = (seq + index as u32).distance(self.seq(self.acked));
            if let Ok(ahead) = usize::try_from(ahead) {
                prop_assert_eq!(Some(&byte), stream.get(self.acked + ahead), "what was forwarded first");
                if !lost {
                    self.received[self.acked + ahead].get_or_insert(byte);
                }
            }
        }
        Ok(())
    }

    /// The receiver acknowledges, perhaps not all that it has.
    fn acknowledge(&mut self, held_back: usize) -> Result<(), TestCaseError> {
        let has = self.received.iter().take_while(|byte| byte.is_some()).count();
        self.acked = self.acked.max(has.saturating_sub(held_back));
        let ack = self.seq(self.acked);
        prop_assert_eq!(self.remap.to_sender(ack), self.seq(self.had(self.acked)));
        let before = self.remap.clone();
        self.remap.acked(ack);
        for offset in self.had(self.acked)..=self.sent.len() {
            let seq = self.seq(offset);
            prop_assert_eq!(before.to_receiver(seq), self.remap.to_receiver(seq), "only contents are dropped");
        }
        Ok(())
    }

    /// Every number in flight, both ways.
    fn check(&self) -> Result<(), TestCaseError> {
        let una = self.had(self.acked);
        for offset in una..=self.sent.len() {
            prop_assert_eq!(self.remap.to_receiver(self.seq(offset)), self.seq(self.position(offset)));
        }
        for ack in self.acked..=self.received.len() {
            prop_assert_eq!(self.remap.to_sender(self.seq(ack)), self.seq(self.had(ack)));
        }
        // Old acknowledgments that were overtaken say less than the newest.
        for ack in 0..self.acked {
            let (old, new) = (self.remap.to_sender(self.seq(ack)), self.remap.to_sender(self.seq(self.acked)));
            prop_assert!(old.le(new));
        }
        Ok(())
    }

    /// A SACK block says what the receiver said: not more, and not less of bytes that have an image.
    fn check_sack(&self, left: usize, right: usize) -> Result<(), TestCaseError> {
        let [from, to] = self.remap.sack_to_sender([self.seq(left), self.seq(right)]);
        prop_assert!(from.le(to));
        for offset in self.had(self.acked)..self.sent.len() {
            let is_claimed = from.le(self.seq(offset)) && self.seq(offset).lt(to);
            // An edit is had as one.
            let whole = self.edits[offset].unwrap_or(offset);
            let image = self.position(whole)..self.position(whole + 1);
            let is_had = left <= image.start && image.end <= right;
            if image.is_empty() {
                prop_assert!(!is_claimed || left < right && is_had, "it lies within the block, or at its end");
            } else {
                prop_assert_eq!(is_claimed, is_had && left < right, "{} of {}..{}", offset, left, right);
            }
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// New bytes, after `repeated` old ones; all but the first `skip` new ones become others, perhaps.
    Send {
        repeated: usize,
        new: Vec<u8>,
        edit: Option<(usize, Vec<u8>)>,
        lost: bool,
    },
    Resend {
        from: usize,
        len: usize,
        lost: bool,
    },
    Acknowledge {
        held_back: usize,
    },
    Sack {
        left: usize,
        len: usize,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    let bytes = |most| prop::collection::vec(any::<u8>(), 0..most);
    let edit = prop::option::of((prop_oneof![3 => Just(0), 1 => 0usize..9], bytes(9)));
    let repeated = prop_oneof![3 => Just(0), 1 => 0usize..30];
    prop_oneof![
        4 => (repeated, prop::collection::vec(any::<u8>(), 1..12), edit, any::<bool>())
            .prop_map(|(repeated, new, edit, lost)| Step::Send { repeated, new, edit, lost }),
        4 => (any::<usize>(), 0usize..40, prop::bool::weighted(0.3))
            .prop_map(|(from, len, lost)| Step::Resend { from, len, lost }),
        2 => prop_oneof![Just(0usize), 0usize..20].prop_map(|held_back| Step::Acknowledge { held_back }),
        2 => (any::<usize>(), 0usize..30).prop_map(|(left, len)| Step::Sack { left, len }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn the_receiver_reassembles_the_edited_stream(
        start in prop_oneof![any::<u32>(), (0u32..200).prop_map(u32::wrapping_neg)],
        steps in prop::collection::vec(any_step(), 0..50),
    ) {
        let mut model = Model::new(start);
        for step in steps {
            let una = model.had(model.acked);
            match step {
                Step::Send { repeated, new, edit, lost } => {
                    let from = model.sent.len().saturating_sub(repeated);
                    let edit = edit.as_ref().map(|(skip, inserted)| (*skip, &inserted[..]));
                    model.send(from, &new, edit, lost)?;
                }
                Step::Resend { from, len, lost } => {
                    // Sometimes older than what is acknowledged.
                    let oldest = una.saturating_sub(from % 7);
                    let from = oldest + from % (model.sent.len() - oldest + 1);
                    model.forward(from, model.sent.len().min(from + len), lost)?;
                }
                Step::Acknowledge { held_back } => model.acknowledge(held_back)?,
                Step::Sack { left, len } => {
                    let left = model.acked + left % (model.received.len() - model.acked + 1);
                    model.check_sack(left, model.received.len().min(left + len))?;
                }
            }
            model.check()?;
        }
        // What was lost comes again, in segments of another size.
        let mut from = model.had(model.acked);
        while from < model.sent.len() {
            let to = model.sent.len().min(from + 7);
            model.forward(from, to, false)?;
            from = to;
        }
        let received: Option<Vec<u8>> = model.received.iter().copied().collect();
        prop_assert_eq!(received, Some(model.stream()));
        model.acknowledge(0)?;
        prop_assert!(model.remap.edits.is_empty(), "nothing is kept of what is acknowledged");
        prop_assert_eq!(model.remap.to_sender(model.seq(model.stream().len())), model.seq(model.sent.len()));
    }

    #[test]
    fn nothing_panics(
        edits in prop::collection::vec((any::<u32>(), any::<u32>(), 0usize..20), 0..9),
        numbers in prop::collection::vec(any::<u32>(), 1..9), near: bool,
    ) {
        let mut remap = Remap::default();
        let mut at = 0;
        for (gap, removed, inserted) in edits {
            let mask = if near { 0xf } else { u32::MAX };
            let _ = remap.record(SeqNum(at + (gap & mask) % (1 << 20)), removed & mask, &vec![7; inserted]);
            at = at.wrapping_add((gap & mask) % (1 << 20) + (removed & mask) % (1 << 20)) % (1 << 29);
        }
        let mut out = Vec::new();
        for &number in &numbers {
            let number = SeqNum(if near { number % 256 } else { number });
            let _ = (remap.to_receiver(number), remap.to_sender(number), remap.touches(number, number.0));
            let [left, right] = remap.sack_to_sender([number, SeqNum(numbers[0])]);
            prop_assert!(left.le(right));
            remap.payload(number, &[1; 40], &mut out);
            remap.acked(number);
        }
    }
}
