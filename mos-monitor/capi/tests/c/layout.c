/*
 * Sizes, offsets and values, as programs that were built against mOS on a 64-bit Linux have them.
 */
#include <mos_api.h>
#include <mtcp_util.h>

#include "check.h"

/* ---- Structures ---- */

typedef struct pkt_info pkt_info;
SIZE(pkt_info, 72);
MEMBER(pkt_info, uint32_t, cur_ts, 0);
MEMBER(pkt_info, int8_t, in_ifidx, 4);
MEMBER(pkt_info, uint16_t, eth_len, 6);
MEMBER(pkt_info, uint16_t, ip_len, 8);
MEMBER(pkt_info, uint64_t, offset, 16);
MEMBER(pkt_info, uint16_t, payloadlen, 24);
MEMBER(pkt_info, uint32_t, seq, 28);
MEMBER(pkt_info, uint32_t, ack_seq, 32);
MEMBER(pkt_info, uint16_t, window, 36);
MEMBER(pkt_info, struct ethhdr *, ethh, 40);
MEMBER(pkt_info, struct iphdr *, iph, 48);
MEMBER(pkt_info, struct tcphdr *, tcph, 56);
MEMBER(pkt_info, uint8_t *, payload, 64);
VALUE(PKT_INFO_LEN, 40);

typedef struct pkt_ctx pkt_ctx;
SIZE(pkt_ctx, 80);
MEMBER(pkt_ctx, pkt_info, p, 0);
MEMBER(pkt_ctx, int8_t, direction, 72);
MEMBER(pkt_ctx, uint8_t, forward, 73);
MEMBER(pkt_ctx, int8_t, out_ifidx, 74);
MEMBER(pkt_ctx, int8_t, batch_index, 75);

typedef struct tcp_buf_info tcp_buf_info;
SIZE(tcp_buf_info, 16);
MEMBER(tcp_buf_info, uint32_t, tcpbi_init_seq, 0);
MEMBER(tcp_buf_info, uint32_t, tcpbi_last_byte_read, 4);
MEMBER(tcp_buf_info, uint32_t, tcpbi_next_byte_expected, 8);
MEMBER(tcp_buf_info, uint32_t, tcpbi_last_byte_received, 12);

typedef struct tcp_ring_fragment tcp_ring_fragment;
SIZE(tcp_ring_fragment, 16);
MEMBER(tcp_ring_fragment, uint64_t, offset, 0);
MEMBER(tcp_ring_fragment, uint32_t, len, 8);

SIZE(filter_arg_t, 16);
SIZE(struct filter_arg, 16);
MEMBER(filter_arg_t, void *, arg, 0);
MEMBER(filter_arg_t, size_t, len, 8);

typedef union monitor_filter monitor_filter;
SIZE(monitor_filter, 16);
MEMBER(monitor_filter, char *, raw_pkt_filter, 0);
MEMBER(monitor_filter, char *, stream_syn_filter, 0);
MEMBER(monitor_filter, char *, stream_orphan_filter, 8);
SIZE(monitor_filter_t, sizeof(void *));

typedef struct mtcp_context mtcp_context;
SIZE(mtcp_context, 4);
MEMBER(mtcp_context, int, cpu, 0);
SIZE(mctx_t, sizeof(void *));

typedef struct mtcp_conf mtcp_conf;
typedef uint64_t masks[20];
typedef char *arguments[20][20];
typedef int counts[20];
SIZE(mtcp_conf, 3488);
MEMBER(mtcp_conf, int, num_cores, 0);
MEMBER(mtcp_conf, int, max_concurrency, 4);
MEMBER(mtcp_conf, uint64_t, cpu_mask, 8);
MEMBER(mtcp_conf, int, max_num_buffers, 16);
MEMBER(mtcp_conf, int, rcvbuf_size, 20);
MEMBER(mtcp_conf, int, sndbuf_size, 24);
MEMBER(mtcp_conf, int, tcp_timewait, 28);
MEMBER(mtcp_conf, int, tcp_timeout, 32);
MEMBER(mtcp_conf, masks, app_cpu_mask, 40);
MEMBER(mtcp_conf, arguments, app_argv, 200);
MEMBER(mtcp_conf, counts, app_argc, 3400);
MEMBER(mtcp_conf, int, num_app, 3480);

typedef struct app_context app_context;
SIZE(app_context, 32);
MEMBER(app_context, mctx_t, mctx, 0);
MEMBER(app_context, int, socket_id, 8);
MEMBER(app_context, struct conn_filter *, cf, 16);
MEMBER(app_context, int, ep_id, 24);

typedef struct app_ops app_ops;
typedef void (*init_function)(int, char **);
typedef void (*run_function)(mctx_t, void **);
SIZE(app_ops, 32);
MEMBER(app_ops, init_function, app_init, 0);
MEMBER(app_ops, run_function, thread_init, 8);
MEMBER(app_ops, run_function, run, 16);
MEMBER(app_ops, int, enable, 24);

SIZE(mtcp_epoll_data_t, 8);
SIZE(union mtcp_epoll_data, 8);
MEMBER(mtcp_epoll_data_t, void *, ptr, 0);
MEMBER(mtcp_epoll_data_t, int, sock, 0);
MEMBER(mtcp_epoll_data_t, uint32_t, u32, 0);
MEMBER(mtcp_epoll_data_t, uint64_t, u64, 0);

typedef struct mtcp_epoll_event mtcp_epoll_event;
SIZE(mtcp_epoll_event, 16);
MEMBER(mtcp_epoll_event, uint64_t, events, 0);
MEMBER(mtcp_epoll_event, mtcp_epoll_data_t, data, 8);

SIZE(seq_remap_info, 16);
MEMBER(seq_remap_info, int64_t, seq_off, 0);
MEMBER(seq_remap_info, int, side, 8);
MEMBER(seq_remap_info, uint32_t, base_seq, 12);

SIZE(event_t, 8);
SIZE(byte, 1);
SIZE(mtcp_manager_t, sizeof(void *));
SIZE(socket_map_t, sizeof(void *));

/* ---- Values ---- */

VALUE(MOS_NULL, 536870912);
VALUE(MOS_HK_RCV, 1073741824);
VALUE(MOS_HK_SND, -2147483647 - 1);
SIZE(enum mtcp_hook_point, sizeof(int));

VALUE(MOS_NULL_EVENT, 0);
VALUE(MOS_ON_PKT_IN, 0x1);
VALUE(MOS_ON_PKT_OUT, 0x2);
VALUE(MOS_ON_CONN_START, 0x4);
VALUE(MOS_ON_CONN_SETUP, 0x8);
VALUE(MOS_ON_CONN_NEW_DATA, 0x10);
VALUE(MOS_ON_ERROR, 0x20);
VALUE(MOS_ON_TIMEOUT, 0x40);
VALUE(MOS_ON_TCP_STATE_CHANGE, 0x80);
VALUE(MOS_ON_ORPHAN, 0x100);
VALUE(MOS_ON_REXMIT, 0x200);
VALUE(MOS_ON_CONN_END, 0x400);
VALUE(MOS_ON_DEBUG_MESSAGE, 0x800);
SIZE(enum mos_event_type, sizeof(int));

VALUE(MOS_SOCK_UNUSED, 0);
VALUE(MOS_SOCK_STREAM_LISTEN, 1);
VALUE(MOS_SOCK_PROXY_LISTEN, 2);
VALUE(MOS_SOCK_MONITOR_STREAM, 3);
VALUE(MOS_SOCK_STREAM, 4);
VALUE(MOS_SOCK_PROXY, 5);
VALUE(MOS_SOCK_MONITOR_STREAM_ACTIVE, 6);
VALUE(MOS_SOCK_MONITOR_RAW, 7);
VALUE(MOS_SOCK_EPOLL, 8);
VALUE(MOS_SOCK_PIPE, 9);
SIZE(enum socket_type, sizeof(int));

VALUE(SOL_SOCKET, 1);
VALUE(SOL_MONSOCKET, 0xfffe);
VALUE(MOS_FRAGINFO_CLIBUF, 0x01);
VALUE(MOS_FRAGINFO_SVRBUF, 0x02);
VALUE(MOS_INFO_CLIBUF, 0x03);
VALUE(MOS_INFO_SVRBUF, 0x04);
VALUE(MOS_TCP_STATE_CLI, 0x05);
VALUE(MOS_TCP_STATE_SVR, 0x06);
VALUE(MOS_TIMESTAMP, 0x07);
VALUE(MOS_CLIBUF, 0x09);
VALUE(MOS_SVRBUF, 0x0a);
VALUE(MOS_SEQ_REMAP, 0x0b);
VALUE(MOS_STOP_MON, 0x0c);
VALUE(MOS_FRAG_CLIBUF, 0x0d);
VALUE(MOS_FRAG_SVRBUF, 0x0e);
VALUE(MOS_CLIOVERLAP, 0x0f);
VALUE(MOS_SVROVERLAP, 0x10);
VALUE(MOS_IPV6, 0x20);
SIZE(enum mos_socket_opts, sizeof(int));

VALUE(MOS_OVERLAP_POLICY_FIRST, 0);
VALUE(MOS_OVERLAP_POLICY_LAST, 1);
VALUE(MOS_OVERLAP_CNT, 2);

VALUE(MOS_SIDE_CLI, 0);
VALUE(MOS_SIDE_SVR, 1);
VALUE(MOS_SIDE_BOTH, 2);

VALUE(TCP_CLOSED, 0);
VALUE(TCP_LISTEN, 1);
VALUE(TCP_SYN_SENT, 2);
VALUE(TCP_SYN_RCVD, 3);
VALUE(TCP_ESTABLISHED, 4);
VALUE(TCP_FIN_WAIT_1, 5);
VALUE(TCP_FIN_WAIT_2, 6);
VALUE(TCP_CLOSE_WAIT, 7);
VALUE(TCP_CLOSING, 8);
VALUE(TCP_LAST_ACK, 9);
VALUE(TCP_TIME_WAIT, 10);
SIZE(enum tcpstate, sizeof(int));

VALUE(MOS_ETH_HDR, 0x1);
VALUE(MOS_IP_HDR, 0x2);
VALUE(MOS_TCP_HDR, 0x4);
VALUE(MOS_TCP_PAYLOAD, 0x8);
VALUE(MOS_UPDATE_IP_CHKSUM, 0x10);
VALUE(MOS_UPDATE_TCP_CHKSUM, 0x20);
VALUE(MOS_DROP, 0x40);
VALUE(MOS_OVERWRITE, 0x80);
VALUE(MOS_CHOMP, 0x100);
VALUE(MOS_INSERT, 0x200);

VALUE(MOS_EPOLL_CTL_ADD, 1);
VALUE(MOS_EPOLL_CTL_DEL, 2);
VALUE(MOS_EPOLL_CTL_MOD, 3);
SIZE(enum mtcp_epoll_op, sizeof(int));

VALUE(MOS_EPOLLNONE, 0x1);
VALUE(MOS_EPOLLIN, 0x2);
VALUE(MOS_EPOLLPRI, 0x4);
VALUE(MOS_EPOLLOUT, 0x8);
VALUE(MOS_EPOLLRDNORM, 0x10);
VALUE(MOS_EPOLLRDBAND, 0x20);
VALUE(MOS_EPOLLWRNORM, 0x40);
VALUE(MOS_EPOLLWRBAND, 0x80);
VALUE(MOS_EPOLLMSG, 0x100);
VALUE(MOS_EPOLLERR, 0x200);
VALUE(MOS_EPOLLHUP, 0x400);
VALUE(MOS_EPOLLRDHUP, 0x800);
VALUE(MOS_EPOLLONESHOT, 1073741824);
VALUE(MOS_EPOLLET, -2147483647 - 1);
SIZE(enum epoll_event_type, sizeof(int));
/* What programs put into the 64 bits of an event. */
CHECK((uint64_t)MOS_EPOLLET == UINT64_C(0xffffffff80000000));

VALUE(MOS_ACT_SEND_DATA, 0x2);
VALUE(MOS_ACT_SEND_ACK_NOW, 0x4);
VALUE(MOS_ACT_SEND_ACK_AGG, 0x8);
VALUE(MOS_ACT_SEND_CONTROL, 0x10);
VALUE(MOS_ACT_SEND_RST, 0x20);
VALUE(MOS_ACT_DESTROY, 0x40);
VALUE(MOS_ACT_READ_DATA, 0x80);
VALUE(MOS_ACT_CNT, 0x81);
SIZE(enum mtcp_action, sizeof(int));

VALUE(APP_NAME_LEN, 40);
VALUE(MOS_APP, 20);
VALUE(MOS_APP_ARGC, 20);
VALUE(INPORT_ANY, 0);
CHECK(sizeof(INPORT_ANY) == sizeof(uint16_t));

/* Defined, and empty. */
#ifndef MTCP_CB_GETCURPKT_CREATE_COPY
#error "MTCP_CB_GETCURPKT_CREATE_COPY is missing"
#endif
CHECK(MTCP_CB_GETCURPKT_CREATE_COPY 1);
/* An enumerator, and yet to be asked for by the preprocessor. */
#ifndef MOS_IPV6
#error "MOS_IPV6 is missing"
#endif
