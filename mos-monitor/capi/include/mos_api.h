/*
 * libmos: monitoring connections that pass by.
 *
 * A monitor socket registers callbacks for events. The core emulates both ends of every connection
 * and calls back when something happens to one of them; what can be asked and done is asked and
 * done from within the callback. A callback must return: no longjmp(), no C++ exception may leave
 * it. It may call exit().
 *
 * What mtcp_api.h says on errors and threads holds here as well. Further, for the calls that take a
 * socket: EBADF is a number that is not in use, ENOTSOCK the number of a socket for which there is
 * no such call.
 *
 * Programs see IPv4 only, unless they ask for more: see MOS_IPV6.
 */
#ifndef MOS_API_H
#define MOS_API_H

#ifdef _NETINET_TCP_H
#error "<netinet/tcp.h> gives the TCP states other values: include <linux/tcp.h> instead"
#endif

#include <stdbool.h>
#include <stddef.h>
#include <sys/time.h>
#include <linux/if_ether.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <arpa/inet.h>

#include "mtcp_epoll.h"

/*
 * Opaque, and not used by any call below. The macros let another header of the program define the
 * same names first.
 */
#ifndef __MTCP_MANAGER
#define __MTCP_MANAGER
typedef struct mtcp_manager *mtcp_manager_t;
#endif
#ifndef __SOCKET_MAP
#define __SOCKET_MAP
typedef struct socket_map *socket_map_t;
#endif

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Waits until the core has stopped: by mtcp_destroy_context(), by a signal, or at the end of its
 * captures. Any thread; returns at once on the core's own, and if there is nothing to wait for.
 */
void mtcp_app_join(mctx_t mctx);

/* ---- Events ---- */

/* Where in a packet's way a callback sits. An int; the last is its sign bit. */
enum mtcp_hook_point {
	MOS_NULL = 1 << 29,		/* the event is not about the way of a packet */
	MOS_HK_RCV = 1 << 30,		/* the receiver has taken the packet in */
	MOS_HK_SND = -0x7fffffff - 1	/* the sender has sent it: it can be changed and dropped */
};

/*
 * The events of the library; in parentheses, at which hook they can be had. Events that programs
 * define are 4096 and up.
 */
enum mos_event_type {
	MOS_NULL_EVENT = 0,		 /* none */
	MOS_ON_PKT_IN = 0x001,		 /* a packet (SND, RCV; raw sockets: NULL) */
	MOS_ON_PKT_OUT = 0x002,		 /* deprecated: never raised */
	MOS_ON_CONN_START = 0x004,	 /* the SYN of a new connection, not repeated (SND, RCV) */
	MOS_ON_CONN_SETUP = 0x008,	 /* deprecated: never raised */
	MOS_ON_CONN_NEW_DATA = 0x010,	 /* more can be read; once per burst and side (NULL) */
	MOS_ON_ERROR = 0x020,		 /* data is missing, or the protocol is broken (NULL) */
	MOS_ON_TIMEOUT = 0x040,		 /* deprecated: never raised; see mtcp_settimer() */
	MOS_ON_TCP_STATE_CHANGE = 0x080, /* that of the side is another (SND, RCV) */
	MOS_ON_ORPHAN = 0x100,		 /* a packet of no connection that is followed (NULL) */
	MOS_ON_REXMIT = 0x200,		 /* a segment came again (SND, RCV) */
	MOS_ON_CONN_END = 0x400,	 /* the last event of a connection, per side (SND, RCV) */
	MOS_ON_DEBUG_MESSAGE = 0x800	 /* never raised */
};

typedef uint64_t event_t;

/*
 * The ends of a connection: who sent the first SYN, and the other. A buffer of a side holds what
 * that side has received, so that of the client holds what the server sent.
 */
enum {
	MOS_SIDE_CLI = 0,
	MOS_SIDE_SVR = 1,
	MOS_SIDE_BOTH = 2
};

typedef struct filter_arg {
	void *arg;
	size_t len;
} filter_arg_t;

/*
 * sock is the active socket of the connection; for MOS_ON_ORPHAN the listener, for raw packets the
 * raw socket, both with MOS_SIDE_BOTH; for a timer its number. event is the one that was
 * registered. arg is what the event was defined with, or {NULL, 0}; for timers NULL.
 */
typedef void (*callback_t)(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg);

/*
 * Called when the parent event occurs, with the parent's socket and side: true raises the event
 * that the filter defines.
 */
typedef bool (*filter_t)(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg);

/*
 * Calls cb for event at hook_point: for all connections of a listener, for all packets of a raw
 * socket (MOS_NULL only), or for the one connection of an active socket. There is one callback for
 * each socket, hook and event: another replaces it, NULL removes it. Any thread.
 * EINVAL: no such event, the event cannot be had at that hook, or not from that kind of socket.
 */
int mtcp_register_callback(mctx_t mctx, int sock, event_t event, int hook_point, callback_t cb);

/* mtcp_register_callback() with NULL. 0 also if there was none. */
int mtcp_unregister_callback(mctx_t mctx, int sock, event_t event, int hook_point);

/*
 * A new event: filter decides, whenever event occurs, if it does too. arg->len bytes of arg->arg
 * are copied; arg may be NULL. The same parent, filter and bytes give the same event again. Any
 * thread, any time, without a context. MOS_NULL_EVENT if it fails.
 * EINVAL: no filter, no such event, or no bytes; ENOMEM.
 */
event_t mtcp_define_event(event_t event, filter_t filter, struct filter_arg *arg);

/* A new event below event that occurs when the program raises it. As mtcp_define_event(). */
event_t mtcp_alloc_event(event_t event);

/*
 * Raises an event of mtcp_alloc_event(), in a filter or callback of its parent or of an event below
 * that.
 * EPERM: not in a filter or callback. EINVAL: the event was not allocated below the one at hand.
 */
int mtcp_raise_event(mctx_t mctx, event_t event);

/*
 * Calls cb once when timeout is over, with id for sock. On capture files time is that of the
 * capture. For another round call it again in the callback. Any thread.
 * EFAULT: NULL. EINVAL: a negative time.
 */
int mtcp_settimer(mctx_t mctx, int id, struct timeval *timeout, callback_t cb);

/* The core's clock in microseconds; it wraps after 71.6 minutes. Core thread. 0 if it fails. */
uint32_t mtcp_cb_get_ts(mctx_t mctx);

/* ---- What a monitor is to see ---- */

/*
 * Filters in the language of tcpdump. NULL: no filter. With a stream monitor both members of the
 * structure are looked at.
 */
union monitor_filter {
	/* MOS_SOCK_MONITOR_RAW: which packets. */
	char *raw_pkt_filter;
	/* MOS_SOCK_MONITOR_STREAM, by addresses and ports. */
	__extension__ struct {
		char *stream_syn_filter;	/* which connections, by their first packet */
		char *stream_orphan_filter;	/* which packets of no connection */
	};
};
typedef union monitor_filter *monitor_filter_t;

/*
 * Holds for packets and connections to come; replaces what was bound before. ft NULL changes
 * nothing. Any thread.
 * ENOPROTOOPT: not a monitor socket. EINVAL: the filter is not understood, or has words that a
 * stream monitor cannot use.
 */
int mtcp_bind_monitor_filter(mctx_t mctx, int sock, monitor_filter_t ft);

/* Beside SOL_SOCKET. */
#define SOL_MONSOCKET	0xfffe

/*
 * For mtcp_getsockopt() and mtcp_setsockopt() at SOL_MONSOCKET. Where there is no other word, the
 * value is an int. CLI and SVR are the two sides. What is set on a listener holds for connections
 * to come.
 */
enum mos_socket_opts {
	/*
	 * get: struct tcp_ring_fragment[n], what is stored. *optlen is not in bytes: n in, how many
	 * were filled in out. A fragment of zeros follows if there is room. EINVAL: n is 0.
	 */
	MOS_FRAGINFO_CLIBUF = 0x01,
	MOS_FRAGINFO_SVRBUF = 0x02,
	/*
	 * get: struct tcp_buf_info. ENODATA: the stream's beginning is not known yet, or it is not
	 * buffered.
	 */
	MOS_INFO_CLIBUF = 0x03,
	MOS_INFO_SVRBUF = 0x04,
	/* get: enum tcpstate. ENOTCONN: nothing is known of that side yet. */
	MOS_TCP_STATE_CLI = 0x05,
	MOS_TCP_STATE_SVR = 0x06,
	/*
	 * get: uint32_t, when the connection's last packet came, in microseconds; wraps as
	 * mtcp_cb_get_ts() does.
	 */
	MOS_TIMESTAMP = 0x07,
	/* set: how many bytes are buffered for that side; 0: no buffer, no MOS_ON_CONN_NEW_DATA. */
	MOS_CLIBUF = 0x09,
	MOS_SVRBUF = 0x0a,
	/* Not supported. */
	MOS_SEQ_REMAP = 0x0b,
	/*
	 * set: a side that is no longer monitored, or MOS_SIDE_BOTH. On a listener it takes effect,
	 * and yet fails with EPERM.
	 */
	MOS_STOP_MON = 0x0c,
	/* set: 0 does what it does with MOS_CLIBUF and MOS_SVRBUF. */
	MOS_FRAG_CLIBUF = 0x0d,
	MOS_FRAG_SVRBUF = 0x0e,
	/*
	 * set: which of two copies of the same bytes counts, MOS_OVERLAP_POLICY_FIRST or
	 * MOS_OVERLAP_POLICY_LAST.
	 */
	MOS_CLIOVERLAP = 0x0f,
	MOS_SVROVERLAP = 0x10,
	/*
	 * set, listeners and raw sockets: 1 shows IPv6 as well. Then pkt_info.iph of an IPv6 packet
	 * points at its IPv6 header, and mtcp_getpeername() writes struct sockaddr_in6. An
	 * extension: mOS does not have it.
	 */
	MOS_IPV6 = 0x20
};

/* For programs that are to compile with mOS as well: #ifdef MOS_IPV6. */
#define MOS_IPV6 MOS_IPV6

/* No copy of a byte that has been read changes any more, whatever the policy. */
enum {
	MOS_OVERLAP_POLICY_FIRST = 0,
	MOS_OVERLAP_POLICY_LAST = 1,
	MOS_OVERLAP_CNT = 2
};

/* Sequence numbers, as on the wire, of the stream that a side receives. */
struct tcp_buf_info {
	uint32_t tcpbi_init_seq;	   /* the first byte: one after the SYN */
	uint32_t tcpbi_last_byte_read;	   /* the last that mtcp_peek() took; at first, before it */
	uint32_t tcpbi_next_byte_expected; /* one after the last without a hole before it */
	uint32_t tcpbi_last_byte_received; /* the last that is there, behind holes or not */
};

/* Bytes that are there without a hole between them; offset 0 is the stream's first byte. */
struct tcp_ring_fragment {
	uint64_t offset;
	uint32_t len;
};

/* For MOS_SEQ_REMAP. */
typedef struct {
	int64_t seq_off;
	int side;
	uint32_t base_seq;
} seq_remap_info;

/* RFC 9293 section 3.3.2. The values are not those of <netinet/tcp.h>. */
enum tcpstate {
	TCP_CLOSED = 0,
	TCP_LISTEN = 1,
	TCP_SYN_SENT = 2,
	TCP_SYN_RCVD = 3,
	TCP_ESTABLISHED = 4,
	TCP_FIN_WAIT_1 = 5,
	TCP_FIN_WAIT_2 = 6,
	TCP_CLOSE_WAIT = 7,
	TCP_CLOSING = 8,
	TCP_LAST_ACK = 9,
	TCP_TIME_WAIT = 10
};

/* ---- The connection at hand; active sockets, core thread ---- */

/*
 * One pointer of the program's for each connection and monitor, or for each listener and raw
 * socket; NULL at first. The library never frees it: MOS_ON_CONN_END is the place for that. Both
 * set errno if they fail: EBADF, EPERM.
 */
void mtcp_set_uctx(mctx_t mctx, int sock, void *uctx);
void *mtcp_get_uctx(mctx_t mctx, int sock);

/*
 * Takes up to len bytes that side has received, from where the last call stopped. 0: there is
 * nothing new. -k with ENODATA: k bytes are missing here for good (errno distinguishes this from
 * other errors); the next call goes on behind them.
 * EBADF, ENOTSOCK. EINVAL: no such side, or it is not buffered. EFAULT: buf is NULL.
 */
ssize_t mtcp_peek(mctx_t mctx, int sock, int side, char *buf, size_t len);

/*
 * Copies up to count bytes from offset off on, where 0 is the stream's first byte, without taking
 * them; also behind a hole, up to the next one.
 * EBADF, ENOTSOCK, EINVAL, EFAULT as mtcp_peek().
 * ENODATA: the byte at off is not there.
 */
ssize_t mtcp_ppeek(mctx_t mctx, int sock, int side, char *buf, size_t count, uint64_t off);

/*
 * side MOS_SIDE_CLI or MOS_SIDE_SVR: one struct sockaddr_in, and *addrlen must be its size, 16.
 * MOS_SIDE_BOTH: an array of two, client first, and *addrlen must be 32. For an IPv6 connection
 * (see MOS_IPV6) struct sockaddr_in6: 28 or 56.
 * EBADF, ENOTSOCK. EINVAL: no such side, or another size. ENOTCONN: the connection is gone.
 */
int mtcp_getpeername(mctx_t mctx, int sock, struct sockaddr *addr, socklen_t *addrlen, int side);

/* Sends a RST to both ends. */
int mtcp_reset_conn(mctx_t mctx, int sock);

/* Deprecated: as MOS_STOP_MON of mtcp_setsockopt(). */
int mtcp_cb_stop(mctx_t mctx, int sock, int side);

/* ---- The packet at hand; core thread ---- */

/*
 * Numbers are in host order, what the pointers point at is as on the wire. Without TCP, and on raw
 * sockets, only what is not of TCP counts.
 */
struct pkt_info {
	uint32_t cur_ts;	/* when it came, in milliseconds; wraps after 49.7 days */
	int8_t in_ifidx;	/* the interface that it came from, as the configuration counts */

	/* In bytes; what is longer, because an adapter has merged segments, is given as 65535. */
	uint16_t eth_len;	/* the frame */
	uint16_t ip_len;	/* the IP packet with its header */

	uint64_t offset;	/* of the payload in the receiver's stream; 0 is its first byte */
	uint16_t payloadlen;	/* in bytes, as above */
	uint32_t seq;
	uint32_t ack_seq;
	uint16_t window;	/* as in the header, not scaled */

	struct ethhdr *ethh;
	struct iphdr *iph;
	struct tcphdr *tcph;
	uint8_t *payload;
};

/* The length of what comes before the pointers. */
#define PKT_INFO_LEN	offsetof(struct pkt_info, ethh)

/* Not used by any call. */
struct pkt_ctx {
	struct pkt_info p;
	int8_t direction;
	uint8_t forward;
	int8_t out_ifidx;
	int8_t batch_index;
};

/* Always so: mtcp_getlastpkt() copies. */
#define MTCP_CB_GETCURPKT_CREATE_COPY

/*
 * The packet at hand, whatever the side. The pointers of *p point into a copy that the thread's
 * next call overwrites; to keep it, see mtcp_clonepkt(). Active and raw sockets, and listeners in
 * MOS_ON_ORPHAN.
 * EBADF, ENOTSOCK. EFAULT: p is NULL. ENODATA: there is no packet, as in timers and in
 * MOS_ON_CONN_NEW_DATA.
 */
int mtcp_getlastpkt(mctx_t mctx, int sock, int side, struct pkt_info *p);

/*
 * Copies the packet of *from to frame, which must have room for from->eth_len bytes, and makes *to
 * point into it. Any thread. On NULL does nothing but set errno to EFAULT.
 */
void mtcp_clonepkt(struct pkt_info *to, unsigned char *frame, struct pkt_info *from);

/* The option of mtcp_setlastpkt(): where, */
#define MOS_ETH_HDR		(1 << 0)
#define MOS_IP_HDR		(1 << 1)
#define MOS_TCP_HDR		(1 << 2)
#define MOS_TCP_PAYLOAD		(1 << 3)
/* what is set right afterwards, */
#define MOS_UPDATE_IP_CHKSUM	(1 << 4)
#define MOS_UPDATE_TCP_CHKSUM	(1 << 5)
/* and one of: */
#define MOS_DROP		(1 << 6)	/* the packet goes no further */
#define MOS_OVERWRITE		(1 << 7)	/* datalen bytes become data */
#define MOS_CHOMP		(1 << 8)	/* datalen bytes are cut out */
#define MOS_INSERT		(1 << 9)	/* data comes before what stands there */

/*
 * Changes the packet at hand, offset bytes into the part that option names. At MOS_HK_SND the
 * receiver sees the change as well (a packet that was dropped never reaches it); later, only those
 * behind. Before MOS_CHOMP or MOS_INSERT, overwrite the total length in the IP header.
 * EAGAIN: not exactly one operation. ENODATA: there is no packet. EFAULT: data is needed, and NULL.
 * EINVAL: out of bounds, or no part is named.
 * EACCES: another length in the Ethernet header, or in what is not IP.
 */
int mtcp_setlastpkt(mctx_t mctx, int sock, int side, off_t offset, byte *data, uint16_t datalen,
		    int option);

/* Deprecated: mtcp_setlastpkt() with MOS_DROP. */
int mtcp_cb_dropcurpkt(mctx_t mctx);

/*
 * Sends a TCP segment of the program's own: addresses, ports, numbers, flags and options as in iph
 * and tcph, then payload. Active sockets. The connection itself takes no notice.
 * EACCES: pkt is NULL. EBADF, ENOTSOCK. ENODATA: iph or tcph is NULL. EMSGSIZE: too long. ENOBUFS:
 * too much is waiting.
 */
int mtcp_sendpkt(mctx_t mctx, int sock, const struct pkt_info *pkt);

#ifdef __cplusplus
}
#endif

#endif
