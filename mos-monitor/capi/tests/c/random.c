/*
 * Calls in any order with any arguments, in callbacks and from another thread at the same time. Whatever is asked, the library goes
 * on, and refuses with errors that the manual page names.
 */
#include <sys/ioctl.h>
#include <sys/uio.h>

#include "test.h"
#include "capture.h"

#ifdef SLOW
enum { SEEDS = 3, PACKETS = 60 };
#else
enum { SEEDS = 60, PACKETS = 600 };
#endif

/* Descriptors that somebody has had. */
static atomic_int pool[64];
/* Calls so far in this run; they end sometime. */
static atomic_int calls, accepted;
static atomic_bool is_over;
static _Atomic event_t events[16];
static mctx_t contexts[3];	/* one that is there, one that was destroyed, one that never was */

struct dice { uint64_t state; };

static uint32_t
roll(struct dice *dice, uint32_t below)
{
	dice->state ^= dice->state << 13;
	dice->state ^= dice->state >> 7;
	dice->state ^= dice->state << 17;
	return (dice->state >> 16) % below;
}

static int
any_sock(struct dice *dice, int here)
{
	switch (roll(dice, 8)) {
	case 0:
		return (int)roll(dice, 80) - 10;
	case 1:
		return (int)roll(dice, 0xffffffff);
	case 2: case 3: case 4:
		return here;
	default:
		return pool[roll(dice, 64)];
	}
}

static int
remember(struct dice *dice, int sock)
{
	if (sock > 0)
		pool[roll(dice, 64)] = sock;
	return sock;
}

static void callback(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg);
static bool filter(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg);

/* The result of a call, and the errors that it may have given. */
static void
check(const char *name, bool has_failed, const char *allowed)
{
	const char *error = strerrorname(errno);
	const char *found;

	calls++;
	if (!has_failed) {
		accepted++;
		return;
	}
	found = strstr(allowed, error);
	if (found == NULL || errno == 0)
		fail(__FILE__, __LINE__, "%s gives %s", name, error);
}

#define TRY(call, allowed) \
	do { \
		errno = 0; \
		check(#call, (long long)(call) < 0, allowed); \
	} while (0)

static void
one_call(struct dice *dice, mctx_t mctx, int here)
{
	static const int kinds[] = { SOCK_STREAM, MOS_SOCK_MONITOR_STREAM, MOS_SOCK_MONITOR_STREAM, MOS_SOCK_STREAM, MOS_SOCK_MONITOR_RAW, 99 };
	static const int hooks[] = { MOS_NULL, MOS_HK_SND, MOS_HK_RCV, 0 };
	static const int operations[] = { MOS_DROP, MOS_OVERWRITE, MOS_OVERWRITE, MOS_CHOMP, MOS_INSERT, 0, MOS_DROP | MOS_CHOMP };
	static const int places[] = { 0, MOS_ETH_HDR, MOS_IP_HDR, MOS_TCP_HDR, MOS_TCP_PAYLOAD, MOS_TCP_PAYLOAD };
	static char *const filters[] = { NULL, "tcp", "port 80", "host 10.0.0.1", "udp", "nonsense", "src port 10001", "" };
	/* Both threads have their own. */
	static __thread char bytes[512];
	static __thread struct tcp_ring_fragment fragments[8];
	static __thread struct pkt_info packet;
	char *data = roll(dice, 8) ? bytes : NULL;
	int sock = any_sock(dice, here), side = (int)roll(dice, 5) - 1, value = (int)roll(dice, 6) - 1;
	event_t event = roll(dice, 3) ? 1u << roll(dice, 12) : events[roll(dice, 16)];
	size_t len = roll(dice, 4) ? roll(dice, sizeof(bytes)) : 0;
	socklen_t socklen = roll(dice, 9);
	struct timeval time = { roll(dice, 8) ? 0 : -1, roll(dice, 5000) };
	union monitor_filter ft;
	int hook = hooks[roll(dice, 4)];

	ft.stream_syn_filter = filters[roll(dice, 8)];
	ft.stream_orphan_filter = filters[roll(dice, 8)];
	switch (roll(dice, 32)) {
	case 0: case 1: case 2:
		TRY(remember(dice, mtcp_socket(mctx, roll(dice, 16) ? AF_INET : AF_INET6, kinds[roll(dice, 6)], 0)),
		    "EACCES EAFNOSUPPORT EINVAL ENFILE EPERM");
		break;
	case 3:
		TRY(mtcp_close(mctx, sock), "EACCES EAGAIN EBADF EINVAL ENOTCONN ENOTSOCK EPERM");
		break;
	case 4: case 5:
		TRY(mtcp_setsockopt(mctx, sock, roll(dice, 8) ? SOL_MONSOCKET : SOL_SOCKET, roll(dice, 34),
				    roll(dice, 8) ? &value : NULL, roll(dice, 8) ? sizeof(value) : roll(dice, 4)),
		    "EACCES EAGAIN EBADF EFAULT EINVAL ENOSYS ENOTSOCK EPERM");
		break;
	case 6: case 7:
		TRY(mtcp_getsockopt(mctx, sock, roll(dice, 8) ? SOL_MONSOCKET : SOL_SOCKET, roll(dice, 34),
				    roll(dice, 8) ? fragments : NULL, roll(dice, 8) ? &socklen : NULL),
		    "EACCES EBADF EFAULT EINVAL ENODATA ENOSYS ENOTCONN ENOTSOCK EPERM");
		break;
	case 8:
		TRY(mtcp_bind_monitor_filter(mctx, sock, roll(dice, 8) ? &ft : NULL), "EACCES EAGAIN EBADF EINVAL ENOPROTOOPT EPERM");
		break;
	case 9: case 10: case 11:
		TRY(mtcp_register_callback(mctx, sock, event, hook, roll(dice, 4) ? callback : NULL),
		    "EACCES EAGAIN EBADF EINVAL EPERM");
		break;
	case 12:
		events[roll(dice, 16)] = mtcp_define_event(event, roll(dice, 8) ? filter : NULL,
							   &(filter_arg_t){ data, roll(dice, 8) ? roll(dice, 64) : 0 });
		break;
	case 13:
		events[roll(dice, 16)] = mtcp_alloc_event(event);
		break;
	case 14:
		TRY(mtcp_raise_event(mctx, event), "EACCES EINVAL EPERM");
		break;
	case 15:
		mtcp_set_uctx(mctx, sock, bytes);
		break;
	case 16:
		/* What was set, or nothing. */
		errno = 0;
		if (mtcp_get_uctx(mctx, sock) != NULL)
			EXPECT_IS(errno, 0);
		break;
	case 17: case 18:
		TRY(mtcp_peek(mctx, sock, side, data, len), "EACCES EBADF EFAULT EINVAL ENODATA ENOTSOCK EPERM");
		break;
	case 19:
		TRY(mtcp_ppeek(mctx, sock, side, data, len, roll(dice, 4) ? roll(dice, 5000) : ~0ull), "EACCES EBADF EFAULT EINVAL ENODATA ENOTSOCK EPERM");
		break;
	case 20: case 21:
		TRY(mtcp_getlastpkt(mctx, sock, side, roll(dice, 8) ? &packet : NULL), "EACCES EBADF EFAULT ENODATA ENOTSOCK EPERM");
		break;
	case 22: case 23: case 24:
		TRY(mtcp_setlastpkt(mctx, sock, side, (int)roll(dice, 60) - 2, (byte *)data, roll(dice, 4) ? roll(dice, 12) : len,
				    operations[roll(dice, 7)] | places[roll(dice, 6)] | roll(dice, 4) << 4),
		    "EACCES EAGAIN EFAULT EINVAL EMSGSIZE ENODATA EOPNOTSUPP EPERM");
		break;
	case 25:
		/* The packet at hand once more, or with other flags. */
		if (mtcp_getlastpkt(mctx, sock, side, &packet) == 0 && packet.tcph != NULL) {
			((uint8_t *)packet.tcph)[13] = roll(dice, 256);
			TRY(mtcp_sendpkt(mctx, sock, roll(dice, 8) ? &packet : NULL),
			    "EACCES EBADF EFAULT EINVAL EMSGSIZE ENOBUFS ENODATA ENOTSOCK EPERM");
		}
		break;
	case 26:
		TRY(mtcp_settimer(mctx, sock, roll(dice, 8) ? &time : NULL, roll(dice, 8) ? callback : NULL),
		    "EACCES EFAULT EINVAL ENFILE EPERM");
		break;
	case 27:
		mtcp_cb_get_ts(mctx);
		mtcp_get_connection_cnt(mctx);
		break;
	case 28:
		if (roll(dice, 8) == 0)
			TRY(mtcp_reset_conn(mctx, sock), "EACCES EBADF ENOBUFS ENOTSOCK EPERM");
		else
			TRY(mtcp_cb_stop(mctx, sock, side), "EACCES EAGAIN EBADF EINVAL ENOTSOCK EPERM");
		break;
	case 29:
		TRY(mtcp_cb_dropcurpkt(mctx), "EACCES ENODATA EOPNOTSUPP EPERM");
		break;
	case 30: {
		struct sockaddr_in6 addrs[2];

		socklen = roll(dice, 4) ? 16 * (1 + (side == MOS_SIDE_BOTH)) : roll(dice, 57);
		TRY(mtcp_getpeername(mctx, sock, roll(dice, 8) ? (struct sockaddr *)addrs : NULL, roll(dice, 8) ? &socklen : NULL, side),
		    "EACCES EBADF EFAULT EINVAL ENOTSOCK EPERM");
		break;
	}
	case 31:
		TRY(mtcp_setsock_nonblock(mctx, sock), "EACCES EBADF EPERM");
		TRY(mtcp_ioctl(mctx, sock, roll(dice, 2) ? FIONBIO : FIONREAD, roll(dice, 8) ? &value : NULL), "EACCES EBADF EFAULT EINVAL EPERM");
		TRY(mtcp_read(mctx, sock, data, len), "EACCES EBADF EFAULT EINVAL ENOSYS ENOTSOCK EPERM");
		break;
	}
}

static struct dice core_dice, outer_dice;

static void
some_calls(struct dice *dice, mctx_t mctx, int here)
{
	int count = roll(dice, 4);

	/* The rest of the capture passes in peace. */
	while (calls < 60 * PACKETS && count-- > 0)
		one_call(dice, roll(dice, 32) ? mctx : contexts[roll(dice, 3)], here);
}

static void
callback(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side, (void)event;
	EXPECT(mctx == contexts[0]);
	EXPECT(arg == NULL || (arg->len == 0) == (arg->arg == NULL));
	remember(&core_dice, sock);
	some_calls(&core_dice, mctx, sock);
}

static bool
filter(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	callback(mctx, sock, side, event, arg);
	return roll(&core_dice, 2);
}

/* Opens a monitor with callbacks everywhere. */
static void
open_monitor(mctx_t mctx)
{
	static const int hooks[] = { MOS_HK_SND, MOS_HK_RCV };
	int i, sock = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);

	if (remember(&core_dice, sock) < 0)
		return;
	for (i = 0; i < 2; i++) {
		mtcp_register_callback(mctx, sock, MOS_ON_PKT_IN, hooks[i], callback);
		mtcp_register_callback(mctx, sock, MOS_ON_TCP_STATE_CHANGE, hooks[i], callback);
		mtcp_register_callback(mctx, sock, MOS_ON_CONN_END, hooks[i], callback);
		mtcp_register_callback(mctx, sock, mtcp_define_event(MOS_ON_PKT_IN, filter, NULL), hooks[i], callback);
	}
	mtcp_register_callback(mctx, sock, MOS_ON_CONN_NEW_DATA, MOS_NULL, callback);
	mtcp_register_callback(mctx, sock, MOS_ON_ERROR, MOS_NULL, callback);
	mtcp_register_callback(mctx, sock, MOS_ON_ORPHAN, MOS_NULL, callback);
}

/* Of a monitor that nobody else knows: it stays, and sees to it that there are others. */
static void
keep_going(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)sock, (void)side, (void)event, (void)arg;
	some_calls(&core_dice, mctx, pool[roll(&core_dice, 64)]);
	if (roll(&core_dice, 8) == 0)
		open_monitor(mctx);
}

static void *
outside(void *unused)
{
	(void)unused;
	while (!is_over && calls < 60 * PACKETS)
		some_calls(&outer_dice, contexts[0], pool[0]);
	return NULL;
}

static void
write_traffic(struct dice *dice)
{
	struct talk t[8];
	int i;

	begin_capture("in.pcap");
	for (i = 0; i < 8; i++) {
		t[i] = talk(i);
		handshake(&t[i]);
	}
	for (i = 0; i < PACKETS; i++) {
		struct talk *one = &t[roll(dice, 8)];
		int from = roll(dice, 2);

		switch (roll(dice, 12)) {
		case 0:
			/* Again, or ahead. */
			segment(one, from, PSH | ACK, one->next[from] - 3 + 10 * roll(dice, 2), one->next[!from], "again", 5);
			break;
		case 1:
			udp(one->addr[0], one->addr[1], "a datagram");
			break;
		case 2:
			segment(one, from, roll(dice, 64), roll(dice, 0xffffffff), 1, "stray", 5);
			break;
		case 3:
			if (roll(dice, 2))
				goodbye(one);
			*one = talk(8 + i);
			handshake(one);
			break;
		default:
			say(one, from, "some words that are somewhat longer");
			break;
		}
	}
	end_capture();
}

static void
run(unsigned seed)
{
	pthread_t other;
	int i;

	at("seed %u", seed);
	core_dice.state = 0x9e3779b97f4a7c15 * (seed + 1);
	outer_dice.state = 0xbf58476d1ce4e5b9 * (seed + 1);
	calls = 0;
	is_over = false;
	for (i = 0; i < 16; i++)
		events[i] = 0;
	write_traffic(&core_dice);
	init("forward = 1\nnic_forward_table {\npcap:in.pcap>out.pcap pcap:in.pcap>out.pcap\n}", "pcap:in.pcap>out.pcap 0x1");
	contexts[1] = context(0);
	EXPECT_IS(mtcp_destroy_context(contexts[1]), 0);
	contexts[0] = context(0);
	for (i = 0; i < 64; i++)
		pool[i] = 0;
	open_monitor(contexts[0]);
	on(contexts[0], raw_monitor(contexts[0]), MOS_ON_PKT_IN, MOS_NULL, keep_going);
	pthread_create(&other, NULL, outside, NULL);
	mtcp_app_join(contexts[0]);
	is_over = true;
	pthread_join(other, NULL);
	EXPECT_IS(mtcp_destroy_context(contexts[0]), 0);
	EXPECT_IS(mtcp_destroy(), 0);
}

static void
any_order(void)
{
	unsigned seed;

	for (seed = 0; seed < SEEDS; seed++)
		run(seed);
	EXPECT(accepted > 100 * SEEDS);
}

int
main(int argc, char **argv)
{
	static const struct scenario scenarios[] = {
		{ "any-order", any_order, QUICK },
		{ NULL, NULL, NULL },
	};

	return run_scenario(argc, argv, scenarios);
}
