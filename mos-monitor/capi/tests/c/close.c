/* mtcp_close: every error of its manual page, and that nothing of a closed socket is called any more, wherever it was closed. */
#include "test.h"
#include "capture.h"

#ifdef SLOW
enum { OCCASIONS = 1, PACKETS = 300 };
#else
enum { OCCASIONS = 3, PACKETS = 3000 };
#endif

/* A descriptor has its place in the low bits, and how often the place was used above. */
#define PLACE_BITS	20

static mctx_t garbage[4];

static void
nothing(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)sock, (void)side, (void)event, (void)arg;
}

/* Connections in which everything happens, mixed with each other, and packets of none. */
static void
write_traffic(void)
{
	struct talk t[4], stranger = talk(777), late = talk(9);
	int i;

	begin_capture("in.pcap");
	for (i = 0; i < 4; i++) {
		t[i] = talk(i);
		handshake(&t[i]);
		say(&t[i], CLI, "question");
		segment(&t[i], CLI, PSH | ACK, t[i].next[CLI] - 8, t[i].next[SVR], "question", 8);
		/* Out of order, then the same in order. */
		segment(&t[i], SVR, PSH | ACK, t[i].next[SVR] + 3, t[i].next[CLI], "wer", 3);
		say(&t[i], SVR, "ans");
		t[i].next[SVR] += 3;
		/* Far outside the window. */
		segment(&t[i], CLI, ACK, t[i].next[CLI] + (1 << 20), t[i].next[SVR], "astray", 6);
		ack(&t[i], CLI);
	}
	for (i = 0; i < 4; i++) {
		if (i == 0)
			advance(&t[i], CLI, RST | ACK, NULL, 0);
		else if (i != 3)
			goodbye(&t[i]);
		segment(&stranger, SVR, ACK, 1, 1, NULL, 0);
		udp(0x0a000001, 0xc0a80001, "not TCP");
	}
	whole(&late, "late question", "late answer");
	segment(&late, CLI, ACK, late.next[CLI], late.next[SVR], NULL, 0);
	end_capture();
}

/* Errors that need no connection. */

static void
errors_outside(void)
{
	struct timeval soon = { 1000, 0 };
	int sock, place, gone, timers = 0, own = 0;
	mctx_t mctx;

	write_traffic();
	EXPECT_ERRNO(mtcp_close(NULL, 1), EACCES);
	mctx = start();

	/* What is no context. */
	garbage[0] = (mctx_t)&garbage;
	garbage[1] = (mctx_t)((char *)mctx + 1);
	garbage[2] = mctx + 1;
	garbage[3] = (mctx_t)1;
	sock = monitor(mctx);
	for (place = 0; place < 4; place++)
		EXPECT_ERRNO(mtcp_close(garbage[place], sock), EACCES);

	/* What is no descriptor. */
	EXPECT_ERRNO(mtcp_close(mctx, 0), EBADF);
	EXPECT_ERRNO(mtcp_close(mctx, -1), EBADF);
	EXPECT_ERRNO(mtcp_close(mctx, -2147483647 - 1), EBADF);
	EXPECT_ERRNO(mtcp_close(mctx, 2147483647), EBADF);
	EXPECT_ERRNO(mtcp_close(mctx, sock + 1), EBADF);
	EXPECT_ERRNO(mtcp_close(mctx, sock + (1 << PLACE_BITS)), EBADF);

	/* Monitors, open and closed. */
	EXPECT_IS(mtcp_close(mctx, sock), 0);
	EXPECT_ERRNO(mtcp_close(mctx, sock), EBADF);
	sock = raw_monitor(mctx);
	EXPECT_IS(mtcp_close(mctx, sock), 0);
	EXPECT_ERRNO(mtcp_close(mctx, sock), EBADF);

	/* Stream sockets are not connected, and closed all the same. */
	sock = mtcp_socket(mctx, AF_INET, SOCK_STREAM, 0);
	EXPECT_ERRNO(mtcp_close(mctx, sock), ENOTCONN);
	EXPECT_ERRNO(mtcp_close(mctx, sock), EBADF);
	sock = mtcp_socket(mctx, AF_INET, MOS_SOCK_STREAM, 0);
	EXPECT_ERRNO(mtcp_close(mctx, sock), ENOTCONN);
	EXPECT_ERRNO(mtcp_close(mctx, sock), EBADF);

	/* Numbers that no call has returned: of the timer, and of the library itself. */
	EXPECT_IS(mtcp_settimer(mctx, 0, &soon, nothing), 0);
	sock = monitor(mctx);
	for (place = 0; place < 64; place++)
		for (gone = 0; gone < 16; gone++) {
			int id = gone << PLACE_BITS | place;

			if (id == sock)
				continue;
			errno = 0;
			EXPECT_IS(mtcp_close(mctx, id), -1);
			timers += errno == ENOTSOCK;
			own += errno == EINVAL;
			EXPECT(errno == ENOTSOCK || errno == EINVAL || errno == EBADF);
		}
	EXPECT_IS(timers, 1);
	EXPECT_IS(own, 1);

	/* The end of the captures. */
	mtcp_app_join(mctx);
	EXPECT_ERRNO(mtcp_close(mctx, sock), EACCES);
	EXPECT_IS(mtcp_destroy_context(mctx), 0);
	EXPECT_ERRNO(mtcp_close(mctx, sock), EACCES);
	EXPECT_IS(mtcp_destroy(), 0);
	EXPECT_ERRNO(mtcp_close(mctx, sock), EACCES);
}

/* Errors inside of callbacks. */

static int own_monitor, other_raw, active, attempts, pending_stream;
static bool is_tried, may_be_called;

static void
close_all_kinds(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	int stream, raw, i, one = 1;

	(void)side, (void)event, (void)arg;
	EXPECT(!is_tried || may_be_called);
	if (is_tried)
		return;
	is_tried = true;
	stream = mtcp_socket(mctx, AF_INET, SOCK_STREAM, 0);
	EXPECT_ERRNO(mtcp_close(mctx, stream), ENOTCONN);
	EXPECT_ERRNO(mtcp_close(mctx, stream), EBADF);
	raw = raw_monitor(mctx);
	EXPECT_IS(mtcp_close(mctx, raw), 0);
	EXPECT_ERRNO(mtcp_close(mctx, raw), EBADF);
	EXPECT_ERRNO(mtcp_close(mctx, 0), EBADF);
	EXPECT_ERRNO(mtcp_close(NULL, sock), EACCES);

	/* No more than 1024 changes in one callback; then what could be closed stays open. */
	pending_stream = mtcp_socket(mctx, AF_INET, SOCK_STREAM, 0);
	for (i = 0; i < 2000 && set_option(mctx, sock, MOS_CLIBUF, 4096) == 0; i++)
		;
	EXPECT(i > 500 && i <= 1024);
	EXPECT_ERRNO(set_option(mctx, sock, MOS_CLIBUF, 4096), EAGAIN);
	EXPECT_ERRNO(mtcp_close(mctx, sock), EAGAIN);
	EXPECT_ERRNO(mtcp_close(mctx, own_monitor), EAGAIN);
	EXPECT_ERRNO(mtcp_close(mctx, other_raw), EAGAIN);
	EXPECT_ERRNO(mtcp_register_callback(mctx, sock, MOS_ON_PKT_IN, MOS_HK_RCV, nothing), EAGAIN);
	EXPECT_ERRNO(mtcp_setsockopt(mctx, sock, SOL_MONSOCKET, MOS_STOP_MON, &one, sizeof(one)), EAGAIN);
	/* It needs no room. */
	EXPECT_ERRNO(mtcp_close(mctx, pending_stream), ENOTCONN);
	active = sock;
}

static void
close_in_next(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side, (void)event, (void)arg;
	if (!is_tried || attempts++ > 0)
		return;
	/* The callback after the refusal. All of them are open. */
	EXPECT_IS(sock, active);
	EXPECT_IS(mtcp_close(mctx, active), 0);
	EXPECT_ERRNO(mtcp_close(mctx, active), EBADF);
	EXPECT_IS(mtcp_close(mctx, other_raw), 0);
	EXPECT_ERRNO(mtcp_close(mctx, other_raw), EBADF);
	EXPECT_IS(mtcp_close(mctx, own_monitor), 0);
	EXPECT_ERRNO(mtcp_close(mctx, own_monitor), EBADF);
	EXPECT_ERRNO(mtcp_close(mctx, pending_stream), EBADF);
}

static void
errors_inside(void)
{
	mctx_t mctx;

	write_traffic();
	mctx = start();
	own_monitor = monitor(mctx);
	other_raw = raw_monitor(mctx);
	on(mctx, own_monitor, MOS_ON_PKT_IN, MOS_HK_SND, close_all_kinds);
	on(mctx, own_monitor, MOS_ON_CONN_START, MOS_HK_SND, close_in_next);
	finish(mctx);
	EXPECT_IS(attempts, 1);
}

/* At the end of a context: in its last callbacks there is nothing left to close. */

static int last_sock, ends;

static void
close_at_end(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side, (void)event, (void)arg;
	if (number_of(mctx, sock) != 3)
		return;
	ends++;
	last_sock = sock;
	errno = 0;
	/* Whether it is the last connection is not told. */
	if (mtcp_close(mctx, own_monitor) < 0)
		EXPECT_IS(errno, EACCES);
}

static void
errors_at_end(void)
{
	mctx_t mctx;

	write_traffic();
	mctx = start();
	own_monitor = monitor(mctx);
	on(mctx, own_monitor, MOS_ON_CONN_END, MOS_HK_RCV, close_at_end);
	mtcp_app_join(mctx);
	EXPECT(ends > 0);
	EXPECT_ERRNO(mtcp_close(mctx, last_sock), EACCES);
	EXPECT_ERRNO(mtcp_close(mctx, own_monitor), EACCES);
	finish(mctx);
}

/* A callback of one context closes what is another's. */

static mctx_t contexts[2];
static int theirs;

static void
close_across(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)sock, (void)side, (void)event, (void)arg;
	EXPECT(mctx == contexts[0]);
	EXPECT_ERRNO(mtcp_close(contexts[1], theirs), EPERM);
	attempts++;
}

static void
another_context(void)
{
	write_traffic();
	init("forward = 0", "pcap:in.pcap 0x3");
	contexts[0] = context(0);
	contexts[1] = context(1);
	theirs = monitor(contexts[1]);
	on(contexts[0], raw_monitor(contexts[0]), MOS_ON_PKT_IN, MOS_NULL, close_across);
	finish(contexts[0]);
	EXPECT(attempts > 0);
}

/* Everywhere, with everything. */

enum place {
	SND_PKT_IN, RCV_PKT_IN, SND_START, RCV_START, SND_STATE, RCV_STATE, RCV_REXMIT, NEW_DATA, ERROR, SND_END, RCV_END,
	SND_USER, RCV_USER, DATA_USER, SND_FILTER, DATA_FILTER, ORPHAN, ORPHAN_FILTER, RAW, RAW_FILTER, TIMER, PLACES,
};

/* What is closed, as seen from the callback that does it. */
enum victim { OWN_FLOW, OWN_MONITOR, OTHER_MONITOR, OTHER_FLOW, OTHERS_FLOW, RAW_MONITOR, VICTIMS };

static const char *const place_names[] = {
	"SND PKT_IN", "RCV PKT_IN", "SND CONN_START", "RCV CONN_START", "SND STATE", "RCV STATE", "RCV REXMIT", "NEW_DATA",
	"ERROR", "SND CONN_END", "RCV CONN_END", "SND defined event", "RCV defined event", "NEW_DATA defined event",
	"SND filter", "NEW_DATA filter", "ORPHAN", "ORPHAN filter", "raw", "raw filter", "timer",
};

static const char *const victim_names[] = {
	"own flow", "own monitor", "other monitor", "other flow", "flow of the other monitor", "raw monitor",
};

/* Two monitors that close, and a third one between them that is not concerned. */
enum { A, B, WITNESS };

static enum place chosen;
static enum victim victim;
static int occasion;		/* closes at this occasion of the place, from 0 */
static int seen;
static int monitors[2], raw_sock;
static int flows[2][16], flow_count[2];
static bool is_closed;
static int closed_sock;		/* a flow's; 0 if a monitor's */
static int closed_monitor;	/* A, B, or -1: none, or -2: the raw monitor */
static unsigned witnessed;	/* of everything that the witness was told */

static bool
is_gone(int which, int sock)
{
	if (!is_closed)
		return false;
	return closed_sock != 0 ? sock == closed_sock : which == closed_monitor;
}

static void
note_flow(int which, int sock)
{
	int i;

	for (i = 0; i < flow_count[which]; i++)
		if (flows[which][i] == sock)
			return;
	if (flow_count[which] < 16)
		flows[which][flow_count[which]++] = sock;
}

/* Some other flow of that monitor which is still open: closing gives 0. */
static bool
close_one_of(mctx_t mctx, int which, int but)
{
	int i;

	for (i = 0; i < flow_count[which]; i++)
		if (flows[which][i] != but && mtcp_close(mctx, flows[which][i]) == 0) {
			closed_sock = flows[which][i];
			return true;
		}
	return false;
}

static void
close_victim(mctx_t mctx, int which, int sock)
{
	int result = 0, id = 0;

	closed_sock = 0;
	closed_monitor = -1;
	switch (victim) {
	case OWN_FLOW:
		if (sock == 0)
			return;
		closed_sock = id = sock;
		break;
	case OWN_MONITOR:
		closed_monitor = which < 0 ? A : which;
		id = monitors[closed_monitor];
		break;
	case OTHER_MONITOR:
		closed_monitor = which == A ? B : A;
		id = monitors[closed_monitor];
		break;
	case OTHER_FLOW:
		if (!close_one_of(mctx, which == B ? B : A, sock))
			return;
		break;
	case OTHERS_FLOW:
		if (!close_one_of(mctx, which == B ? A : B, sock))
			return;
		break;
	case RAW_MONITOR:
		closed_monitor = -2;
		id = raw_sock;
		break;
	case VICTIMS:
		return;
	}
	is_closed = true;
	if (id != 0) {
		errno = 0;
		result = mtcp_close(mctx, id);
		/* The last flow ends when the context does: see errors_at_end. */
		if (result < 0 && errno == EACCES)
			is_closed = false;
		else
			EXPECT_IS(result, 0);
	}
	if (is_closed) {
		EXPECT_ERRNO(mtcp_close(mctx, closed_sock ? closed_sock : id), EBADF);
		if (closed_sock) {
			struct pkt_info info;
			char byte;

			EXPECT_ERRNO(mtcp_peek(mctx, closed_sock, MOS_SIDE_SVR, &byte, 1), EBADF);
			EXPECT_ERRNO(mtcp_getlastpkt(mctx, closed_sock, MOS_SIDE_SVR, &info), EBADF);
		}
	}
}

static void
happens(enum place place, int which, mctx_t mctx, int sock)
{
	if (which >= 0 && sock != 0)
		note_flow(which, sock);
	if (which >= 0 ? is_gone(which, sock) : place == RAW && is_closed && closed_monitor == -2)
		fail(__FILE__, __LINE__, "%s is told after it was closed", place_names[place]);
	if (place == chosen && !is_closed && seen++ >= occasion)
		close_victim(mctx, which, sock);
}

#define CALLBACK(name, place, which) \
	static void name(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg) \
	{ \
		(void)side, (void)event, (void)arg; \
		happens(place, which, mctx, place == ORPHAN ? 0 : sock); \
	}

#define FILTER(name, place, which) \
	static bool name(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg) \
	{ \
		(void)side, (void)event, (void)arg; \
		happens(place, which, mctx, place == ORPHAN_FILTER ? 0 : sock); \
		return true; \
	}

#define CALLBACKS_OF(monitor) \
	CALLBACK(snd_pkt_in_##monitor, SND_PKT_IN, monitor) \
	CALLBACK(rcv_pkt_in_##monitor, RCV_PKT_IN, monitor) \
	CALLBACK(snd_start_##monitor, SND_START, monitor) \
	CALLBACK(rcv_start_##monitor, RCV_START, monitor) \
	CALLBACK(snd_state_##monitor, SND_STATE, monitor) \
	CALLBACK(rcv_state_##monitor, RCV_STATE, monitor) \
	CALLBACK(rcv_rexmit_##monitor, RCV_REXMIT, monitor) \
	CALLBACK(new_data_##monitor, NEW_DATA, monitor) \
	CALLBACK(error_##monitor, ERROR, monitor) \
	CALLBACK(snd_end_##monitor, SND_END, monitor) \
	CALLBACK(rcv_end_##monitor, RCV_END, monitor) \
	CALLBACK(snd_user_##monitor, SND_USER, monitor) \
	CALLBACK(rcv_user_##monitor, RCV_USER, monitor) \
	CALLBACK(data_user_##monitor, DATA_USER, monitor) \
	CALLBACK(orphan_##monitor, ORPHAN, monitor) \
	FILTER(snd_filter_##monitor, SND_FILTER, monitor) \
	FILTER(data_filter_##monitor, DATA_FILTER, monitor) \
	FILTER(orphan_filter_##monitor, ORPHAN_FILTER, monitor)

CALLBACKS_OF(A)
CALLBACKS_OF(B)

static void
raw_packet(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)sock, (void)side, (void)event, (void)arg;
	happens(RAW, -1, mctx, 0);
}

static bool
raw_filter(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)sock, (void)side, (void)event, (void)arg;
	happens(RAW_FILTER, -1, mctx, 0);
	return true;
}

static void
timer(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct timeval again = { 0, 2000 };

	(void)sock, (void)side, (void)event, (void)arg;
	happens(TIMER, -1, mctx, 0);
	EXPECT_IS(mtcp_settimer(mctx, 0, &again, timer), 0);
}

/* The order and the kind of all that it is told. */
static void
witness(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	int values[] = { number_of(mctx, sock), side, event, state(mctx, sock, MOS_SIDE_CLI), state(mctx, sock, MOS_SIDE_SVR) };

	(void)arg;
	witnessed = XXH32(values, sizeof(values), witnessed);
}

#define REGISTER(monitor) \
	do { \
		int sock_ = monitors[monitor]; \
		on(mctx, sock_, MOS_ON_PKT_IN, MOS_HK_SND, snd_pkt_in_##monitor); \
		on(mctx, sock_, MOS_ON_PKT_IN, MOS_HK_RCV, rcv_pkt_in_##monitor); \
		on(mctx, sock_, MOS_ON_CONN_START, MOS_HK_SND, snd_start_##monitor); \
		on(mctx, sock_, MOS_ON_CONN_START, MOS_HK_RCV, rcv_start_##monitor); \
		on(mctx, sock_, MOS_ON_TCP_STATE_CHANGE, MOS_HK_SND, snd_state_##monitor); \
		on(mctx, sock_, MOS_ON_TCP_STATE_CHANGE, MOS_HK_RCV, rcv_state_##monitor); \
		on(mctx, sock_, MOS_ON_REXMIT, MOS_HK_RCV, rcv_rexmit_##monitor); \
		on(mctx, sock_, MOS_ON_CONN_NEW_DATA, MOS_NULL, new_data_##monitor); \
		on(mctx, sock_, MOS_ON_ERROR, MOS_NULL, error_##monitor); \
		on(mctx, sock_, MOS_ON_CONN_END, MOS_HK_SND, snd_end_##monitor); \
		on(mctx, sock_, MOS_ON_CONN_END, MOS_HK_RCV, rcv_end_##monitor); \
		on(mctx, sock_, MOS_ON_ORPHAN, MOS_NULL, orphan_##monitor); \
		on(mctx, sock_, mtcp_define_event(MOS_ON_PKT_IN, snd_filter_##monitor, NULL), MOS_HK_SND, snd_user_##monitor); \
		on(mctx, sock_, mtcp_define_event(MOS_ON_PKT_IN, snd_filter_##monitor, NULL), MOS_HK_RCV, rcv_user_##monitor); \
		on(mctx, sock_, mtcp_define_event(MOS_ON_CONN_NEW_DATA, data_filter_##monitor, NULL), MOS_NULL, \
		   data_user_##monitor); \
		on(mctx, sock_, mtcp_define_event(MOS_ON_ORPHAN, orphan_filter_##monitor, NULL), MOS_NULL, nothing); \
	} while (0)

/* One run of the traffic; what the witness has seen. */
static unsigned
replay(void)
{
	struct timeval soon = { 0, 2000 };
	mctx_t mctx = context(0);
	int third;

	is_closed = false;
	seen = flow_count[A] = flow_count[B] = 0;
	witnessed = 0;
	monitors[A] = monitor(mctx);
	third = monitor(mctx);
	monitors[B] = monitor(mctx);
	raw_sock = raw_monitor(mctx);
	REGISTER(A);
	REGISTER(B);
	on(mctx, third, MOS_ON_PKT_IN, MOS_HK_SND, witness);
	on(mctx, third, MOS_ON_PKT_IN, MOS_HK_RCV, witness);
	on(mctx, third, MOS_ON_TCP_STATE_CHANGE, MOS_HK_RCV, witness);
	on(mctx, third, MOS_ON_REXMIT, MOS_HK_RCV, witness);
	on(mctx, third, MOS_ON_CONN_NEW_DATA, MOS_NULL, witness);
	on(mctx, third, MOS_ON_ERROR, MOS_NULL, witness);
	on(mctx, third, MOS_ON_CONN_END, MOS_HK_RCV, witness);
	on(mctx, third, MOS_ON_ORPHAN, MOS_NULL, witness);
	on(mctx, raw_sock, MOS_ON_PKT_IN, MOS_NULL, raw_packet);
	on(mctx, raw_sock, mtcp_define_event(MOS_ON_PKT_IN, raw_filter, NULL), MOS_NULL, nothing);
	EXPECT_IS(mtcp_settimer(mctx, 0, &soon, timer), 0);
	mtcp_app_join(mctx);
	EXPECT_IS(mtcp_destroy_context(mctx), 0);
	return witnessed;
}

static void
everywhere(void)
{
	unsigned undisturbed, place, what, closings = 0;

	write_traffic();
	init("forward = 0", "pcap:in.pcap 0x1");
	chosen = PLACES;
	undisturbed = replay();
	EXPECT(undisturbed != 0);
	for (place = 0; place < PLACES; place++)
		for (what = 0; what < VICTIMS; what++)
			for (occasion = 0; occasion < OCCASIONS; occasion++) {
				unsigned told;

				chosen = place;
				victim = what;
				at("closing the %s, at %s number %d", victim_names[what], place_names[place], occasion);
				told = replay();
				EXPECT(seen > 0);
				/* Nobody else has noticed. */
				EXPECT(told == undisturbed);
				closings += is_closed;
			}
	at("%s", "");
	EXPECT(closings > PLACES * VICTIMS / 2);
	EXPECT_IS(mtcp_destroy(), 0);
}

/* From another thread, while packets pass: once the call has returned nothing is called. */

static atomic_bool runs, has_returned;
static atomic_int calls;
static atomic_int live_flow;

static void
slow_packet(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)side, (void)event, (void)arg;
	EXPECT(!has_returned);
	live_flow = sock;
	runs = true;
	calls++;
	/* Leaves the other thread its time: without it all packets may have passed before it has come far. */
	usleep(1000);
}

static void *
join(void *mctx)
{
	mtcp_app_join(mctx);
	return NULL;
}

static void
write_long_connection(void)
{
	struct talk t = talk(0);
	int i;

	begin_capture("in.pcap");
	handshake(&t);
	for (i = 0; i < PACKETS; i++)
		say(&t, i & 1, "all the same");
	goodbye(&t);
	end_capture();
}

static void
close_while_it_runs(bool flow_only)
{
	pthread_t joiner;
	mctx_t mctx;
	int sock;

	write_long_connection();
	mctx = start();
	sock = monitor(mctx);
	on(mctx, sock, MOS_ON_PKT_IN, MOS_HK_SND, slow_packet);
	pthread_create(&joiner, NULL, join, mctx);
	while (!runs)
		sched_yield();
	EXPECT_IS(mtcp_close(mctx, flow_only ? live_flow : sock), 0);
	has_returned = true;
	EXPECT(calls > 0 && calls < PACKETS);
	pthread_join(joiner, NULL);
	finish(mctx);
}

static void
monitor_from_outside(void)
{
	close_while_it_runs(false);
}

static void
flow_from_outside(void)
{
	close_while_it_runs(true);
}

/* Numbers come back, and not soon. */
static void
numbers_come_back(void)
{
	static const int types[] = { MOS_SOCK_MONITOR_STREAM, MOS_SOCK_MONITOR_RAW, SOCK_STREAM };
	mctx_t mctx;
	size_t i;

	write_traffic();
	mctx = start();
	for (i = 0; i < 3; i++) {
		int first = mtcp_socket(mctx, AF_INET, types[i], 0), sock = first, uses = 0;

		do {
			int result = mtcp_close(mctx, sock);

			EXPECT(result == 0 || errno == ENOTCONN);
			EXPECT_ERRNO(mtcp_close(mctx, sock), EBADF);
			sock = mtcp_socket(mctx, AF_INET, types[(i + uses) % 3], 0);
			EXPECT(sock > 0);
			uses++;
		} while (sock != first && uses < 5000);
		EXPECT_IS(uses, 2047);
		mtcp_close(mctx, sock);
	}
	finish(mctx);
}

int
main(int argc, char **argv)
{
	static const struct scenario scenarios[] = {
		{ "errors-outside", errors_outside, QUICK },
		{ "errors-inside", errors_inside, QUICK },
		{ "errors-at-end", errors_at_end, QUICK },
		{ "another-context", another_context, QUICK },
		{ "everywhere", everywhere, QUICK },
		{ "monitor-from-outside", monitor_from_outside, QUICK },
		{ "flow-from-outside", flow_from_outside, QUICK },
		{ "numbers-come-back", numbers_come_back, "" },
		{ NULL, NULL, NULL },
	};

	return run_scenario(argc, argv, scenarios);
}
