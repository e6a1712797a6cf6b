/* Arguments that are wrong, in every place of every call: each is refused with an error that its manual page names. */
#include <sys/ioctl.h>
#include <sys/uio.h>

#include "test.h"
#include "capture.h"

int mtcp_get_debug_string(mctx_t mctx, char *buf, int len);
int mtcp_set_debug_string(mctx_t mctx, const char *text);

static void
nothing(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)sock, (void)side, (void)event, (void)arg;
}

static bool
always(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)sock, (void)side, (void)event, (void)arg;
	return true;
}

static void
write_traffic(void)
{
	struct talk t[3];
	int i;

	begin_capture("in.pcap");
	for (i = 0; i < 3; i++) {
		t[i] = talk(i);
		handshake(&t[i]);
		say(&t[i], CLI, "question");
		say(&t[i], SVR, "answer");
	}
	for (i = 0; i < 40; i++)
		say(&t[i % 3], i & 1, "more");
	udp(t[0].addr[CLI], t[0].addr[SVR], "not TCP");
	goodbye(&t[0]);
	end_capture();
}

/* Arguments that are right. */
static struct {
	int number;
	int numbers[2];
	socklen_t len;
	char bytes[256];
	struct sockaddr_in addr[2];
	struct sockaddr_in name;
	struct iovec iov;
	struct mtcp_epoll_event ev;
	union monitor_filter filter;
	struct pkt_info packet;
	struct timeval time;
	struct tcp_buf_info info;
	struct tcp_ring_fragment fragments[4];
	uint8_t ip[40], tcp[60];
} right;

static void
set_right(void)
{
	memset(&right, 0, sizeof(right));
	right.len = sizeof(right.addr);
	right.name.sin_family = AF_INET;
	right.iov = (struct iovec){ right.bytes, sizeof(right.bytes) };
	right.packet.iph = (struct iphdr *)right.ip;
	right.packet.tcph = (struct tcphdr *)right.tcp;
	right.ip[0] = 0x45;
	right.tcp[12] = 5 << 4;
	right.time.tv_sec = 3600;
}

/* Calls that any thread may make. */
#define CALLS_OF_ANY_THREAD(m, s) \
	CALL(-1, mtcp_socket(m, AF_INET, SOCK_STREAM, 0)) \
	CALL(-1, mtcp_close(m, s)) \
	CALL(-1, mtcp_setsock_nonblock(m, s)) \
	CALL(-1, mtcp_ioctl(m, s, FIONBIO, &right.number)) \
	CALL(-1, mtcp_ioctl(m, s, FIONREAD, &right.number)) \
	CALL(-1, mtcp_getsockopt(m, s, SOL_SOCKET, SO_ERROR, &right.number, &right.len)) \
	CALL(-1, mtcp_setsockopt(m, s, SOL_SOCKET, SO_REUSEADDR, &right.number, sizeof(int))) \
	CALL(-1, mtcp_setsockopt(m, s, SOL_MONSOCKET, MOS_CLIBUF, &right.number, sizeof(int))) \
	CALL(-1, mtcp_getsockname(m, s, (struct sockaddr *)&right.addr, &right.len)) \
	CALL(-1, mtcp_bind(m, s, (struct sockaddr *)&right.name, sizeof(right.name))) \
	CALL(-1, mtcp_listen(m, s, 10)) \
	CALL(-1, mtcp_accept(m, s, (struct sockaddr *)&right.addr, &right.len)) \
	CALL(-1, mtcp_connect(m, s, (struct sockaddr *)&right.name, sizeof(right.name))) \
	CALL(-1, mtcp_init_rss(m, 0, 1, 0, 0)) \
	CALL(-1, mtcp_abort(m, s)) \
	CALL(-1, mtcp_recv(m, s, right.bytes, sizeof(right.bytes), 0)) \
	CALL(-1, mtcp_read(m, s, right.bytes, sizeof(right.bytes))) \
	CALL(-1, mtcp_readv(m, s, &right.iov, 1)) \
	CALL(-1, mtcp_write(m, s, right.bytes, sizeof(right.bytes))) \
	CALL(-1, mtcp_writev(m, s, &right.iov, 1)) \
	CALL(-1, mtcp_pipe(m, right.numbers)) \
	CALL(-1, mtcp_epoll_create(m, 1)) \
	CALL(-1, mtcp_epoll_ctl(m, s, MOS_EPOLL_CTL_ADD, s, &right.ev)) \
	CALL(-1, mtcp_epoll_wait(m, s, &right.ev, 1, 0)) \
	CALL(-1, mtcp_bind_monitor_filter(m, s, &right.filter)) \
	CALL(-1, mtcp_register_callback(m, s, MOS_ON_ORPHAN, MOS_NULL, nothing)) \
	CALL(-1, mtcp_unregister_callback(m, s, MOS_ON_ORPHAN, MOS_NULL)) \
	CALL(-1, mtcp_settimer(m, 1, &right.time, nothing)) \
	CALL((uint32_t)-1, mtcp_get_connection_cnt(m))

/* Calls of the core's own thread. */
#define CALLS_OF_CORE(m, s) \
	CALL(-1, mtcp_getsockopt(m, s, SOL_MONSOCKET, MOS_TCP_STATE_CLI, &right.number, &right.len)) \
	CALL(-1, mtcp_getpeername(m, s, (struct sockaddr *)&right.addr, &right.len, MOS_SIDE_BOTH)) \
	CALL(-1, mtcp_peek(m, s, MOS_SIDE_CLI, right.bytes, sizeof(right.bytes))) \
	CALL(-1, mtcp_ppeek(m, s, MOS_SIDE_CLI, right.bytes, sizeof(right.bytes), 0)) \
	CALL(-1, mtcp_getlastpkt(m, s, MOS_SIDE_CLI, &right.packet)) \
	CALL(-1, mtcp_setlastpkt(m, s, MOS_SIDE_CLI, 0, (byte *)right.bytes, 1, MOS_OVERWRITE | MOS_TCP_PAYLOAD)) \
	CALL(-1, mtcp_cb_dropcurpkt(m)) \
	CALL(-1, mtcp_sendpkt(m, s, &right.packet)) \
	CALL(-1, mtcp_reset_conn(m, s)) \
	CALL(-1, mtcp_cb_stop(m, s, MOS_SIDE_BOTH)) \
	CALL(-1, mtcp_raise_event(m, 4096)) \
	CALL(0, mtcp_get_uctx(m, s)) \
	CALL(0, mtcp_cb_get_ts(m))

/* All of them fail with the same error. */
#define ALL_FAIL_WITH(calls, m, s, expected) \
	do { \
		set_right(); \
		calls(m, s) \
		errno = 0; \
	} while (0)

static int wanted;

#define CALL(failed, call) \
	do { \
		long long result_; \
		errno = 0; \
		result_ = (long long)(call); \
		if (result_ != (long long)(failed) || errno != wanted) \
			fail(__FILE__, __LINE__, "%s gives %lld with errno %s, not %s", #call, result_, \
			     strerrorname(errno), strerrorname(wanted)); \
	} while (0);

static void
all_fail(mctx_t mctx, int sock, int with)
{
	wanted = with;
	ALL_FAIL_WITH(CALLS_OF_ANY_THREAD, mctx, sock, with);
	ALL_FAIL_WITH(CALLS_OF_CORE, mctx, sock, with);
	EXPECT_ERRNO(mtcp_destroy_context(mctx), with);
	errno = 0;
	mtcp_set_uctx(mctx, sock, &right);
	EXPECT_IS(errno, with);
	/* It has nothing to wait for. */
	mtcp_app_join(mctx);
}

/* What is no context, at any time. */
static void
all_refuse_garbage(mctx_t real)
{
	static struct mtcp_context own;
	mctx_t none[] = { NULL, &own, (mctx_t)1, (mctx_t)-1, (mctx_t)((uintptr_t)-1 / 2), real + 1, (mctx_t)((char *)real + 1),
			  real + 1000000, real - 1000000 };
	size_t i;

	for (i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		at("context %zu", i);
		all_fail(none[i], 1, EACCES);
	}
	at("%s", "");
}

static void
before_and_after(void)
{
	struct mtcp_conf conf;
	mctx_t mctx, again;
	int sock;

	/* Before mtcp_init. */
	all_refuse_garbage((mctx_t)&conf);
	EXPECT_ERRNO(mtcp_getconf(NULL), EINVAL);
	EXPECT_ERRNO(mtcp_getconf(&conf), EPERM);
	EXPECT_ERRNO(mtcp_setconf(NULL), EINVAL);
	memset(&conf, 0, sizeof(conf));
	EXPECT_ERRNO(mtcp_setconf(&conf), EPERM);
	EXPECT_FAILS_WITH(NULL, mtcp_create_context(0), EPERM);
	EXPECT_ERRNO(mtcp_init(NULL), EFAULT);
	EXPECT_ERRNO(mtcp_init("no/such/file"), ENOENT);
	EXPECT_ERRNO(mtcp_init("."), EISDIR);
	EXPECT_FAILS_WITH(NULL, mtcp_create_context(0), EPERM);
	write_conf("forward = 0\nforwad = 1", "pcap:in.pcap 0x1");
	EXPECT_ERRNO(mtcp_init("mos.conf"), EINVAL);
	EXPECT_ERRNO(mtcp_getconf(&conf), EPERM);
	EXPECT_IS(mtcp_destroy(), 0);

	/* Between. The capture is not there yet. */
	init("forward = 0", "pcap:in.pcap 0x1");
	EXPECT_FAILS_WITH(NULL, mtcp_create_context(0), ENODEV);
	write_traffic();
	mctx = context(0);
	EXPECT_ERRNO(mtcp_init("mos.conf"), EBUSY);
	EXPECT_FAILS_WITH(NULL, mtcp_create_context(0), EEXIST);
	sock = monitor(mctx);
	all_refuse_garbage(mctx);

	/* After the end of the captures, after mtcp_destroy_context, after mtcp_destroy. */
	mtcp_app_join(mctx);
	set_right();
	wanted = EACCES;
	ALL_FAIL_WITH(CALLS_OF_ANY_THREAD, mctx, sock, EACCES);
	EXPECT_IS(mtcp_destroy_context(mctx), 0);
	all_fail(mctx, sock, EACCES);
	again = context(0);
	/* The new one has another name. */
	EXPECT(again != mctx);
	all_fail(mctx, sock, EACCES);
	EXPECT_IS(mtcp_destroy(), 0);
	all_fail(mctx, sock, EACCES);
	all_fail(again, sock, EACCES);
	EXPECT_ERRNO(mtcp_getconf(&conf), EPERM);
	EXPECT_FAILS_WITH(NULL, mtcp_create_context(0), EPERM);
}

static void
configuration(void)
{
	static const size_t wrong[][3] = {
		/* member, a value, another value */
		{ offsetof(struct mtcp_conf, num_cores), 0, 65 },
		{ offsetof(struct mtcp_conf, max_concurrency), 0, 16777217 },
		{ offsetof(struct mtcp_conf, rcvbuf_size), 0, 1073741825 },
		{ offsetof(struct mtcp_conf, sndbuf_size), (size_t)-1, 1073741825 },
		{ offsetof(struct mtcp_conf, tcp_timewait), (size_t)-1, (size_t)-2147483648 },
		{ offsetof(struct mtcp_conf, tcp_timeout), (size_t)-2, (size_t)-2147483648 },
	};
	struct mtcp_conf conf, before;
	size_t i, j;

	write_traffic();
	init("forward = 0\ntcp_timeout = 7\nrmem_size = 4096\nmax_concurrency = 100\ntcp_tw_interval = 3", "pcap:in.pcap 0x3");
	memset(&before, 0xff, sizeof(before));
	EXPECT_IS(mtcp_getconf(&before), 0);
	EXPECT_IS(before.num_cores, 2);
	EXPECT_IS(before.max_concurrency, 100);
	EXPECT_IS(before.max_num_buffers, 100);
	EXPECT_IS(before.cpu_mask, 3);
	EXPECT_IS(before.rcvbuf_size, 4096);
	EXPECT_IS(before.tcp_timeout, 7);
	EXPECT_IS(before.tcp_timewait, 3);
	EXPECT_IS(before.num_app, 0);
	EXPECT_ERRNO(mtcp_getconf(NULL), EINVAL);
	EXPECT_ERRNO(mtcp_setconf(NULL), EINVAL);
	/* All or nothing. */
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		for (j = 1; j < 3; j++) {
			conf = before;
			conf.tcp_timewait = 9;
			*(int *)((char *)&conf + wrong[i][0]) = wrong[i][j];
			EXPECT_ERRNO(mtcp_setconf(&conf), EINVAL);
			EXPECT_IS(mtcp_getconf(&conf), 0);
			EXPECT_IS(memcmp(&conf, &before, offsetof(struct mtcp_conf, tcp_timeout) + sizeof(int)), 0);
		}
	/* Never is -1, whichever way it was said. What is not taken may have any value. */
	conf = before;
	conf.tcp_timeout = 0;
	conf.max_num_buffers = -5;
	conf.cpu_mask = ~0ull;
	conf.num_app = 1000;
	EXPECT_IS(mtcp_setconf(&conf), 0);
	EXPECT_IS(mtcp_getconf(&conf), 0);
	EXPECT_IS(conf.tcp_timeout, -1);
	EXPECT_IS(conf.max_num_buffers, 100);
	EXPECT_IS(conf.cpu_mask, 3);
	EXPECT_IS(conf.num_app, 0);
	EXPECT_IS(mtcp_destroy(), 0);
}

/* Calls of other threads. */

static void
from_outside(void)
{
	struct timeval time;
	union monitor_filter filter;
	mctx_t mctx;
	int listener, raw, stream, gone, value, i;
	const int wrong_ids[] = { 0, -1, -2147483647 - 1, 2147483647, 77 };

	write_traffic();
	mctx = start();
	listener = monitor(mctx);
	raw = raw_monitor(mctx);
	stream = mtcp_socket(mctx, AF_INET, SOCK_STREAM, 0);
	gone = mtcp_socket(mctx, AF_INET, MOS_SOCK_STREAM, 0);
	EXPECT_ERRNO(mtcp_close(mctx, gone), ENOTCONN);

	/* What is for the core's own thread. */
	wanted = EPERM;
	ALL_FAIL_WITH(CALLS_OF_CORE, mctx, listener, EPERM);
	errno = 0;
	mtcp_set_uctx(mctx, listener, &value);
	EXPECT_IS(errno, EPERM);

	EXPECT_ERRNO(mtcp_socket(mctx, AF_INET6, SOCK_STREAM, 0), EAFNOSUPPORT);
	EXPECT_ERRNO(mtcp_socket(mctx, -1, SOCK_STREAM, 0), EAFNOSUPPORT);
	for (i = -3; i < 20; i++)
		if (i != SOCK_STREAM && i != MOS_SOCK_MONITOR_STREAM && i != MOS_SOCK_STREAM && i != MOS_SOCK_MONITOR_RAW)
			EXPECT_ERRNO(mtcp_socket(mctx, AF_INET, i, 0), EINVAL);

	/* Descriptors that name nothing. */
	for (i = 0; i < 6; i++) {
		int sock = i < 5 ? wrong_ids[i] : gone;

		at("descriptor %d", sock);
		set_right();
		EXPECT_ERRNO(mtcp_close(mctx, sock), EBADF);
		EXPECT_ERRNO(mtcp_setsock_nonblock(mctx, sock), EBADF);
		EXPECT_ERRNO(mtcp_ioctl(mctx, sock, FIONBIO, &value), EBADF);
		EXPECT_ERRNO(mtcp_getsockopt(mctx, sock, SOL_SOCKET, SO_ERROR, &value, &right.len), EBADF);
		EXPECT_ERRNO(mtcp_setsockopt(mctx, sock, SOL_SOCKET, SO_ERROR, &value, sizeof(value)), EBADF);
		EXPECT_ERRNO(set_option(mctx, sock, MOS_CLIBUF, 0), EBADF);
		EXPECT_ERRNO(mtcp_getsockname(mctx, sock, (struct sockaddr *)&right.addr, &right.len), EBADF);
		EXPECT_ERRNO(mtcp_bind(mctx, sock, (struct sockaddr *)&right.name, sizeof(right.name)), EBADF);
		EXPECT_ERRNO(mtcp_listen(mctx, sock, 1), EBADF);
		EXPECT_ERRNO(mtcp_accept(mctx, sock, NULL, NULL), EBADF);
		EXPECT_ERRNO(mtcp_connect(mctx, sock, (struct sockaddr *)&right.name, sizeof(right.name)), EBADF);
		EXPECT_ERRNO(mtcp_abort(mctx, sock), EBADF);
		EXPECT_ERRNO(mtcp_read(mctx, sock, right.bytes, 1), EBADF);
		EXPECT_ERRNO(mtcp_readv(mctx, sock, &right.iov, 1), EBADF);
		EXPECT_ERRNO(mtcp_write(mctx, sock, right.bytes, 1), EBADF);
		EXPECT_ERRNO(mtcp_writev(mctx, sock, &right.iov, 1), EBADF);
		EXPECT_ERRNO(mtcp_epoll_ctl(mctx, sock, MOS_EPOLL_CTL_ADD, sock, &right.ev), EBADF);
		EXPECT_ERRNO(mtcp_epoll_wait(mctx, sock, &right.ev, 1, 0), EBADF);
		EXPECT_ERRNO(mtcp_bind_monitor_filter(mctx, sock, &right.filter), EBADF);
		EXPECT_ERRNO(mtcp_register_callback(mctx, sock, MOS_ON_PKT_IN, MOS_HK_SND, nothing), EBADF);
		EXPECT_ERRNO(mtcp_unregister_callback(mctx, sock, MOS_ON_PKT_IN, MOS_HK_SND), EBADF);
	}
	at("%s", "");

	/* Descriptors of another kind. */
	set_right();
	for (i = 0; i < 2; i++) {
		int sock = i ? raw : listener;

		at("a %s monitor", i ? "raw" : "stream");
		EXPECT_ERRNO(mtcp_setsock_nonblock(mctx, sock), EBADF);
		EXPECT_ERRNO(mtcp_ioctl(mctx, sock, FIONBIO, &value), EBADF);
		EXPECT_ERRNO(mtcp_getsockopt(mctx, sock, SOL_SOCKET, SO_ERROR, &value, &right.len), ENOTSOCK);
		EXPECT_ERRNO(mtcp_setsockopt(mctx, sock, SOL_SOCKET, SO_ERROR, &value, sizeof(value)), ENOTSOCK);
		EXPECT_ERRNO(mtcp_getsockname(mctx, sock, (struct sockaddr *)&right.addr, &right.len), ENOTSOCK);
		EXPECT_ERRNO(mtcp_bind(mctx, sock, (struct sockaddr *)&right.name, sizeof(right.name)), ENOTSOCK);
		EXPECT_ERRNO(mtcp_listen(mctx, sock, 1), ENOTSOCK);
		EXPECT_ERRNO(mtcp_accept(mctx, sock, NULL, NULL), ENOTSOCK);
		EXPECT_ERRNO(mtcp_connect(mctx, sock, (struct sockaddr *)&right.name, sizeof(right.name)), ENOTSOCK);
		EXPECT_ERRNO(mtcp_abort(mctx, sock), ENOTSOCK);
		EXPECT_ERRNO(mtcp_read(mctx, sock, right.bytes, 1), ENOTSOCK);
		EXPECT_ERRNO(mtcp_write(mctx, sock, right.bytes, 1), ENOTSOCK);
		EXPECT_ERRNO(mtcp_readv(mctx, sock, &right.iov, 1), ENOTSOCK);
		EXPECT_ERRNO(mtcp_writev(mctx, sock, &right.iov, 1), ENOTSOCK);
		EXPECT_ERRNO(mtcp_epoll_ctl(mctx, sock, MOS_EPOLL_CTL_ADD, stream, &right.ev), EINVAL);
		EXPECT_ERRNO(mtcp_epoll_wait(mctx, sock, &right.ev, 1, 0), EINVAL);
	}
	at("%s", "");
	EXPECT_ERRNO(set_option(mctx, stream, MOS_CLIBUF, 0), ENOTSOCK);
	EXPECT_ERRNO(set_option(mctx, raw, MOS_CLIBUF, 0), ENOTSOCK);
	EXPECT_ERRNO(set_option(mctx, stream, MOS_IPV6, 1), ENOTSOCK);
	EXPECT_ERRNO(mtcp_bind_monitor_filter(mctx, stream, &right.filter), ENOPROTOOPT);
	EXPECT_ERRNO(mtcp_register_callback(mctx, stream, MOS_ON_PKT_IN, MOS_HK_SND, nothing), EINVAL);

	/* Stream sockets. */
	EXPECT_IS(mtcp_setsock_nonblock(mctx, stream), 0);
	value = 1;
	EXPECT_IS(mtcp_ioctl(mctx, stream, FIONBIO, &value), 0);
	EXPECT_ERRNO(mtcp_ioctl(mctx, stream, FIONBIO, NULL), EFAULT);
	EXPECT_ERRNO(mtcp_ioctl(mctx, stream, FIONREAD, NULL), EFAULT);
	EXPECT_ERRNO(mtcp_ioctl(mctx, stream, FIONREAD, &value), EBADF);
	EXPECT_ERRNO(mtcp_ioctl(mctx, stream, 0, &value), EINVAL);
	EXPECT_ERRNO(mtcp_ioctl(mctx, stream, -1, &value), EINVAL);
	EXPECT_ERRNO(mtcp_getsockopt(mctx, stream, SOL_SOCKET, SO_ERROR, &value, &right.len), EBADF);
	EXPECT_ERRNO(mtcp_getsockopt(mctx, stream, SOL_SOCKET, SO_TYPE, &value, &right.len), ENOSYS);
	EXPECT_ERRNO(mtcp_getsockopt(mctx, stream, SOL_SOCKET, SO_ERROR, NULL, NULL), EBADF);
	EXPECT_ERRNO(mtcp_getsockopt(mctx, stream, 12345, SO_ERROR, &value, &right.len), ENOSYS);
	EXPECT_ERRNO(mtcp_setsockopt(mctx, stream, SOL_SOCKET, SO_ERROR, &value, sizeof(value)), ENOSYS);
	EXPECT_ERRNO(mtcp_setsockopt(mctx, stream, 12345, SO_ERROR, NULL, 0), ENOSYS);
	EXPECT_ERRNO(mtcp_getsockname(mctx, stream, NULL, &right.len), EFAULT);
	EXPECT_ERRNO(mtcp_getsockname(mctx, stream, (struct sockaddr *)&right.addr, NULL), EFAULT);
	right.len = 0;
	EXPECT_ERRNO(mtcp_getsockname(mctx, stream, (struct sockaddr *)&right.addr, &right.len), EINVAL);
	right.len = 3;
	memset(&right.addr, 0x55, sizeof(right.addr));
	EXPECT_IS(mtcp_getsockname(mctx, stream, (struct sockaddr *)&right.addr, &right.len), 0);
	EXPECT_IS(right.len, sizeof(struct sockaddr_in));
	EXPECT_IS(((uint8_t *)&right.addr)[3], 0x55);
	right.len = -1;
	EXPECT_IS(mtcp_getsockname(mctx, stream, (struct sockaddr *)&right.addr, &right.len), 0);
	EXPECT_IS(right.addr[0].sin_family, AF_INET);
	EXPECT_IS(((uint8_t *)&right.addr)[16], 0x55);
	set_right();
	EXPECT_ERRNO(mtcp_bind(mctx, stream, (struct sockaddr *)&right.name, sizeof(right.name)), EOPNOTSUPP);
	EXPECT_ERRNO(mtcp_bind(mctx, stream, NULL, sizeof(right.name)), EINVAL);
	EXPECT_ERRNO(mtcp_bind(mctx, stream, (struct sockaddr *)&right.name, 15), EINVAL);
	EXPECT_ERRNO(mtcp_bind(mctx, stream, (struct sockaddr *)&right.name, 0), EINVAL);
	EXPECT_ERRNO(mtcp_connect(mctx, stream, (struct sockaddr *)&right.name, sizeof(right.name)), EOPNOTSUPP);
	EXPECT_ERRNO(mtcp_connect(mctx, stream, NULL, sizeof(right.name)), EFAULT);
	EXPECT_ERRNO(mtcp_connect(mctx, stream, (struct sockaddr *)&right.name, 15), EINVAL);
	right.name.sin_family = AF_INET6;
	EXPECT_ERRNO(mtcp_bind(mctx, stream, (struct sockaddr *)&right.name, sizeof(right.name)), EINVAL);
	EXPECT_ERRNO(mtcp_connect(mctx, stream, (struct sockaddr *)&right.name, sizeof(right.name)), EAFNOSUPPORT);
	EXPECT_ERRNO(mtcp_listen(mctx, stream, 10), EOPNOTSUPP);
	EXPECT_ERRNO(mtcp_listen(mctx, stream, 0), EINVAL);
	EXPECT_ERRNO(mtcp_listen(mctx, stream, -1), EINVAL);
	/* More than max_concurrency. */
	EXPECT_ERRNO(mtcp_listen(mctx, stream, 100001), EINVAL);
	EXPECT_ERRNO(mtcp_listen(mctx, stream, 2147483647), EINVAL);
	EXPECT_ERRNO(mtcp_accept(mctx, stream, NULL, NULL), EOPNOTSUPP);
	EXPECT_ERRNO(mtcp_abort(mctx, stream), ENOTCONN);
	EXPECT_ERRNO(mtcp_init_rss(mctx, 0, 0, 0, 0), EINVAL);
	EXPECT_ERRNO(mtcp_init_rss(mctx, 0, -1, 0, 0), EINVAL);
	EXPECT_ERRNO(mtcp_init_rss(mctx, 0, 1, 0, 0), ENOSYS);
	EXPECT_ERRNO(mtcp_read(mctx, stream, right.bytes, 10), ENOSYS);
	EXPECT_ERRNO(mtcp_read(mctx, stream, NULL, 0), ENOSYS);
	EXPECT_ERRNO(mtcp_read(mctx, stream, NULL, 10), EFAULT);
	EXPECT_ERRNO(mtcp_recv(mctx, stream, right.bytes, 10, MSG_PEEK), ENOSYS);
	EXPECT_ERRNO(mtcp_recv(mctx, stream, right.bytes, 10, -1), EINVAL);
	EXPECT_ERRNO(mtcp_recv(mctx, stream, right.bytes, 10, MSG_DONTWAIT), EINVAL);
	EXPECT_ERRNO(mtcp_write(mctx, stream, right.bytes, (size_t)-1), ENOSYS);
	EXPECT_ERRNO(mtcp_write(mctx, stream, NULL, 10), EFAULT);
	EXPECT_ERRNO(mtcp_readv(mctx, stream, &right.iov, 1), ENOSYS);
	EXPECT_ERRNO(mtcp_readv(mctx, stream, NULL, 1), EFAULT);
	EXPECT_ERRNO(mtcp_readv(mctx, stream, NULL, 0), ENOSYS);
	EXPECT_ERRNO(mtcp_readv(mctx, stream, &right.iov, -1), EINVAL);
	EXPECT_ERRNO(mtcp_readv(mctx, stream, &right.iov, 1025), EINVAL);
	EXPECT_ERRNO(mtcp_writev(mctx, stream, NULL, 1), EFAULT);
	EXPECT_ERRNO(mtcp_writev(mctx, stream, &right.iov, -2147483647 - 1), EINVAL);
	EXPECT_ERRNO(mtcp_pipe(mctx, NULL), EFAULT);
	EXPECT_ERRNO(mtcp_pipe(mctx, right.numbers), ENOSYS);
	EXPECT_ERRNO(mtcp_epoll_create(mctx, 0), EINVAL);
	EXPECT_ERRNO(mtcp_epoll_create(mctx, -1), EINVAL);
	EXPECT_ERRNO(mtcp_epoll_create(mctx, 2147483647), ENOSYS);
	EXPECT_ERRNO(mtcp_epoll_ctl(mctx, stream, MOS_EPOLL_CTL_ADD, stream, NULL), EINVAL);
	EXPECT_ERRNO(mtcp_epoll_ctl(mctx, stream, 99, stream, &right.ev), EINVAL);
	EXPECT_ERRNO(mtcp_epoll_wait(mctx, stream, NULL, 1, 0), EINVAL);
	EXPECT_ERRNO(mtcp_epoll_wait(mctx, stream, &right.ev, -1, -1), EINVAL);
	EXPECT_ERRNO(mtcp_get_debug_string(mctx, right.bytes, sizeof(right.bytes)), ENOSYS);
	EXPECT_ERRNO(mtcp_get_debug_string(mctx, NULL, -1), ENOSYS);
	EXPECT_EITHER(mtcp_get_debug_string(NULL, NULL, -1), ENOSYS, EACCES);
	EXPECT_ERRNO(mtcp_set_debug_string(mctx, NULL), ENOSYS);
	EXPECT_EITHER(mtcp_set_debug_string(NULL, NULL), ENOSYS, EACCES);

	/* Options of monitors. */
	for (i = -2; i < 64; i++) {
		int known = i == MOS_CLIBUF || i == MOS_SVRBUF || i == MOS_STOP_MON || i == MOS_FRAG_CLIBUF || i == MOS_FRAG_SVRBUF ||
			    i == MOS_CLIOVERLAP || i == MOS_SVROVERLAP || i == MOS_IPV6;

		if (!known)
			EXPECT_ERRNO(set_option(mctx, listener, i, 0), ENOSYS);
	}
	value = 0;
	EXPECT_ERRNO(mtcp_setsockopt(mctx, listener, SOL_MONSOCKET, MOS_CLIBUF, NULL, sizeof(value)), EFAULT);
	EXPECT_ERRNO(mtcp_setsockopt(mctx, listener, SOL_MONSOCKET, MOS_CLIBUF, &value, 3), EINVAL);
	EXPECT_ERRNO(mtcp_setsockopt(mctx, listener, SOL_MONSOCKET, MOS_CLIBUF, &value, 0), EINVAL);
	EXPECT_ERRNO(set_option(mctx, listener, MOS_CLIBUF, -1), EINVAL);
	EXPECT_ERRNO(set_option(mctx, listener, MOS_SVRBUF, -2147483647 - 1), EINVAL);
	EXPECT_IS(set_option(mctx, listener, MOS_SVRBUF, 2147483647), 0);
	EXPECT_IS(set_option(mctx, listener, MOS_CLIBUF, 0), 0);
	EXPECT_IS(set_option(mctx, listener, MOS_FRAG_CLIBUF, 0), 0);
	EXPECT_ERRNO(set_option(mctx, listener, MOS_FRAG_SVRBUF, 1), ENOSYS);
	EXPECT_ERRNO(set_option(mctx, listener, MOS_CLIOVERLAP, 2), EINVAL);
	EXPECT_ERRNO(set_option(mctx, listener, MOS_CLIOVERLAP, -1), EINVAL);
	EXPECT_IS(set_option(mctx, listener, MOS_SVROVERLAP, MOS_OVERLAP_POLICY_LAST), 0);
	EXPECT_ERRNO(set_option(mctx, listener, MOS_STOP_MON, 3), EINVAL);
	EXPECT_ERRNO(set_option(mctx, listener, MOS_STOP_MON, -1), EINVAL);
	EXPECT_ERRNO(set_option(mctx, listener, MOS_IPV6, 2), EINVAL);
	EXPECT_ERRNO(set_option(mctx, raw, MOS_IPV6, -1), EINVAL);
	EXPECT_IS(set_option(mctx, raw, MOS_IPV6, 1), 0);

	/* Filters. */
	EXPECT_IS(mtcp_bind_monitor_filter(mctx, listener, NULL), 0);
	EXPECT_IS(mtcp_bind_monitor_filter(mctx, raw, NULL), 0);
	memset(&filter, 0, sizeof(filter));
	EXPECT_IS(mtcp_bind_monitor_filter(mctx, listener, &filter), 0);
	EXPECT_IS(mtcp_bind_monitor_filter(mctx, raw, &filter), 0);
	filter.raw_pkt_filter = "tcp and and";
	EXPECT_ERRNO(mtcp_bind_monitor_filter(mctx, raw, &filter), EINVAL);
	EXPECT_ERRNO(mtcp_bind_monitor_filter(mctx, listener, &filter), EINVAL);
	filter.raw_pkt_filter = "\xff\xfe";
	EXPECT_ERRNO(mtcp_bind_monitor_filter(mctx, raw, &filter), EINVAL);
	filter.raw_pkt_filter = "udp";
	EXPECT_IS(mtcp_bind_monitor_filter(mctx, raw, &filter), 0);
	EXPECT_ERRNO(mtcp_bind_monitor_filter(mctx, listener, &filter), EINVAL);
	filter.stream_syn_filter = NULL;
	filter.stream_orphan_filter = "not tcp";
	EXPECT_ERRNO(mtcp_bind_monitor_filter(mctx, listener, &filter), EINVAL);

	/* Timers. */
	time = (struct timeval){ 0, 0 };
	EXPECT_ERRNO(mtcp_settimer(mctx, 1, NULL, nothing), EFAULT);
	EXPECT_ERRNO(mtcp_settimer(mctx, 1, &time, NULL), EFAULT);
	time = (struct timeval){ -1, 0 };
	EXPECT_ERRNO(mtcp_settimer(mctx, 1, &time, nothing), EINVAL);
	time = (struct timeval){ 0, -1 };
	EXPECT_ERRNO(mtcp_settimer(mctx, 1, &time, nothing), EINVAL);
	time = (struct timeval){ 9223372036854775807, 9223372036854775807 };
	EXPECT_IS(mtcp_settimer(mctx, -1, &time, nothing), 0);
	time = (struct timeval){ 0, 1000000 };
	EXPECT_IS(mtcp_settimer(mctx, 1, &time, nothing), 0);

	EXPECT_ERRNO(mtcp_core_affinitize(-1), EINVAL);
	EXPECT_ERRNO(mtcp_core_affinitize(2147483647), EINVAL);
	EXPECT_IS(mtcp_core_affinitize(0), 0);
	finish(mctx);
}

/* Which events can be registered where. */
static void
registering(void)
{
	static const int hooks[] = { MOS_NULL, MOS_HK_SND, MOS_HK_RCV };
	/* At MOS_NULL, and at one of the other hooks: by bit. 2: only on monitors themselves. */
	static const struct { int null, hook; } allowed[12] = {
		{ 1, 1 }, { 1, 1 }, { 0, 1 }, { 1, 1 }, { 1, 0 }, { 1, 0 }, { 1, 1 }, { 0, 1 }, { 1, 0 }, { 0, 1 }, { 0, 1 }, { 1, 1 },
	};
	mctx_t mctx;
	int listener, raw, hook, bit;

	write_traffic();
	mctx = start();
	listener = monitor(mctx);
	raw = raw_monitor(mctx);
	for (hook = 0; hook < 3; hook++)
		for (bit = 0; bit < 12; bit++) {
			int fine = hook == 0 ? allowed[bit].null : allowed[bit].hook;
			event_t event = 1 << bit, defined = mtcp_define_event(event, always, NULL);

			at("event %d, hook %d", 1 << bit, hook);
			EXPECT(defined >= 4096);
			if (fine) {
				EXPECT_IS(mtcp_register_callback(mctx, listener, event, hooks[hook], nothing), 0);
				EXPECT_IS(mtcp_register_callback(mctx, listener, defined, hooks[hook], nothing), 0);
				EXPECT_IS(mtcp_unregister_callback(mctx, listener, event, hooks[hook]), 0);
				EXPECT_IS(mtcp_unregister_callback(mctx, listener, event, hooks[hook]), 0);
				EXPECT_IS(mtcp_register_callback(mctx, listener, defined, hooks[hook], NULL), 0);
			} else {
				EXPECT_ERRNO(mtcp_register_callback(mctx, listener, event, hooks[hook], nothing), EINVAL);
				EXPECT_ERRNO(mtcp_register_callback(mctx, listener, defined, hooks[hook], nothing), EINVAL);
			}
			/* Raw monitors have packets, and nothing else. */
			if (hook == 0 && (event == MOS_ON_PKT_IN || event == MOS_ON_ORPHAN)) {
				EXPECT_IS(mtcp_register_callback(mctx, raw, event, MOS_NULL, nothing), 0);
				EXPECT_IS(mtcp_register_callback(mctx, raw, defined, MOS_NULL, nothing), 0);
			} else if (event != MOS_ON_PKT_OUT && event != MOS_ON_CONN_SETUP && event != MOS_ON_TIMEOUT &&
				   event != MOS_ON_DEBUG_MESSAGE) {
				EXPECT_ERRNO(mtcp_register_callback(mctx, raw, event, hooks[hook], nothing), EINVAL);
			}
		}
	at("%s", "");
	EXPECT_ERRNO(mtcp_register_callback(mctx, listener, 0, MOS_NULL, nothing), EINVAL);
	EXPECT_ERRNO(mtcp_register_callback(mctx, listener, MOS_ON_PKT_IN | MOS_ON_REXMIT, MOS_HK_RCV, nothing), EINVAL);
	EXPECT_ERRNO(mtcp_register_callback(mctx, listener, 99999, MOS_HK_RCV, nothing), EINVAL);
	EXPECT_ERRNO(mtcp_register_callback(mctx, listener, ~0ull, MOS_HK_RCV, nothing), EINVAL);
	EXPECT_ERRNO(mtcp_register_callback(mctx, listener, MOS_ON_PKT_IN, 0, nothing), EINVAL);
	EXPECT_ERRNO(mtcp_register_callback(mctx, listener, MOS_ON_PKT_IN, -1, nothing), EINVAL);
	EXPECT_ERRNO(mtcp_register_callback(mctx, listener, MOS_ON_PKT_IN, MOS_HK_RCV | MOS_HK_SND, nothing), EINVAL);
	finish(mctx);
}

/* Events: definitions belong to no context. */
static void
defining(void)
{
	filter_arg_t none = { NULL, 0 }, some = { "argument", 8 }, wrong = { NULL, 1 };
	event_t event, child, last;
	int i;

	EXPECT_FAILS_WITH(0, mtcp_define_event(0, always, NULL), EINVAL);
	EXPECT_FAILS_WITH(0, mtcp_define_event(3, always, NULL), EINVAL);
	EXPECT_FAILS_WITH(0, mtcp_define_event(4096, always, NULL), EINVAL);
	EXPECT_FAILS_WITH(0, mtcp_define_event(~0ull, always, NULL), EINVAL);
	EXPECT_FAILS_WITH(0, mtcp_define_event(1ull << 63, always, NULL), EINVAL);
	EXPECT_FAILS_WITH(0, mtcp_define_event(MOS_ON_PKT_IN, NULL, NULL), EINVAL);
	EXPECT_FAILS_WITH(0, mtcp_define_event(MOS_ON_PKT_IN, always, &wrong), EINVAL);
	EXPECT_FAILS_WITH(0, mtcp_alloc_event(0), EINVAL);
	EXPECT_FAILS_WITH(0, mtcp_alloc_event(5000), EINVAL);
	event = mtcp_define_event(MOS_ON_PKT_IN, always, NULL);
	EXPECT_IS(event, 4096);
	/* The same again is the same. */
	EXPECT_IS(mtcp_define_event(MOS_ON_PKT_IN, always, &none), event);
	some.len = 0;
	EXPECT_IS(mtcp_define_event(MOS_ON_PKT_IN, always, &some), event);
	some.len = 8;
	child = mtcp_define_event(MOS_ON_PKT_IN, always, &some);
	EXPECT(child != event);
	EXPECT_IS(mtcp_define_event(MOS_ON_PKT_IN, always, &some), child);
	some.len = 7;
	EXPECT(mtcp_define_event(MOS_ON_PKT_IN, always, &some) != child);
	/* Events that are raised are never the same. */
	EXPECT(mtcp_alloc_event(event) != mtcp_alloc_event(event));
	/* More memory than there is. */
	some.len = (size_t)-1;
	EXPECT_FAILS_WITH(0, mtcp_define_event(MOS_ON_PKT_IN, always, &some), ENOMEM);
	some.len = (size_t)-1 / 2;
	EXPECT_FAILS_WITH(0, mtcp_define_event(MOS_ON_PKT_IN, always, &some), ENOMEM);
	some.len = (size_t)1 << 60;
	EXPECT_FAILS_WITH(0, mtcp_define_event(MOS_ON_PKT_IN, always, &some), ENOMEM);
	/* Deeper than any stack. */
	for (last = event, i = 0; i < 2000; i++) {
		last = mtcp_define_event(last, always, NULL);
		EXPECT(last > event);
	}
	EXPECT_IS(mtcp_destroy(), 0);
	/* All of them are forgotten. */
	EXPECT_FAILS_WITH(0, mtcp_define_event(event, always, NULL), EINVAL);
	EXPECT_IS(mtcp_define_event(MOS_ON_PKT_IN, always, NULL), 4096);
	EXPECT_IS(mtcp_destroy(), 0);
}

/* Calls in callbacks, with the sockets that there are. */

static int the_listener, the_raw, the_stream, ended_flow, the_timer_calls;
static bool is_checked[4];
static event_t defined, allocated;

static void
check_reading(mctx_t mctx, int sock)
{
	struct tcp_ring_fragment fragments[4];
	struct pkt_info p;
	int value;

	set_right();
	EXPECT_IS(mtcp_getpeername(mctx, sock, (struct sockaddr *)&right.addr, &right.len, MOS_SIDE_BOTH), 0);
	EXPECT_ERRNO(mtcp_getpeername(mctx, sock, (struct sockaddr *)&right.addr, &right.len, MOS_SIDE_CLI), EINVAL);
	right.len = 16;
	EXPECT_IS(mtcp_getpeername(mctx, sock, (struct sockaddr *)&right.addr, &right.len, MOS_SIDE_CLI), 0);
	EXPECT_ERRNO(mtcp_getpeername(mctx, sock, (struct sockaddr *)&right.addr, &right.len, MOS_SIDE_BOTH), EINVAL);
	EXPECT_ERRNO(mtcp_getpeername(mctx, sock, (struct sockaddr *)&right.addr, &right.len, 3), EINVAL);
	EXPECT_ERRNO(mtcp_getpeername(mctx, sock, (struct sockaddr *)&right.addr, &right.len, -1), EINVAL);
	EXPECT_ERRNO(mtcp_getpeername(mctx, sock, NULL, &right.len, MOS_SIDE_CLI), EFAULT);
	EXPECT_ERRNO(mtcp_getpeername(mctx, sock, (struct sockaddr *)&right.addr, NULL, MOS_SIDE_CLI), EFAULT);

	EXPECT_ERRNO(mtcp_peek(mctx, sock, MOS_SIDE_BOTH, right.bytes, 1), EINVAL);
	EXPECT_ERRNO(mtcp_peek(mctx, sock, -1, right.bytes, 1), EINVAL);
	EXPECT_ERRNO(mtcp_peek(mctx, sock, MOS_SIDE_CLI, NULL, 1), EFAULT);
	EXPECT_IS(mtcp_peek(mctx, sock, MOS_SIDE_CLI, NULL, 0), 0);
	EXPECT_ERRNO(mtcp_ppeek(mctx, sock, 9, right.bytes, 1, 0), EINVAL);
	EXPECT_ERRNO(mtcp_ppeek(mctx, sock, MOS_SIDE_CLI, NULL, 1, 0), EFAULT);
	EXPECT_IS(mtcp_ppeek(mctx, sock, MOS_SIDE_CLI, NULL, 0, 0), 0);
	EXPECT_ERRNO(mtcp_ppeek(mctx, sock, MOS_SIDE_SVR, right.bytes, 1, ~0ull), ENODATA);
	EXPECT_ERRNO(mtcp_ppeek(mctx, sock, MOS_SIDE_SVR, right.bytes, 1, 1ull << 32), ENODATA);
	EXPECT_ERRNO(mtcp_ppeek(mctx, sock, MOS_SIDE_SVR, right.bytes, sizeof(right.bytes), 1ull << 63), ENODATA);

	EXPECT_ERRNO(mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, MOS_TCP_STATE_CLI, NULL, &right.len), EFAULT);
	EXPECT_IS(mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, MOS_TCP_STATE_CLI, &value, NULL), 0);
	EXPECT_ERRNO(mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, MOS_TIMESTAMP, NULL, NULL), EFAULT);
	EXPECT_IS(mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, MOS_TIMESTAMP, &value, NULL), 0);
	right.len = 16;
	EXPECT_ERRNO(mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, MOS_INFO_CLIBUF, NULL, &right.len), EFAULT);
	EXPECT_ERRNO(mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, MOS_INFO_CLIBUF, &right.info, NULL), EFAULT);
	right.len = 15;
	EXPECT_ERRNO(mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, MOS_INFO_CLIBUF, &right.info, &right.len), EINVAL);
	right.len = 0;
	EXPECT_ERRNO(mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, MOS_FRAGINFO_CLIBUF, fragments, &right.len), EINVAL);
	right.len = 4;
	EXPECT_ERRNO(mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, MOS_FRAGINFO_CLIBUF, NULL, &right.len), EFAULT);
	EXPECT_ERRNO(mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, MOS_FRAGINFO_CLIBUF, fragments, NULL), EFAULT);
	EXPECT_IS(mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, MOS_FRAGINFO_SVRBUF, fragments, &right.len), 0);
	EXPECT_ERRNO(mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, MOS_CLIBUF, &value, &right.len), ENOSYS);
	EXPECT_ERRNO(mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, MOS_IPV6, &value, &right.len), ENOSYS);
	EXPECT_ERRNO(mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, -1, &value, &right.len), ENOSYS);
	EXPECT_ERRNO(mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, 2147483647, &value, &right.len), ENOSYS);
	EXPECT_ERRNO(mtcp_getsockopt(mctx, sock, SOL_SOCKET, SO_ERROR, &value, &right.len), ENOTSOCK);

	EXPECT_ERRNO(mtcp_getlastpkt(mctx, sock, 0, NULL), EFAULT);
	EXPECT_IS(mtcp_getlastpkt(mctx, sock, 77, &p), 0);
	errno = 0;
	mtcp_clonepkt(NULL, (unsigned char *)right.bytes, &p);
	EXPECT_IS(errno, EFAULT);
	errno = 0;
	mtcp_clonepkt(&right.packet, NULL, &p);
	EXPECT_IS(errno, EFAULT);
	errno = 0;
	mtcp_clonepkt(&right.packet, (unsigned char *)right.bytes, NULL);
	EXPECT_IS(errno, EFAULT);
}

static void
check_changing(mctx_t mctx, int sock)
{
	static uint8_t huge[65535];
	byte *data = (byte *)right.bytes;
	int all = MOS_ETH_HDR | MOS_IP_HDR | MOS_TCP_HDR | MOS_TCP_PAYLOAD;

	set_right();
	/* Exactly one operation. */
	EXPECT_ERRNO(mtcp_setlastpkt(mctx, sock, 0, 0, data, 1, all), EAGAIN);
	EXPECT_ERRNO(mtcp_setlastpkt(mctx, sock, 0, 0, data, 1, 0), EAGAIN);
	EXPECT_ERRNO(mtcp_setlastpkt(mctx, sock, 0, 0, data, 1, MOS_DROP | MOS_OVERWRITE | MOS_IP_HDR), EAGAIN);
	EXPECT_ERRNO(mtcp_setlastpkt(mctx, sock, 0, 0, data, 1, MOS_INSERT | MOS_CHOMP | MOS_IP_HDR), EAGAIN);
	EXPECT_ERRNO(mtcp_setlastpkt(mctx, sock, 0, 0, data, 1, -1), EAGAIN);
	/* A place, and within it. */
	EXPECT_ERRNO(mtcp_setlastpkt(mctx, sock, 0, 0, data, 1, MOS_OVERWRITE), EINVAL);
	EXPECT_ERRNO(mtcp_setlastpkt(mctx, sock, 0, -1, data, 1, MOS_OVERWRITE | MOS_TCP_HDR), EINVAL);
	EXPECT_ERRNO(mtcp_setlastpkt(mctx, sock, 0, 9223372036854775807, data, 1, MOS_OVERWRITE | MOS_TCP_HDR), EINVAL);
	EXPECT_ERRNO(mtcp_setlastpkt(mctx, sock, 0, -9223372036854775807 - 1, data, 1, MOS_OVERWRITE | MOS_TCP_HDR), EINVAL);
	EXPECT_ERRNO(mtcp_setlastpkt(mctx, sock, 0, 14, data, 1, MOS_OVERWRITE | MOS_ETH_HDR), EINVAL);
	EXPECT_ERRNO(mtcp_setlastpkt(mctx, sock, 0, 0, data, 15, MOS_OVERWRITE | MOS_ETH_HDR), EINVAL);
	EXPECT_ERRNO(mtcp_setlastpkt(mctx, sock, 0, 20, data, 1, MOS_OVERWRITE | MOS_IP_HDR), EINVAL);
	EXPECT_ERRNO(mtcp_setlastpkt(mctx, sock, 0, 20, data, 1, MOS_OVERWRITE | MOS_TCP_HDR), EINVAL);
	EXPECT_ERRNO(mtcp_setlastpkt(mctx, sock, 0, 0, huge, 65535, MOS_OVERWRITE | MOS_TCP_PAYLOAD), EINVAL);
	EXPECT_ERRNO(mtcp_setlastpkt(mctx, sock, 0, 0, NULL, 1, MOS_OVERWRITE | MOS_TCP_PAYLOAD), EFAULT);
	EXPECT_ERRNO(mtcp_setlastpkt(mctx, sock, 0, 0, NULL, 1, MOS_INSERT | MOS_TCP_PAYLOAD), EFAULT);
	EXPECT_ERRNO(mtcp_setlastpkt(mctx, sock, 0, 0, NULL, 65535, MOS_CHOMP | MOS_TCP_PAYLOAD), EINVAL);
	EXPECT_ERRNO(mtcp_setlastpkt(mctx, sock, 0, 0, data, 4, MOS_INSERT | MOS_ETH_HDR), EACCES);
	EXPECT_ERRNO(mtcp_setlastpkt(mctx, sock, 0, 0, data, 4, MOS_CHOMP | MOS_ETH_HDR), EACCES);
	EXPECT_ERRNO(mtcp_setlastpkt(mctx, sock, 0, 20, data, 3, MOS_INSERT | MOS_IP_HDR), EINVAL);
	EXPECT_ERRNO(mtcp_setlastpkt(mctx, sock, 0, 20, data, 44, MOS_INSERT | MOS_IP_HDR), EINVAL);
	EXPECT_ERRNO(mtcp_setlastpkt(mctx, sock, 0, 4, data, 4, MOS_CHOMP | MOS_TCP_HDR), EINVAL);
	EXPECT_EITHER(mtcp_setlastpkt(mctx, sock, 0, 0, huge, 65535, MOS_INSERT | MOS_TCP_PAYLOAD), EMSGSIZE, EINVAL);

	EXPECT_ERRNO(mtcp_sendpkt(mctx, sock, NULL), EACCES);
	right.packet.iph = NULL;
	EXPECT_ERRNO(mtcp_sendpkt(mctx, sock, &right.packet), ENODATA);
	set_right();
	right.packet.tcph = NULL;
	EXPECT_ERRNO(mtcp_sendpkt(mctx, sock, &right.packet), ENODATA);
	set_right();
	right.packet.payloadlen = 1;
	EXPECT_ERRNO(mtcp_sendpkt(mctx, sock, &right.packet), EFAULT);
	set_right();
	right.tcp[12] = 4 << 4;
	EXPECT_ERRNO(mtcp_sendpkt(mctx, sock, &right.packet), EINVAL);
	set_right();
	right.ip[0] = 0x65;
	EXPECT_ERRNO(mtcp_sendpkt(mctx, sock, &right.packet), EINVAL);
	right.ip[0] = 0x15;
	EXPECT_ERRNO(mtcp_sendpkt(mctx, sock, &right.packet), EINVAL);
	set_right();
	right.packet.payload = huge;
	right.packet.payloadlen = 65535;
	EXPECT_ERRNO(mtcp_sendpkt(mctx, sock, &right.packet), EMSGSIZE);
	set_right();

	EXPECT_ERRNO(mtcp_cb_stop(mctx, sock, 3), EINVAL);
	EXPECT_ERRNO(mtcp_cb_stop(mctx, sock, -1), EINVAL);
	EXPECT_ERRNO(set_option(mctx, sock, MOS_STOP_MON, 3), EINVAL);
	EXPECT_ERRNO(set_option(mctx, sock, MOS_CLIBUF, -1), EINVAL);
	EXPECT_ERRNO(set_option(mctx, sock, MOS_CLIOVERLAP, 7), EINVAL);
	EXPECT_ERRNO(set_option(mctx, sock, MOS_IPV6, 1), ENOTSOCK);
	EXPECT_ERRNO(mtcp_bind_monitor_filter(mctx, sock, &right.filter), ENOPROTOOPT);
	EXPECT_ERRNO(mtcp_register_callback(mctx, sock, MOS_ON_ORPHAN, MOS_NULL, nothing), EINVAL);

	EXPECT_EITHER(mtcp_raise_event(mctx, 0), EINVAL, EPERM);
	EXPECT_EITHER(mtcp_raise_event(mctx, defined), EINVAL, EPERM);
	EXPECT_EITHER(mtcp_raise_event(mctx, allocated), EINVAL, EPERM);
	EXPECT_EITHER(mtcp_raise_event(mctx, ~0ull), EINVAL, EPERM);
}

/* Sockets that are no connection; `with` is for those that name nothing. */
static void
check_sockets(mctx_t mctx)
{
	const struct { int sock, with, with_uctx; const char *what; } wrong[] = {
		{ 0, EBADF, EBADF, "0" },
		{ -1, EBADF, EBADF, "-1" },
		{ 2147483647, EBADF, EBADF, "the largest" },
		{ -2147483647 - 1, EBADF, EBADF, "the smallest" },
		{ the_listener, ENOTSOCK, 0, "a monitor" },
		{ the_raw, ENOTSOCK, 0, "a raw monitor" },
		{ the_stream, ENOTSOCK, ENOTSOCK, "a stream socket" },
	};
	size_t i;
	int value;

	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		int sock = wrong[i].sock;

		at("%s", wrong[i].what);
		set_right();
		wanted = wrong[i].with;
		CALL(-1, mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, MOS_TCP_STATE_CLI, &value, &right.len))
		CALL(-1, mtcp_getpeername(mctx, sock, (struct sockaddr *)&right.addr, &right.len, MOS_SIDE_BOTH))
		CALL(-1, mtcp_peek(mctx, sock, MOS_SIDE_CLI, right.bytes, 1))
		CALL(-1, mtcp_ppeek(mctx, sock, MOS_SIDE_CLI, right.bytes, 1, 0))
		CALL(-1, mtcp_sendpkt(mctx, sock, &right.packet))
		CALL(-1, mtcp_reset_conn(mctx, sock))
		CALL(-1, mtcp_cb_stop(mctx, sock, MOS_SIDE_BOTH))
		wanted = wrong[i].with_uctx;
		CALL(0, mtcp_get_uctx(mctx, sock))
		errno = 0;
		mtcp_set_uctx(mctx, sock, NULL);
		EXPECT_IS(errno, wanted);
		if (wanted != 0)
			EXPECT_ERRNO(mtcp_getlastpkt(mctx, sock, 0, &right.packet), wanted);
	}
	at("%s", "");
}

/* Structures at odd addresses, as programs have them that cut them out of bytes. */
static void
check_odd_addresses(mctx_t mctx, int sock)
{
	static char bytes[8192];
	void *odd = bytes + 1, *len = bytes + 5001;
	socklen_t sixteen = 16, thirty_two = 32, four = 4;
	struct pkt_info p;

	EXPECT_IS(mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, MOS_TCP_STATE_CLI, odd, NULL), 0);
	EXPECT_IS(mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, MOS_TIMESTAMP, odd, NULL), 0);
	memcpy(len, &sixteen, 4);
	EXPECT_IS(mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, MOS_INFO_SVRBUF, odd, len), 0);
	memcpy(len, &four, 4);
	EXPECT_IS(mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, MOS_FRAGINFO_SVRBUF, odd, len), 0);
	memcpy(len, &thirty_two, 4);
	EXPECT_IS(mtcp_getpeername(mctx, sock, odd, len, MOS_SIDE_BOTH), 0);
	EXPECT_IS(mtcp_getsockname(mctx, the_stream, odd, len), 0);
	EXPECT_IS(mtcp_ioctl(mctx, the_stream, FIONBIO, odd), 0);
	EXPECT_ERRNO(mtcp_connect(mctx, the_stream, odd, 16), EOPNOTSUPP);
	EXPECT_IS(mtcp_getlastpkt(mctx, sock, 0, odd), 0);
	EXPECT_IS(mtcp_getlastpkt(mctx, sock, 0, &p), 0);
	mtcp_clonepkt(odd, (unsigned char *)bytes + 101, &p);
	mtcp_clonepkt(&p, (unsigned char *)bytes + 2001, odd);
	/* Onto itself. */
	mtcp_clonepkt(&p, (unsigned char *)bytes + 2001, &p);
	mtcp_clonepkt(&p, (unsigned char *)bytes + 2007, &p);
	EXPECT_IS(*(uint8_t *)p.iph >> 4, 4);
	EXPECT_IS(mtcp_sendpkt(mctx, sock, odd), 0);
	EXPECT_IS(mtcp_getconf(odd), 0);
	EXPECT_IS(mtcp_setconf(odd), 0);
	memset(bytes, 0, sizeof(bytes));
	EXPECT_IS(mtcp_setsockopt(mctx, sock, SOL_MONSOCKET, MOS_CLIOVERLAP, odd, 4), 0);
	EXPECT_IS(mtcp_settimer(mctx, 1, odd, nothing), 0);
	EXPECT(mtcp_define_event(MOS_ON_PKT_IN, always, odd) != 0);
	EXPECT_IS(mtcp_bind_monitor_filter(mctx, the_listener, odd), 0);
	EXPECT_IS(StrToArgs(strcpy(bytes, "a b"), len, (char **)(bytes + 101), 8), 0);
}

static void
check_packet(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side;
	EXPECT_IS(event, MOS_ON_PKT_IN);
	EXPECT(arg != NULL && arg->arg == NULL && arg->len == 0);
	/* Once the connection has gone so far that there is everything. */
	if (is_checked[0] || state(mctx, sock, MOS_SIDE_SVR) != TCP_ESTABLISHED)
		return;
	is_checked[0] = true;
	check_reading(mctx, sock);
	check_changing(mctx, sock);
	check_sockets(mctx);
	check_odd_addresses(mctx, sock);
	all_refuse_garbage(mctx);
}

static void
check_data(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;

	(void)event, (void)arg;
	if (is_checked[1])
		return;
	is_checked[1] = true;
	EXPECT_ERRNO(mtcp_getlastpkt(mctx, sock, side, &p), ENODATA);
	EXPECT_ERRNO(mtcp_setlastpkt(mctx, sock, side, 0, NULL, 0, MOS_DROP), ENODATA);
	EXPECT_ERRNO(mtcp_cb_dropcurpkt(mctx), ENODATA);
	EXPECT(mtcp_cb_get_ts(mctx) >= 1000000);
}

static void
check_end(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;

	(void)event, (void)arg;
	ended_flow = sock;
	is_checked[2] = true;
	EXPECT_ERRNO(mtcp_getlastpkt(mctx, sock, side, &p), ENODATA);
	EXPECT_ERRNO(mtcp_setlastpkt(mctx, sock, side, 0, NULL, 0, MOS_DROP), ENODATA);
	EXPECT_IS(state(mctx, sock, side), TCP_CLOSED);
}

static void
check_raw(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event, (void)arg;
	EXPECT_IS(side, MOS_SIDE_BOTH);
	EXPECT_IS(sock, the_raw);
	if (is_checked[3])
		return;
	is_checked[3] = true;
	check_sockets(mctx);
	EXPECT_ERRNO(mtcp_setlastpkt(mctx, sock, side, 0, NULL, 0, MOS_CHOMP | MOS_ETH_HDR), EACCES);
}

/* No packet is at hand, and the connection that has ended is gone. */
static void
check_timer(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct timeval again = { 0, 1000 };

	EXPECT_IS(sock, -7);
	EXPECT_IS(side, 0);
	EXPECT_IS(event, 0);
	EXPECT(arg == NULL);
	the_timer_calls++;
	set_right();
	EXPECT_ERRNO(mtcp_getlastpkt(mctx, the_listener, 0, &right.packet), ENODATA);
	EXPECT_ERRNO(mtcp_setlastpkt(mctx, the_listener, 0, 0, NULL, 0, MOS_DROP), ENODATA);
	EXPECT_ERRNO(mtcp_cb_dropcurpkt(mctx), ENODATA);
	EXPECT_ERRNO(mtcp_raise_event(mctx, allocated), EPERM);
	check_sockets(mctx);
	if (ended_flow != 0) {
		wanted = EBADF;
		CALL(-1, mtcp_peek(mctx, ended_flow, MOS_SIDE_CLI, right.bytes, 1))
		CALL(-1, mtcp_getsockopt(mctx, ended_flow, SOL_MONSOCKET, MOS_TCP_STATE_CLI, &right.number, &right.len))
		CALL(-1, mtcp_close(mctx, ended_flow))
		CALL(0, mtcp_get_uctx(mctx, ended_flow))
	}
	EXPECT_IS(mtcp_settimer(mctx, -7, &again, check_timer), 0);
}

static void
from_callbacks(void)
{
	struct timeval soon = { 0, 1000 };
	mctx_t mctx;

	write_traffic();
	mctx = start();
	the_listener = monitor(mctx);
	the_raw = raw_monitor(mctx);
	the_stream = mtcp_socket(mctx, AF_INET, SOCK_STREAM, 0);
	defined = mtcp_define_event(MOS_ON_PKT_IN, always, NULL);
	allocated = mtcp_alloc_event(MOS_ON_CONN_START);
	on(mctx, the_listener, MOS_ON_PKT_IN, MOS_HK_SND, check_packet);
	on(mctx, the_listener, MOS_ON_CONN_NEW_DATA, MOS_NULL, check_data);
	on(mctx, the_listener, MOS_ON_CONN_END, MOS_HK_RCV, check_end);
	on(mctx, the_raw, MOS_ON_PKT_IN, MOS_NULL, check_raw);
	EXPECT_IS(mtcp_settimer(mctx, -7, &soon, check_timer), 0);
	finish(mctx);
	EXPECT(is_checked[0] && is_checked[1] && is_checked[2] && is_checked[3]);
	EXPECT(the_timer_calls > 10);
}

/* Helpers without a context. */
static void
helpers(void)
{
	char text[] = "  one \"two words\" 'three' four\"\"five ", *argv[8];
	int argc = -1, i;

	EXPECT_ERRNO(StrToArgs(NULL, &argc, argv, 8), EFAULT);
	EXPECT_ERRNO(StrToArgs(text, NULL, argv, 8), EFAULT);
	EXPECT_ERRNO(StrToArgs(text, &argc, NULL, 8), EFAULT);
	EXPECT_ERRNO(StrToArgs(text, &argc, argv, -1), EINVAL);
	EXPECT_IS(StrToArgs(text, &argc, argv, 8), 0);
	EXPECT_IS(argc, 4);
	EXPECT(strcmp(argv[0], "one") == 0 && strcmp(argv[1], "two words") == 0 && strcmp(argv[2], "three") == 0);
	EXPECT(strcmp(argv[3], "fourfive") == 0 && argv[4] == NULL);
	/* No more than there is room for. */
	argv[1] = text;
	EXPECT_IS(StrToArgs(strcpy(text, "a b c"), &argc, argv, 1), 0);
	EXPECT_IS(argc, 1);
	EXPECT(argv[1] == text);
	EXPECT_IS(StrToArgs(strcpy(text, ""), &argc, argv, 0), 0);
	EXPECT_IS(argc, 0);

	EXPECT_ERRNO(GetRSSCPUCore(1, 2, 3, 4, 0), EINVAL);
	EXPECT_ERRNO(GetRSSCPUCore(1, 2, 3, 4, -1), EINVAL);
	for (i = 1; i < 70; i++) {
		int core = GetRSSCPUCore(0x01020304, 0x0a0b0c0d, 80, 4000, i);

		EXPECT(core >= 0 && core < i);
		/* Both directions meet. */
		EXPECT_IS(GetRSSCPUCore(0x0a0b0c0d, 0x01020304, 4000, 80, i), core);
	}
	EXPECT_IS(GetRSSCPUCore(1, 2, 3, 4, 2147483647) >= 0, 1);
	EXPECT(GetNumCPUs() >= 1);
	EXPECT_IS(XXH32(NULL, 0, 0), 0x02cc5d05);
	EXPECT(XXH64(NULL, 0, 0) == 0xef46db3751d8e999ull);
	EXPECT(XXH32("a", 1, 0) == 0x550d7456);
	EXPECT(strcmp(EventToString(MOS_EPOLLIN), "IN") == 0);
	EXPECT(EventToString(0) == NULL && EventToString(0xffffffff) == NULL && EventToString(0xa) == NULL);
}

/* As many as there are. */
static void
limits(void)
{
	mctx_t mctx;
	int socks[20], i;

	write_traffic();
	mctx = start();
	for (i = 0; i < 16; i++)
		socks[i] = monitor(mctx);
	EXPECT_ERRNO(mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0), ENFILE);
	EXPECT_IS(mtcp_close(mctx, socks[7]), 0);
	socks[7] = monitor(mctx);
	EXPECT_ERRNO(mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0), ENFILE);
	/* Raw monitors have no such limit. */
	for (i = 0; i < 100; i++)
		raw_monitor(mctx);
	finish(mctx);
}

int
main(int argc, char **argv)
{
	static const struct scenario scenarios[] = {
		{ "before-and-after", before_and_after, QUICK },
		{ "configuration", configuration, QUICK },
		{ "from-outside", from_outside, QUICK },
		{ "registering", registering, QUICK },
		{ "defining", defining, "" },
		{ "from-callbacks", from_callbacks, QUICK },
		{ "helpers", helpers, QUICK },
		{ "limits", limits, QUICK },
		{ NULL, NULL, NULL },
	};

	return run_scenario(argc, argv, scenarios);
}
