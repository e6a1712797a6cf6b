//! Which packet made which byte of a stream readable.
//!
//! New data is shown at the end of a burst, and bursts are cut differently from run to run. A record that tells the time of
//! a byte must not depend on that: so the time is noted packet by packet, and looked up by the byte's offset.

use mos_core::time::Timestamp;
use mos_monitor::{Conn, Side};

/// The most marks of a direction. There is one for each packet of a burst that brought something to read, so hardly ever
/// that many; beyond it times become those of later packets.
const MAX_MARKS: usize = 128;

/// The marks of both directions of a flow: at most 4 KiB.
#[derive(Debug, Default)]
pub(crate) struct Moments {
    /// By receiver: the end of what was readable from some time on. Both ascend.
    marks: [Vec<(u64, Timestamp)>; 2],
}

impl Moments {
    /// To be called for each packet, when both halves are up to date.
    pub(crate) fn note<At>(&mut self, conn: &Conn<'_, '_, At>) {
        // An acknowledgment makes readable what lies behind a gap of the other direction.
        for side in Side::BOTH {
            let unread = conn.unread_len(side);
            if unread > 0 {
                self.mark(side, conn.position(side) + unread, conn.now());
            }
        }
    }

    fn mark(&mut self, side: Side, end: u64, now: Timestamp) {
        let marks = &mut self.marks[side as usize];
        let is_full = marks.len() >= MAX_MARKS;
        match marks.last_mut() {
            Some((last, _)) if *last >= end => {}
            Some(last) if is_full => *last = (end, now),
            _ => marks.push((end, now)),
        }
    }

    /// When the byte before `end` of what `side` received could be read, if that was noted.
    pub(crate) fn of(&self, side: Side, end: u64) -> Option<Timestamp> {
        let marks = &self.marks[side as usize];
        marks.get(marks.partition_point(|(mark, _)| *mark < end)).map(|(_, time)| *time)
    }

    /// What lies before `position` has been read by all.
    pub(crate) fn forget(&mut self, side: Side, position: u64) {
        let marks = &mut self.marks[side as usize];
        let read = marks.partition_point(|(mark, _)| *mark <= position);
        marks.drain(..read);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_has_the_time_of_the_packet_that_made_it_readable() {
        let mut moments = Moments::default();
        let time = Timestamp::from_millis;
        for (end, now) in [(10, 1), (10, 2), (25, 3), (30, 4)] {
            moments.mark(Side::Client, end, time(now));
        }
        let of = |moments: &Moments, end| moments.of(Side::Client, end);
        assert_eq!([1, 10, 11, 25, 30].map(|end| of(&moments, end)), [1, 1, 3, 3, 4].map(|ms| Some(time(ms))));
        assert_eq!((of(&moments, 31), moments.of(Side::Server, 1)), (None, None));
        moments.forget(Side::Client, 25);
        assert_eq!((of(&moments, 11), moments.marks[Side::Client as usize].len()), (Some(time(4)), 1));
        for end in 31..1000 {
            moments.mark(Side::Client, end, time(end));
        }
        assert_eq!(moments.marks[Side::Client as usize].len(), MAX_MARKS);
        assert_eq!(of(&moments, 999), Some(time(999)));
    }
}
