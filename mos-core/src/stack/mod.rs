//! The stack of one core: frames and time in, verdicts and events out.
//!
//! | file | what happens there |
//! |---|---|
//! | `burst` | a burst's way: decode, probe, process; timers; the end of a burst |
//! | `open` | a packet without a flow: a new one, or an orphan |
//! | `segment` | a packet of a flow; the long way: sender, SND hook, receiver, RCV hook |
//! | `short` | the short way of most packets |
//! | `handshake` | the short way of a SYN, its SYN\|ACK, and the ACK that completes it |
//! | `closing` | the short way of FINs, and of what follows them |
//! | `checksums` | whether a packet counts at all |
//! | `stream` | payload: into the stream, past gaps |
//! | `fast_open` | data that comes with a SYN |
//! | `deliver` | from the stream to its readers; what they leave is kept |
//! | `close` | the end of a flow |
//! | `timeout` | flows that end by time, however many of them at once |
//! | `rivals` | connections that contend for the same endpoints |
//! | `resync` | a capture that has missed more than a window |
//! | `suspect` | data that was rejected, and acknowledged all the same |
//! | `pending` | what a burst holds for its readers |
//! | `bypass` | flows that nobody monitors any more |
//! | `context`, `chunks` | what a callback sees and may do; unread stream, run by run |
//! | `edit`, `scratch` | what SND callbacks do to a packet; packets that got another length |
//! | `in_step` | endpoints whose numbers differ because of that; streams that were cut |
//! | `transmit` | packets that callbacks send |
//! | `rtt` | round-trip times |

mod burst;
mod bypass;
mod checksums;
mod chunks;
mod close;
mod closing;
mod context;
mod deliver;
mod edit;
mod fast_open;
mod handshake;
mod in_step;
mod open;
mod pending;
mod resync;
mod rivals;
mod rtt;
mod scratch;
mod segment;
mod short;
mod stream;
mod suspect;
mod timeout;
mod transmit;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::cell::Cell;

pub use chunks::{Chunk, Chunks};
pub use context::{Attachments, BufInfo, CoreCx, FlowCx, HalfInfo, PacketCx, PacketView, PeekError};
pub use edit::AlterError;
pub use rtt::Rtt;
pub use transmit::{MAX_OUTGOING, Outgoing, SendError, Way};

use crate::config::{Config, Timeouts};
use crate::event::Side;
use crate::flow::key::PacketKey;
use crate::flow::table::ticks;
use crate::flow::{FlowId, FlowTable, Hasher, NO_SLOT, TimerWheel};
use crate::packet::{LinkType, MAX_BURST, Verdict};
use crate::reassembly::{BufferStore, SegmentPool};
use crate::stats::Stats;
use crate::time::Timestamp;
use crate::wire::fragment::Defragmenter;
use crate::wire::{Packet, decode};
use edit::Edits;
use pending::Pending;
use rtt::RttTable;
use scratch::Scratch;

/// The place among a burst's packets for one that was made whole from fragments.
const WHOLE: usize = MAX_BURST;

/// The flows of one core and everything that happens to them.
#[derive(Debug)]
pub struct Stack {
    config: Config,
    hasher: Hasher,
    flows: FlowTable,
    timers: TimerWheel,
    pool: SegmentPool,
    buffers: BufferStore,
    pending: Pending,
    defragmenter: Defragmenter,
    scratch: Scratch,
    /// Flows in their handshake, oldest first; those that have left it are dropped when they are met.
    half_open: VecDeque<FlowId>,
    /// Flows that were idle longest when the table was last found full: age in ticks, slot; longest idle last.
    idlest: Vec<(u32, u32)>,
    /// Slots of flows that ended in this burst: nothing may use them before its end.
    ended: Vec<u32>,
    now: Timestamp,
    tick: u64,
    stats: Stats,
    packets: [Packet; MAX_BURST + 1],
    keys: [PacketKey; MAX_BURST + 1],
    /// There are more of them than packets: some packets ahead are looked at.
    slots: [u32; MAX_BURST + burst::AHEAD],
    verdicts: [Verdict; MAX_BURST],
    /// The burst has packets of IPv6.
    has_v6: bool,
    /// Patience in ticks: half open, established, closing, TIME_WAIT.
    timeouts: [u64; 4],
    /// The shortest that any state may last, of those that end.
    shortest_timeout: u64,
    /// Bytes held as suspects, by all flows together.
    suspect_bytes: usize,
    /// Who sent the packet at hand.
    sender: Side,
    /// What the SND callbacks at hand did to the packet.
    edits: Edits,
    /// The callbacks at hand have dropped the packet.
    dropped: bool,
    /// In immediate NEW_DATA: the side that the packet at hand brings data, and where they begin.
    newest: Option<(Side, u64)>,
    rtts: RttTable,
    /// Packets that callbacks have sent.
    outgoing: VecDeque<Outgoing>,
    /// For so many bursts yet, payloads are likely to be read.
    reading: Cell<u8>,
    /// When the layer above is to be called; the end of time, if it need not be.
    wakeup: Timestamp,
    /// Before that time the tick stays and nothing is due; zero as long as timers are overdue.
    quiet_until: Timestamp,
}

impl Stack {
    /// A stack without flows. Room for `config.max_flows` is reserved, not touched.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let Timeouts { half_open, established, closing, time_wait } = config.timeouts;
        let timeouts = [half_open, established, closing, time_wait].map(|timeout| u64::from(ticks(timeout)));
        let hasher = Hasher::new(config.hash_seed, config.vlan_tracking);
        let flows = FlowTable::new(config.max_flows, hasher);
        Self {
            hasher,
            timers: TimerWheel::new(0, flows.capacity()),
            flows,
            pool: SegmentPool::new(config.reassembly_memory_bytes),
            buffers: BufferStore::new(),
            pending: Pending::default(),
            defragmenter: Defragmenter::new(config.fragments),
            scratch: Scratch::default(),
            half_open: VecDeque::new(),
            idlest: Vec::new(),
            ended: Vec::new(),
            now: Timestamp::ZERO,
            tick: 0,
            stats: Stats::default(),
            packets: [decode(&[], 0, LinkType::Ethernet); MAX_BURST + 1],
            keys: [PacketKey::NONE; MAX_BURST + 1],
            slots: [NO_SLOT; MAX_BURST + burst::AHEAD],
            verdicts: [Verdict::Forward; MAX_BURST],
            has_v6: false,
            timeouts,
            // Without patience a state has no end, or no beginning.
            shortest_timeout: timeouts.into_iter().filter(|ticks| *ticks > 0).chain([close::LINGER]).min().unwrap_or(0),
            suspect_bytes: 0,
            sender: Side::Client,
            edits: Edits::default(),
            dropped: false,
            newest: None,
            rtts: RttTable::default(),
            outgoing: VecDeque::new(),
            reading: Cell::new(0),
            wakeup: Timestamp::MAX,
            quiet_until: Timestamp::from_millis(1),
            config,
        }
    }

    /// What the stack was told.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Flows that are alive.
    #[must_use]
    pub fn live_flows(&self) -> usize {
        self.flows.live()
    }

    /// Bytes held for reassembly, by all flows together.
    #[must_use]
    pub fn reassembly_bytes(&self) -> usize {
        self.pool.in_use_bytes()
    }

    /// The latest time the stack was told.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }
}
