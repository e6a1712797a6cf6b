//! Every block and every key of a file: the one table that the parser, its messages, `mos check` and the manual go by.

use core::fmt;

use super::value::Kind;

/// A block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Block {
    /// `application { }`
    Application,
    /// `mos { }`
    Mos,
    /// `netdev { }`
    Netdev,
    /// `arp_table { }`
    ArpTable,
    /// `route_table { }`
    RouteTable,
    /// `nic_forward_table { }`
    NicForwardTable,
}

/// What there is to know of a block.
#[derive(Clone, Copy, Debug)]
pub struct BlockSpec {
    /// Its name.
    pub name: &'static str,
    /// The block inside of which it stands.
    pub parent: Option<Block>,
    /// Whether there must be one.
    pub required: bool,
    /// How its lines are written.
    pub lines: &'static str,
    /// One of them.
    pub example: &'static str,
    /// What it is for.
    pub meaning: &'static str,
}

impl Block {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 6] =
        [Self::Application, Self::Mos, Self::Netdev, Self::ArpTable, Self::RouteTable, Self::NicForwardTable];

    /// What there is to know of it.
    #[must_use]
    pub const fn spec(self) -> &'static BlockSpec {
        const fn spec(
            name: &'static str,
            parent: Option<Block>,
            [lines, example]: [&'static str; 2],
            meaning: &'static str,
        ) -> BlockSpec {
            BlockSpec { name, parent, required: false, lines, example, meaning }
        }
        const SETTING: &str = "`KEY = VALUE`";
        const SPECS: [BlockSpec; 6] = [
            spec(
                "application",
                None,
                [SETTING, "run = midstat -c 1"],
                "A program that uses the stack. May be there several times, up to 20, or not at all.",
            ),
            BlockSpec {
                required: true,
                ..spec("mos", None, [SETTING, "forward = 1"], "The stack itself, and the blocks below.")
            },
            BlockSpec {
                required: true,
                ..spec(
                    "netdev",
                    Some(Block::Mos),
                    ["`DEVICE CORE_MASK`", "eth0 0x3"],
                    "The devices, each with the cores that work for it, as bits of a mask. The first one is port 0.",
                )
            },
            spec(
                "arp_table",
                Some(Block::Mos),
                ["`ADDRESS[/PREFIX] MAC`", "10.0.0.0/24 02:00:00:00:00:01"],
                "Hardware addresses that need not be asked for. The longest prefix counts.",
            ),
            spec(
                "route_table",
                Some(Block::Mos),
                ["`ADDRESS[/PREFIX] [via GATEWAY] DEVICE`", "10.0.0.0/24 via 10.1.0.1 eth0"],
                "By which device packets go on to which addresses, and over which gateway. The longest prefix counts.",
            ),
            spec(
                "nic_forward_table",
                Some(Block::Mos),
                ["`DEVICE DEVICE`", "eth0 eth1"],
                "Pairs of devices: what arrives at one goes on at the other, in both directions. A device may be its own \
                 partner.",
            ),
        ];
        &SPECS[self as usize]
    }

    /// The block of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|block| block.spec().name == name)
    }

    /// The keys that stand in it.
    pub fn keys(self) -> impl Iterator<Item = &'static KeySpec> + Clone {
        KEYS.iter().filter(move |spec| spec.block == self)
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.spec().name)
    }
}

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the table says what each one means")]
pub enum Key {
    Type,
    Run,
    CpuMask,
    IpForward,
    Forward,
    Promiscuous,
    MaxConcurrency,
    NoRingBuffers,
    RmemSize,
    WmemSize,
    ReassemblyMemory,
    Checksum,
    Midstream,
    VlanTracking,
    TcpTimeout,
    TimeoutHalfOpen,
    TimeoutEstablished,
    TimeoutClosing,
    TcpTwInterval,
    StatPrint,
    Metrics,
    MosLog,
    User,
    NbMemChannels,
    Multiprocess,
    Port,
}

impl Key {
    /// What there is to know of it.
    #[must_use]
    pub const fn spec(self) -> &'static KeySpec {
        &KEYS[self as usize]
    }
}

/// What holds if the file says nothing.
#[derive(Clone, Copy, Debug)]
pub enum Fallback {
    /// A number.
    Number(i128),
    /// What another key says.
    As(Key),
    /// Nothing; and what that means.
    Unset(&'static str),
    /// Depends on the rest of the file, as it says.
    Depends(&'static str),
}

/// Whether a key does anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does what it says.
    Full,
    /// It is accepted for the sake of files that have it; and why it does nothing.
    None(&'static str),
    /// It only means something for DPDK's devices.
    Dpdk,
}

/// What there is to know of a key.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    /// The key.
    pub key: Key,
    /// Its name.
    pub name: &'static str,
    /// Another one.
    pub other_name: Option<&'static str>,
    /// The block in which it stands.
    pub block: Block,
    /// What its values are.
    pub kind: Kind,
    /// What holds without it.
    pub default: Fallback,
    /// Whether there is no block without it.
    pub required: bool,
    /// Whether it does anything.
    pub effect: Effect,
    /// Whether mOS does not know it.
    pub is_ours: bool,
    /// What it is for.
    pub meaning: &'static str,
}

impl KeySpec {
    const fn new(key: Key, name: &'static str, kind: Kind, default: Fallback, meaning: &'static str) -> Self {
        Self {
            key,
            name,
            other_name: None,
            block: Block::Mos,
            kind,
            default,
            required: false,
            effect: Effect::Full,
            is_ours: false,
            meaning,
        }
    }

    const fn of_applications(self) -> Self {
        Self { block: Block::Application, ..self }
    }

    const fn ours(self) -> Self {
        Self { is_ours: true, ..self }
    }

    const fn with_effect(self, effect: Effect) -> Self {
        Self { effect, ..self }
    }

    /// Whether it has this name.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        self.name == name || self.other_name == Some(name)
    }

    /// All its names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + Clone + use<> {
        core::iter::once(self.name).chain(self.other_name)
    }
}

/// Above it, a timer means never: 2^31 milliseconds.
const MAX_SECONDS: i128 = 2_147_483;

const fn seconds(min: i128) -> Kind {
    Kind::Number { unit: "seconds", min, max: MAX_SECONDS }
}

const fn bytes(max: i128) -> Kind {
    Kind::Number { unit: "bytes", min: 1, max }
}

/// All keys, in the order of [`Key`] and of what `mos check` prints.
pub const KEYS: [KeySpec; 26] = [
    KeySpec::new(
        Key::Type,
        "type",
        Kind::Choice(&["end", "monitor"]),
        Fallback::Unset("if no application has a type, they monitor"),
        "Whether the program has connections of its own, or looks at those of others.",
    )
    .of_applications(),
    KeySpec {
        required: true,
        ..KeySpec::new(
            Key::Run,
            "run",
            Kind::Command,
            Fallback::Unset("there is always one"),
            "The program and its arguments, split as a shell would: quotes and backslashes hold words together. It is not \
             started; C programs read it with `mtcp_getconf`.",
        )
        .of_applications()
    },
    KeySpec {
        other_name: Some("core_mask"),
        ..KeySpec::new(
            Key::CpuMask,
            "cpu_mask",
            Kind::Mask,
            Fallback::Number(u64::MAX as i128),
            "The cores that are the program's. C programs read it with `mtcp_getconf`.",
        )
        .of_applications()
    },
    KeySpec::new(
        Key::IpForward,
        "ip_forward",
        Kind::Switch,
        Fallback::Number(1),
        "0: the program wants nothing to be forwarded, whatever `forward` says.",
    )
    .of_applications(),
    KeySpec::new(
        Key::Forward,
        "forward",
        Kind::Switch,
        Fallback::Number(1),
        "1: packets go on to the next device (inline). 0: they are only looked at (tap), or are for this host.",
    ),
    KeySpec::new(
        Key::Promiscuous,
        "promiscuous",
        Kind::Switch,
        Fallback::Number(1),
        "1: interfaces hand over frames that are addressed to other machines, too.",
    )
    .ours(),
    KeySpec::new(
        Key::MaxConcurrency,
        "max_concurrency",
        Kind::Number { unit: "flows", min: 1, max: 1 << 24 },
        Fallback::Number(100_000),
        "The most flows at a time on each core; beyond it the oldest go. A flow counts once, though it has two streams.",
    ),
    KeySpec::new(
        Key::NoRingBuffers,
        "no_ring_buffers",
        Kind::Switch,
        Fallback::Number(0),
        "1: nothing is kept for monitors that do not ask for a buffer themselves.",
    ),
    KeySpec::new(
        Key::RmemSize,
        "rmem_size",
        bytes(1 << 30),
        Fallback::Number(1 << 20),
        "The most that is kept of one direction of a flow, out of order or unread.",
    ),
    KeySpec::new(
        Key::WmemSize,
        "wmem_size",
        bytes(1 << 30),
        Fallback::Number(8192),
        "The send buffer of a connection of this host.",
    )
    .with_effect(Effect::None("this host has no connections of its own yet")),
    KeySpec::new(
        Key::ReassemblyMemory,
        "reassembly_memory",
        Kind::Size { min: 1 << 16, max: 1 << 40 },
        Fallback::Number(1 << 30),
        "The most that is kept of all flows of a core together.",
    )
    .ours(),
    KeySpec::new(
        Key::Checksum,
        "checksum",
        Kind::Choice(&["verify", "trust", "auto"]),
        Fallback::Depends("`auto` for a core that only reads capture files, else `verify`"),
        "`verify`: a packet with a wrong checksum changes no flow. `trust`: checksums are not looked at. `auto`: a sender \
         whose first checksums are wrong was captured before its network card filled them in, and is trusted.",
    )
    .ours(),
    KeySpec::new(
        Key::Midstream,
        "midstream",
        Kind::Switch,
        Fallback::Number(0),
        "1: flows whose beginning was not seen are followed, too.",
    )
    .ours(),
    KeySpec::new(
        Key::VlanTracking,
        "vlan_tracking",
        Kind::Switch,
        Fallback::Number(0),
        "1: flows in different VLANs are different flows, even with the same addresses and ports.",
    )
    .ours(),
    KeySpec::new(
        Key::TcpTimeout,
        "tcp_timeout",
        seconds(-1),
        Fallback::Number(30),
        "How long a flow may be silent. 0 and -1: for ever.",
    ),
    KeySpec::new(
        Key::TimeoutHalfOpen,
        "timeout_half_open",
        seconds(-1),
        Fallback::As(Key::TcpTimeout),
        "The same while the handshake is not complete.",
    )
    .ours(),
    KeySpec::new(
        Key::TimeoutEstablished,
        "timeout_established",
        seconds(-1),
        Fallback::As(Key::TcpTimeout),
        "The same while a side may still send.",
    )
    .ours(),
    KeySpec::new(
        Key::TimeoutClosing,
        "timeout_closing",
        seconds(-1),
        Fallback::As(Key::TcpTimeout),
        "The same once both sides have sent a FIN, or one a reset that the other has not got.",
    )
    .ours(),
    KeySpec::new(
        Key::TcpTwInterval,
        "tcp_tw_interval",
        seconds(0),
        Fallback::Number(0),
        "How long a flow stays after both sides have closed (TIME_WAIT).",
    ),
    KeySpec::new(
        Key::StatPrint,
        "stat_print",
        Kind::Devices,
        Fallback::Unset("nothing is printed"),
        "Devices whose counters are printed to standard error each second. The beginning of a name means all with this \
         beginning.",
    ),
    KeySpec::new(
        Key::Metrics,
        "metrics",
        Kind::Address,
        Fallback::Unset("counters are not served"),
        "The address and port at which counters are served for Prometheus.",
    )
    .ours(),
    KeySpec::new(
        Key::MosLog,
        "mos_log",
        Kind::Text("the name of a directory"),
        Fallback::Unset("the log goes to standard error"),
        "A directory, which must be there, with a log for each core: `log_0` and so on.",
    ),
    KeySpec::new(
        Key::User,
        "user",
        Kind::Text("the name or number of a user"),
        Fallback::Unset("the process stays whose it is"),
        "The user that the process becomes once its devices are open.",
    )
    .ours(),
    KeySpec::new(
        Key::NbMemChannels,
        "nb_mem_channels",
        Kind::Number { unit: "channels", min: 0, max: 32 },
        Fallback::Number(0),
        "Memory channels of the machine (`-n` of DPDK). 0: DPDK finds out.",
    )
    .with_effect(Effect::Dpdk),
    KeySpec::new(
        Key::Multiprocess,
        "multiprocess",
        Kind::Process,
        Fallback::Unset("one process has all cores"),
        "The core of this process, if several share DPDK's devices; and `master`, if it is the one that sets them up.",
    )
    .with_effect(Effect::Dpdk),
    KeySpec::new(
        Key::Port,
        "port",
        Kind::Text("a line of text"),
        Fallback::Unset("nothing"),
        "A word that mOS reads.",
    )
    .with_effect(Effect::None("mOS has no use for it, either")),
];

// `Key::spec` finds a key's entry by the key's number.
const _: () = {
    let mut at = 0;
    while at < KEYS.len() {
        assert!(KEYS[at].key as usize == at, "the table is not in the order of `Key`");
        at += 1;
    }
};
