//! Types and numbers as the headers in `include/` have them. `tests/layout.c` compares both sides.

use std::ffi::{c_char, c_int, c_void};
use std::sync::atomic::AtomicI32;

/// `struct mtcp_context`: what a program has of a context.
#[derive(Debug)]
#[repr(C)]
pub struct mtcp_context {
    /// The number of the core, from 0.
    pub(crate) cpu: AtomicI32,
}

/// `mctx_t`.
pub type mctx_t = *const mtcp_context;

/// `event_t`.
pub type event_t = u64;

/// `filter_arg_t`: the argument of a user-defined event.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct filter_arg {
    /// Its bytes.
    pub arg: *mut c_void,
    /// How many.
    pub len: usize,
}

impl filter_arg {
    /// No argument.
    pub(crate) const NONE: Self = Self { arg: std::ptr::null_mut(), len: 0 };
}

/// `callback_t`.
pub type callback_t = unsafe extern "C" fn(mctx_t, c_int, c_int, event_t, *mut filter_arg);

/// `filter_t`.
pub type filter_t = unsafe extern "C" fn(mctx_t, c_int, c_int, event_t, *mut filter_arg) -> bool;

/// `struct pkt_info`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct pkt_info {
    /// When it arrived, in milliseconds; wraps.
    pub cur_ts: u32,
    /// The device it came in on.
    pub in_ifidx: i8,
    /// Bytes of the frame.
    pub eth_len: u16,
    /// Bytes of the IP packet.
    pub ip_len: u16,
    /// Stream offset of the first payload byte, for its receiver.
    pub offset: u64,
    /// Bytes of payload.
    pub payloadlen: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number.
    pub ack_seq: u32,
    /// Window, not scaled.
    pub window: u16,
    /// Ethernet header.
    pub ethh: *mut u8,
    /// IP header.
    pub iph: *mut u8,
    /// TCP header.
    pub tcph: *mut u8,
    /// Payload.
    pub payload: *mut u8,
}

/// `struct tcp_buf_info`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct tcp_buf_info {
    /// Sequence number of the stream's first byte.
    pub init_seq: u32,
    /// That of the last byte that was read.
    pub last_byte_read: u32,
    /// That of the next byte that is expected.
    pub next_byte_expected: u32,
    /// That of the last byte that has come.
    pub last_byte_received: u32,
}

/// `struct tcp_ring_fragment`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct tcp_ring_fragment {
    /// Stream offset.
    pub offset: u64,
    /// Bytes.
    pub len: u32,
}

/// `union monitor_filter`.
#[derive(Clone, Copy)]
#[repr(C)]
pub union monitor_filter {
    /// Of a raw socket.
    pub raw_pkt_filter: *const c_char,
    /// Of a stream monitor's socket.
    pub stream: stream_filter,
}

impl std::fmt::Debug for monitor_filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("monitor_filter")
    }
}

/// The filters of a stream monitor's socket.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct stream_filter {
    /// For the first packet of a flow.
    pub stream_syn_filter: *const c_char,
    /// For packets that no flow has.
    pub stream_orphan_filter: *const c_char,
}

/// Applications that `struct mtcp_conf` has room for.
pub(crate) const MOS_APP: usize = 20;
/// Words of each of their commands.
pub(crate) const MOS_APP_ARGC: usize = 20;

/// `struct mtcp_conf`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct mtcp_conf {
    /// Contexts that can be created.
    pub num_cores: c_int,
    /// Flows of each.
    pub max_concurrency: c_int,
    /// The cores of the devices.
    pub cpu_mask: u64,
    /// Buffers of each.
    pub max_num_buffers: c_int,
    /// Bytes of a receive buffer.
    pub rcvbuf_size: c_int,
    /// Bytes of a send buffer.
    pub sndbuf_size: c_int,
    /// Seconds of TIME_WAIT.
    pub tcp_timewait: c_int,
    /// Seconds that a flow may be silent.
    pub tcp_timeout: c_int,
    /// The cores of each application.
    pub app_cpu_mask: [u64; MOS_APP],
    /// The words of their commands.
    pub app_argv: [[*mut c_char; MOS_APP_ARGC]; MOS_APP],
    /// How many words.
    pub app_argc: [c_int; MOS_APP],
    /// How many applications.
    pub num_app: c_int,
}

/// The numbers of socket types, options and the like.
pub(crate) mod number {
    use std::ffi::c_int;

    pub(crate) const SOCK_STREAM: c_int = 1;
    pub(crate) const MOS_SOCK_MONITOR_STREAM: c_int = 3;
    pub(crate) const MOS_SOCK_STREAM: c_int = 4;
    pub(crate) const MOS_SOCK_MONITOR_RAW: c_int = 7;

    pub(crate) const SOL_SOCKET: c_int = 1;
    pub(crate) const SOL_MONSOCKET: c_int = 0xfffe;

    pub(crate) const MOS_FRAGINFO_CLIBUF: c_int = 0x01;
    pub(crate) const MOS_FRAGINFO_SVRBUF: c_int = 0x02;
    pub(crate) const MOS_INFO_CLIBUF: c_int = 0x03;
    pub(crate) const MOS_INFO_SVRBUF: c_int = 0x04;
    pub(crate) const MOS_TCP_STATE_CLI: c_int = 0x05;
    pub(crate) const MOS_TCP_STATE_SVR: c_int = 0x06;
    pub(crate) const MOS_TIMESTAMP: c_int = 0x07;
    pub(crate) const MOS_CLIBUF: c_int = 0x09;
    pub(crate) const MOS_SVRBUF: c_int = 0x0a;
    pub(crate) const MOS_STOP_MON: c_int = 0x0c;
    pub(crate) const MOS_FRAG_CLIBUF: c_int = 0x0d;
    pub(crate) const MOS_FRAG_SVRBUF: c_int = 0x0e;
    pub(crate) const MOS_CLIOVERLAP: c_int = 0x0f;
    pub(crate) const MOS_SVROVERLAP: c_int = 0x10;
    pub(crate) const MOS_IPV6: c_int = 0x20;

    pub(crate) const MOS_SIDE_CLI: c_int = 0;
    pub(crate) const MOS_SIDE_SVR: c_int = 1;
    pub(crate) const MOS_SIDE_BOTH: c_int = 2;

    pub(crate) const MOS_NULL: c_int = 1 << 29;
    pub(crate) const MOS_HK_RCV: c_int = 1 << 30;
    pub(crate) const MOS_HK_SND: c_int = 1 << 31;

    pub(crate) const MOS_ETH_HDR: c_int = 0x001;
    pub(crate) const MOS_IP_HDR: c_int = 0x002;
    pub(crate) const MOS_TCP_HDR: c_int = 0x004;
    pub(crate) const MOS_TCP_PAYLOAD: c_int = 0x008;
    pub(crate) const MOS_UPDATE_IP_CHKSUM: c_int = 0x010;
    pub(crate) const MOS_UPDATE_TCP_CHKSUM: c_int = 0x020;
    pub(crate) const MOS_DROP: c_int = 0x040;
    pub(crate) const MOS_OVERWRITE: c_int = 0x080;
    pub(crate) const MOS_CHOMP: c_int = 0x100;
    pub(crate) const MOS_INSERT: c_int = 0x200;
}
