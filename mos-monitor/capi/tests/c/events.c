/* Events: those that programs define, what registering changes and when, what stops them, filters, and timers. */
#include "test.h"
#include "capture.h"

/* What was called, in order, as text: a word each. */
static char told[20000];

__attribute__((format(printf, 1, 2))) static void
tell(const char *format, ...)
{
	size_t len = strlen(told);
	va_list args;

	va_start(args, format);
	vsnprintf(told + len, sizeof(told) - len, format, args);
	va_end(args);
}

#define EXPECT_TOLD(expected) \
	do { \
		if (strcmp(told, expected) != 0) \
			fail(__FILE__, __LINE__, "told \"%s\", not \"%s\"", told, expected); \
	} while (0)

static void
nothing(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)sock, (void)side, (void)event, (void)arg;
}

static void
fail_if_called(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)sock, (void)side, (void)arg;
	fail(__FILE__, __LINE__, "event %d is told", (int)event);
}

/* So many connections with so many words each, one after the other; they end. */
static void
write_connections(int connections, int words)
{
	int i, j;

	begin_capture("in.pcap");
	for (i = 0; i < connections; i++) {
		struct talk t = talk(i);

		handshake(&t);
		for (j = 0; j < words; j++)
			say(&t, CLI, j & 1 ? "even" : "odd");
		goodbye(&t);
	}
	end_capture();
}

/* Events that are defined. */

struct argument { int number; double aligned; };

static event_t outer, inner, beside, other_root;
static int asked[4];

static bool
ask_outer(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct argument *argument = arg->arg;
	struct pkt_info p;

	EXPECT_IS(event, outer);
	EXPECT_IS(arg->len, sizeof(*argument));
	EXPECT_IS((uintptr_t)argument % 16, 0);
	EXPECT_IS(argument->number, 42);
	EXPECT(argument->aligned == 0.5);
	EXPECT_IS(mtcp_getlastpkt(mctx, sock, side, &p), 0);
	asked[0]++;
	return p.payloadlen > 0;
}

static bool
ask_inner(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;

	EXPECT_IS(event, inner);
	EXPECT(arg->arg == NULL && arg->len == 0);
	EXPECT_IS(mtcp_getlastpkt(mctx, sock, side, &p), 0);
	asked[1]++;
	tell("?");
	return p.payloadlen == 3;
}

static bool
ask_beside(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)sock, (void)side, (void)arg;
	EXPECT_IS(event, beside);
	asked[2]++;
	return true;
}

static bool
never_asked(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)sock, (void)side, (void)event, (void)arg;
	asked[3]++;
	return true;
}

static void
on_outer(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)sock, (void)side;
	EXPECT_IS(event, outer);
	EXPECT_IS(((struct argument *)arg->arg)->number, 42);
	tell("o");
}

static void
on_inner(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)sock, (void)side;
	EXPECT_IS(event, inner);
	EXPECT(arg->arg == NULL);
	tell("i");
}

static void
on_beside(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)sock, (void)side, (void)arg;
	EXPECT_IS(event, beside);
	tell("b");
}

static void
on_packet(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;

	(void)arg;
	EXPECT_IS(event, MOS_ON_PKT_IN);
	EXPECT_IS(mtcp_getlastpkt(mctx, sock, side, &p), 0);
	if (p.payloadlen > 0)
		tell(" P");
}

static void
defined_events(void)
{
	struct argument argument = { 42, 0.5 };
	filter_arg_t arg = { &argument, sizeof(argument) };
	mctx_t mctx;
	int sock;

	write_connections(1, 4);
	mctx = start();
	sock = monitor(mctx);
	outer = mtcp_define_event(MOS_ON_PKT_IN, ask_outer, &arg);
	/* It was copied. */
	argument.number = 0;
	inner = mtcp_define_event(outer, ask_inner, NULL);
	beside = mtcp_define_event(outer, ask_beside, NULL);
	other_root = mtcp_define_event(outer, never_asked, NULL);
	/* In the order of registering below one parent, after the parent's own, and none but those that somebody wants. */
	on(mctx, sock, beside, MOS_HK_SND, on_beside);
	on(mctx, sock, inner, MOS_HK_SND, on_inner);
	on(mctx, sock, outer, MOS_HK_SND, on_outer);
	on(mctx, sock, MOS_ON_PKT_IN, MOS_HK_SND, on_packet);
	finish(mctx);
	EXPECT_TOLD(" Pob?i Pob? Pob?i Pob?");
	/* Once for each packet at the one hook, and below only where the parent happens. */
	EXPECT_IS(asked[0], 3 + 4 + 4);
	EXPECT_IS(asked[1], 4);
	EXPECT_IS(asked[2], 4);
	EXPECT_IS(asked[3], 0);
}

/* Below an event of each kind, at each of its hooks, also where the parents have no callback. */
static int kinds_told[12][3];

static bool
always(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)sock, (void)side, (void)event, (void)arg;
	return true;
}

#define KIND_CALLBACK(name, hook) \
	static void name(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg) \
	{ \
		(void)mctx, (void)sock, (void)side; \
		EXPECT(event >= 4096); \
		kinds_told[*(int *)arg->arg][hook]++; \
	}

KIND_CALLBACK(kind_null, 0)
KIND_CALLBACK(kind_snd, 1)
KIND_CALLBACK(kind_rcv, 2)

static void
below_every_event(void)
{
	static const int hooks[] = { MOS_NULL, MOS_HK_SND, MOS_HK_RCV };
	const callback_t callbacks[] = { kind_null, kind_snd, kind_rcv };
	struct talk t = talk(0);
	mctx_t mctx;
	int sock, raw, bit, hook;

	begin_capture("in.pcap");
	handshake(&t);
	say(&t, CLI, "once");
	segment(&t, CLI, PSH | ACK, t.next[CLI] - 4, t.next[SVR], "once", 4);
	segment(&t, CLI, ACK, t.next[CLI] + (1 << 20), t.next[SVR], "astray", 6);
	goodbye(&t);
	segment(&t, CLI, ACK, t.next[CLI], t.next[SVR], NULL, 0);
	end_capture();
	mctx = start();
	sock = monitor(mctx);
	raw = raw_monitor(mctx);
	for (bit = 0; bit < 12; bit++) {
		filter_arg_t arg = { &bit, sizeof(bit) };
		event_t event = mtcp_define_event(mtcp_define_event(1 << bit, always, NULL), always, &arg);

		for (hook = 0; hook < 3; hook++)
			/* Where it is not allowed it is refused: see args.c. */
			mtcp_register_callback(mctx, sock, event, hooks[hook], callbacks[hook]);
	}
	bit = 1;
	on(mctx, raw, mtcp_define_event(MOS_ON_PKT_IN, always, &(filter_arg_t){ &bit, sizeof(bit) }), MOS_NULL, kind_null);
	finish(mctx);
	EXPECT_IS(kinds_told[0][1], 10);	/* PKT_IN */
	EXPECT_IS(kinds_told[0][2], 10);
	EXPECT_IS(kinds_told[1][0], 11);	/* raw packets, which are counted in the place of PKT_OUT */
	EXPECT_IS(kinds_told[2][1], 1);	/* CONN_START */
	EXPECT_IS(kinds_told[2][2], 1);
	EXPECT_IS(kinds_told[4][0], 1);	/* NEW_DATA */
	EXPECT_IS(kinds_told[5][0], 1);	/* ERROR */
	EXPECT(kinds_told[7][1] > 0);	/* TCP_STATE_CHANGE */
	EXPECT(kinds_told[7][2] > 0);
	EXPECT_IS(kinds_told[8][0], 1);	/* ORPHAN */
	EXPECT_IS(kinds_told[9][2], 1);	/* REXMIT */
	EXPECT_IS(kinds_told[10][1], 2);	/* CONN_END */
	EXPECT_IS(kinds_told[10][2], 2);
}

/* Events that are raised. */

static event_t child, other_child, unregistered, foreign;

static bool
raise_some(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;

	(void)event, (void)arg;
	EXPECT_IS(mtcp_getlastpkt(mctx, sock, side, &p), 0);
	if (p.payloadlen == 3) {
		/* Several times is once. */
		EXPECT_IS(mtcp_raise_event(mctx, child), 0);
		EXPECT_IS(mtcp_raise_event(mctx, child), 0);
	}
	if (p.payloadlen == 4)
		EXPECT_IS(mtcp_raise_event(mctx, other_child), 0);
	EXPECT_IS(mtcp_raise_event(mctx, unregistered), 0);
	EXPECT_ERRNO(mtcp_raise_event(mctx, foreign), EINVAL);
	EXPECT_ERRNO(mtcp_raise_event(mctx, outer), EINVAL);
	EXPECT_ERRNO(mtcp_raise_event(mctx, MOS_ON_PKT_IN), EINVAL);
	EXPECT_ERRNO(mtcp_raise_event(NULL, child), EACCES);
	return false;
}

static void
on_child(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)sock, (void)side;
	EXPECT(arg->arg == NULL && arg->len == 0);
	EXPECT(event == child || event == other_child);
	tell(event == child ? "c" : "C");
}

static void
raised_events(void)
{
	mctx_t mctx;
	int sock;

	write_connections(1, 5);
	mctx = start();
	sock = monitor(mctx);
	child = mtcp_alloc_event(MOS_ON_PKT_IN);
	other_child = mtcp_alloc_event(MOS_ON_PKT_IN);
	unregistered = mtcp_alloc_event(MOS_ON_PKT_IN);
	foreign = mtcp_alloc_event(MOS_ON_CONN_END);
	outer = mtcp_define_event(MOS_ON_PKT_IN, raise_some, NULL);
	EXPECT(child != other_child);
	on(mctx, sock, child, MOS_HK_SND, on_child);
	on(mctx, sock, other_child, MOS_HK_SND, on_child);
	on(mctx, sock, outer, MOS_HK_SND, nothing);
	on(mctx, sock, MOS_ON_PKT_IN, MOS_HK_SND, on_packet);
	EXPECT_ERRNO(mtcp_raise_event(mctx, child), EPERM);
	finish(mctx);
	EXPECT_TOLD(" Pc PC Pc PC Pc");
}

/* Filters only can raise. */
static void
raise_from_callback(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)sock, (void)side, (void)event, (void)arg;
	tell("R");
	EXPECT_ERRNO(mtcp_raise_event(mctx, child), EPERM);
}

static void
not_raised_by_callbacks(void)
{
	mctx_t mctx;
	int sock;

	write_connections(1, 1);
	mctx = start();
	sock = monitor(mctx);
	child = mtcp_alloc_event(MOS_ON_PKT_IN);
	on(mctx, sock, MOS_ON_PKT_IN, MOS_HK_SND, raise_from_callback);
	on(mctx, sock, child, MOS_HK_SND, fail_if_called);
	finish(mctx);
	EXPECT_TOLD("RRRRRRRR");
}

/* Registering takes effect from the next event on. */

static int the_monitor;

static void
second(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side, (void)event, (void)arg;
	tell("%d:second ", number_of(mctx, sock));
	/* Takes itself away, and is not called again. */
	EXPECT_IS(mtcp_register_callback(mctx, sock, MOS_ON_PKT_IN, MOS_HK_RCV, NULL), 0);
}

static void
first(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	int number = number_of(mctx, sock);

	(void)side, (void)event, (void)arg;
	tell("%d:first ", number);
	/* For this connection only, and for later ones by the monitor. */
	EXPECT_IS(mtcp_unregister_callback(mctx, sock, MOS_ON_PKT_IN, MOS_HK_SND), 0);
	on(mctx, sock, MOS_ON_PKT_IN, MOS_HK_RCV, second);
	if (number == 1)
		EXPECT_IS(mtcp_unregister_callback(mctx, the_monitor, MOS_ON_PKT_IN, MOS_HK_SND), 0);
}

static void
changed_registrations(void)
{
	mctx_t mctx;

	/* They live at the same time: each learns of what its monitor had when it began. */
	struct talk t[4];
	int i;

	begin_capture("in.pcap");
	for (i = 0; i < 3; i++) {
		t[i] = talk(i);
		handshake(&t[i]);
	}
	for (i = 0; i < 3; i++)
		say(&t[i], CLI, "odd");
	end_capture();
	mctx = start();
	the_monitor = monitor(mctx);
	on(mctx, the_monitor, MOS_ON_PKT_IN, MOS_HK_SND, nothing);
	/* The last one holds. */
	on(mctx, the_monitor, MOS_ON_PKT_IN, MOS_HK_SND, first);
	finish(mctx);
	EXPECT_TOLD("0:first 0:second 1:first 1:second ");
}

static void
later_first(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side, (void)event, (void)arg;
	if (number_of(mctx, sock) == 1)
		tell("at once ");
}

static bool
count_defined(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)sock, (void)side, (void)event, (void)arg;
	asked[0]++;
	return true;
}

static void
register_below(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side, (void)event, (void)arg;
	if (asked[1]++ > 0)
		return;
	/* In the middle of telling PKT_IN: what is below is told from the next packet on. */
	on(mctx, sock, mtcp_define_event(MOS_ON_PKT_IN, count_defined, NULL), MOS_HK_SND, nothing);
	on(mctx, the_monitor, MOS_ON_CONN_START, MOS_HK_RCV, later_first);
}

static void
registered_while_telling(void)
{
	mctx_t mctx;

	write_connections(2, 1);
	mctx = start();
	the_monitor = monitor(mctx);
	on(mctx, the_monitor, MOS_ON_PKT_IN, MOS_HK_SND, register_below);
	finish(mctx);
	/* Of the eight packets of the first connection, all but the first. */
	EXPECT_IS(asked[0], 7);
	EXPECT_TOLD("at once ");
}

/* Sides that are not watched. */

static int stopped_side = -1, after_stop;

static void
stop_one_side(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event, (void)arg;
	if (stopped_side >= 0) {
		EXPECT_IS(side, MOS_SIDE_SVR);
		after_stop++;
		return;
	}
	if (state(mctx, sock, MOS_SIDE_SVR) == TCP_ESTABLISHED) {
		stopped_side = MOS_SIDE_CLI;
		EXPECT_IS(set_option(mctx, sock, MOS_STOP_MON, MOS_SIDE_CLI), 0);
	}
}

static void
one_side_stopped(void)
{
	mctx_t mctx;
	int sock;

	write_connections(1, 3);
	mctx = start();
	sock = monitor(mctx);
	on(mctx, sock, MOS_ON_PKT_IN, MOS_HK_SND, stop_one_side);
	on(mctx, sock, MOS_ON_PKT_IN, MOS_HK_RCV, stop_one_side);
	on(mctx, sock, MOS_ON_CONN_END, MOS_HK_SND, stop_one_side);
	on(mctx, sock, MOS_ON_TCP_STATE_CHANGE, MOS_HK_RCV, stop_one_side);
	finish(mctx);
	EXPECT(after_stop > 5);
}

static int orphans, starts, left_flow;

static void
count_orphan(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)sock, (void)side, (void)event, (void)arg;
	orphans++;
}

static void
stop_both_sides(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event, (void)arg;
	starts++;
	if (number_of(mctx, sock) == 0) {
		EXPECT_IS(mtcp_cb_stop(mctx, sock, MOS_SIDE_BOTH), 0);
	} else {
		EXPECT_IS(set_option(mctx, sock, MOS_STOP_MON, MOS_SIDE_CLI), 0);
		EXPECT_IS(state(mctx, sock, side), TCP_SYN_SENT);
		EXPECT_IS(set_option(mctx, sock, MOS_STOP_MON, MOS_SIDE_SVR), 0);
	}
	left_flow = sock;
}

/* With the next packet at the latest, which raw monitors see first, the socket is closed. */
static void
is_left(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)sock, (void)side, (void)event, (void)arg;
	if (left_flow != 0) {
		EXPECT_ERRNO(set_option(mctx, left_flow, MOS_STOP_MON, MOS_SIDE_SVR), EBADF);
		EXPECT_ERRNO(mtcp_close(mctx, left_flow), EBADF);
	}
}

static void
both_sides_stopped(void)
{
	mctx_t mctx;
	int sock;

	write_connections(2, 3);
	mctx = start();
	sock = monitor(mctx);
	on(mctx, sock, MOS_ON_CONN_START, MOS_HK_SND, stop_both_sides);
	on(mctx, sock, MOS_ON_CONN_START, MOS_HK_RCV, fail_if_called);
	on(mctx, sock, MOS_ON_TCP_STATE_CHANGE, MOS_HK_SND, fail_if_called);
	on(mctx, sock, MOS_ON_CONN_NEW_DATA, MOS_NULL, fail_if_called);
	on(mctx, sock, MOS_ON_CONN_END, MOS_HK_SND, fail_if_called);
	on(mctx, sock, MOS_ON_ORPHAN, MOS_NULL, count_orphan);
	on(mctx, raw_monitor(mctx), MOS_ON_PKT_IN, MOS_NULL, is_left);
	finish(mctx);
	EXPECT_IS(starts, 2);
	/* They are still known. */
	EXPECT_IS(orphans, 0);
}

static void
only_of_servers(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)sock, (void)event, (void)arg;
	EXPECT_IS(side, MOS_SIDE_SVR);
	after_stop++;
}

static void
stopped_for_later(void)
{
	mctx_t mctx;
	int sock;

	write_connections(2, 3);
	mctx = start();
	sock = monitor(mctx);
	on(mctx, sock, MOS_ON_PKT_IN, MOS_HK_SND, only_of_servers);
	on(mctx, sock, MOS_ON_PKT_IN, MOS_HK_RCV, only_of_servers);
	on(mctx, sock, MOS_ON_CONN_NEW_DATA, MOS_NULL, only_of_servers);
	on(mctx, sock, MOS_ON_CONN_END, MOS_HK_RCV, only_of_servers);
	EXPECT_ERRNO(set_option(mctx, sock, MOS_STOP_MON, MOS_SIDE_CLI), EPERM);
	finish(mctx);
	/* Sent by the server: 3; received by it: 7; data: 1; its end. */
	EXPECT_IS(after_stop, 2 * (3 + 7 + 1 + 1));
}

/* Pointers. */

static int pointers[3][4];

static void
set_pointer(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	int which = number_of(mctx, sock);

	(void)side, (void)event, (void)arg;
	EXPECT(mtcp_get_uctx(mctx, sock) == NULL);
	mtcp_set_uctx(mctx, sock, &pointers[0][which]);
	EXPECT(mtcp_get_uctx(mctx, sock) == &pointers[0][which]);
	mtcp_set_uctx(mctx, the_monitor, pointers);
}

static void
set_pointer_too(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side, (void)event, (void)arg;
	/* Of its own, whatever the other monitor keeps. */
	EXPECT(mtcp_get_uctx(mctx, sock) == NULL);
	mtcp_set_uctx(mctx, sock, &pointers[1][number_of(mctx, sock)]);
	EXPECT(mtcp_get_uctx(mctx, the_monitor) == pointers);
}

static void
get_pointer(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	int *pointer = mtcp_get_uctx(mctx, sock), which = number_of(mctx, sock);

	(void)side, (void)event, (void)arg;
	EXPECT(pointer == &pointers[0][which] || pointer == &pointers[1][which]);
	++*pointer;
}

static void
kept_pointers(void)
{
	mctx_t mctx;
	int other, i;

	write_connections(4, 1);
	mctx = start();
	the_monitor = monitor(mctx);
	other = monitor(mctx);
	on(mctx, the_monitor, MOS_ON_CONN_START, MOS_HK_SND, set_pointer);
	on(mctx, other, MOS_ON_CONN_START, MOS_HK_SND, set_pointer_too);
	on(mctx, the_monitor, MOS_ON_CONN_END, MOS_HK_RCV, get_pointer);
	on(mctx, other, MOS_ON_CONN_END, MOS_HK_SND, get_pointer);
	finish(mctx);
	for (i = 0; i < 8; i++)
		EXPECT_IS(pointers[i / 4][i % 4], 2);
}

/* Two monitors: packets of clients visit them in order, those of servers in the other one. */

static void
visit_first(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)sock, (void)side, (void)event, (void)arg;
	tell("1");
}

static void
visit_second(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)sock, (void)side, (void)event, (void)arg;
	tell("2");
}

static void
order_of_monitors(void)
{
	struct talk t = talk(0);
	mctx_t mctx;
	int socks[2], i;

	begin_capture("in.pcap");
	handshake(&t);
	say(&t, CLI, "question");
	say(&t, SVR, "answer");
	end_capture();
	mctx = start();
	for (i = 0; i < 2; i++) {
		socks[i] = monitor(mctx);
		on(mctx, socks[i], MOS_ON_PKT_IN, MOS_HK_SND, i ? visit_second : visit_first);
		on(mctx, socks[i], MOS_ON_CONN_NEW_DATA, MOS_NULL, i ? visit_second : visit_first);
	}
	finish(mctx);
	/* SYN, SYN|ACK, ACK, question, answer; then, at the end of the burst, what the server and the client have got. */
	EXPECT_TOLD("12" "21" "12" "12" "21" "12" "21");
}

/* Filters. */

static int raw_packets, flows_seen[2];

static void
count_raw(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)sock, (void)side, (void)event, (void)arg;
	raw_packets++;
}

static void
count_flow(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side, (void)event, (void)arg;
	flows_seen[number_of(mctx, sock)]++;
}

static void
run_with_filters(const char *syn, const char *orphan, const char *raw)
{
	struct talk t[2] = { talk(0), talk(1) }, stranger = talk(2);
	union monitor_filter filter = { .raw_pkt_filter = (char *)raw };
	mctx_t mctx;
	int i, sock, raw_sock;

	begin_capture("in.pcap");
	for (i = 0; i < 2; i++)
		whole(&t[i], "question", "answer");
	segment(&stranger, CLI, ACK, 1, 1, NULL, 0);
	udp(0x0a000001, 0xc0a80001, "not TCP");
	end_capture();
	orphans = raw_packets = flows_seen[0] = flows_seen[1] = 0;
	mctx = start();
	sock = monitor(mctx);
	raw_sock = raw_monitor(mctx);
	on(mctx, sock, MOS_ON_CONN_START, MOS_HK_SND, count_flow);
	on(mctx, sock, MOS_ON_ORPHAN, MOS_NULL, count_orphan);
	on(mctx, raw_sock, MOS_ON_PKT_IN, MOS_NULL, count_raw);
	EXPECT_IS(mtcp_bind_monitor_filter(mctx, raw_sock, &filter), 0);
	filter.stream_syn_filter = (char *)syn;
	filter.stream_orphan_filter = (char *)orphan;
	EXPECT_IS(mtcp_bind_monitor_filter(mctx, sock, &filter), 0);
	finish(mctx);
}

static void
filters(void)
{
	/* Each connection has ten packets. */
	run_with_filters(NULL, NULL, NULL);
	EXPECT(flows_seen[0] == 1 && flows_seen[1] == 1);
	EXPECT_IS(orphans, 2);
	EXPECT_IS(raw_packets, 24);
	run_with_filters("src host 10.0.0.1", NULL, "udp");
	EXPECT(flows_seen[0] == 1 && flows_seen[1] == 0);
	/* What the monitor does not want belongs to no connection. */
	EXPECT_IS(orphans, 2 + 11);
	EXPECT_IS(raw_packets, 1);
	run_with_filters("dst port 81", "dst host 192.168.0.1", "tcp and src port 80");
	EXPECT(flows_seen[0] == 0 && flows_seen[1] == 0);
	EXPECT(orphans > 2 && orphans < 24);
	EXPECT_IS(raw_packets, 10);
	run_with_filters("tcp and not src port 10000", "src port 10002", "host 10.0.0.2 or udp");
	EXPECT(flows_seen[0] == 0 && flows_seen[1] == 1);
	EXPECT_IS(orphans, 1);
	EXPECT_IS(raw_packets, 12);
}

/* An empty one takes the filter away; a wrong one leaves all as it is. */
static void
filters_again(void)
{
	union monitor_filter filter = { .stream_syn_filter = "src host 1.2.3.4", .stream_orphan_filter = "src host 1.2.3.4" };
	mctx_t mctx;
	int sock, raw_sock;

	write_connections(2, 1);
	mctx = start();
	sock = monitor(mctx);
	raw_sock = raw_monitor(mctx);
	on(mctx, sock, MOS_ON_CONN_START, MOS_HK_SND, count_flow);
	on(mctx, raw_sock, MOS_ON_PKT_IN, MOS_NULL, count_raw);
	EXPECT_IS(mtcp_bind_monitor_filter(mctx, sock, &filter), 0);
	filter.stream_orphan_filter = "nonsense";
	filter.stream_syn_filter = "src host 10.0.0.1";
	EXPECT_ERRNO(mtcp_bind_monitor_filter(mctx, sock, &filter), EINVAL);
	filter.stream_orphan_filter = NULL;
	filter.stream_syn_filter = "";
	EXPECT_IS(mtcp_bind_monitor_filter(mctx, sock, &filter), 0);
	filter.raw_pkt_filter = "udp";
	EXPECT_IS(mtcp_bind_monitor_filter(mctx, raw_sock, &filter), 0);
	filter.raw_pkt_filter = "";
	EXPECT_IS(mtcp_bind_monitor_filter(mctx, raw_sock, &filter), 0);
	finish(mctx);
	EXPECT(flows_seen[0] == 1 && flows_seen[1] == 1);
	EXPECT_IS(raw_packets, 16);
}

/* IPv6 is for those who have asked for it. */
static void
write_ipv6(void)
{
	/* UDP from ::1 to ::2. */
	uint8_t out[14 + 40 + 8] = { [12] = 0x86, 0xdd, 0x60, [19] = 8, 17, 64 };

	out[14 + 23] = 1;
	out[14 + 39] = 2;
	put16(out + 14 + 40, 5000);
	put16(out + 14 + 42, 53);
	put16(out + 14 + 44, 8);
	put16(out + 14 + 46, fold(sum16(out + 22, 40, 17 + 8)));
	begin_capture("in.pcap");
	frame(out, sizeof(out));
	udp(0x0a000001, 0xc0a80001, "of IPv4");
	end_capture();
}

static void
ipv6(void)
{
	int shown;

	write_ipv6();
	for (shown = 0; shown < 2; shown++) {
		mctx_t mctx = start();
		int sock = monitor(mctx), raw_sock = raw_monitor(mctx);

		orphans = raw_packets = 0;
		on(mctx, sock, MOS_ON_ORPHAN, MOS_NULL, count_orphan);
		on(mctx, raw_sock, MOS_ON_PKT_IN, MOS_NULL, count_raw);
		if (shown) {
			EXPECT_IS(set_option(mctx, sock, MOS_IPV6, 1), 0);
			EXPECT_IS(set_option(mctx, raw_sock, MOS_IPV6, 1), 0);
		}
		finish(mctx);
		EXPECT_IS(orphans, 1 + shown);
		EXPECT_IS(raw_packets, 1 + shown);
	}
}

/* Timers: the time is that of the packets. */

static uint32_t began;

static void
fired(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	EXPECT(side == 0 && event == 0 && arg == NULL);
	EXPECT_IS(mctx->cpu, 0);
	tell("%d@%u ", sock, (mtcp_cb_get_ts(mctx) - began) / 1000);
}

static void
fire_again(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct timeval three = { 0, 3000 };

	fired(mctx, sock, side, event, arg);
	if (sock < 13)
		EXPECT_IS(mtcp_settimer(mctx, sock + 1, &three, fire_again), 0);
}

static void
set_timers(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct timeval two = { 0, 2000 }, one = { 0, 1 }, none = { 0, 0 }, five = { 0, 5000 }, late = { 4000, 0 };

	(void)sock, (void)side, (void)event, (void)arg;
	began = mtcp_cb_get_ts(mctx);
	EXPECT_IS(mtcp_settimer(mctx, 5, &five, fired), 0);
	EXPECT_IS(mtcp_settimer(mctx, 2, &two, fired), 0);
	/* Rounded up to a millisecond. */
	EXPECT_IS(mtcp_settimer(mctx, 1, &one, fired), 0);
	EXPECT_IS(mtcp_settimer(mctx, 0, &none, fired), 0);
	/* Those of the same time in the order in which they were set. */
	EXPECT_IS(mtcp_settimer(mctx, 6, &five, fired), 0);
	EXPECT_IS(mtcp_settimer(mctx, 10, &two, fire_again), 0);
	EXPECT_IS(mtcp_settimer(mctx, 99, &late, fail_if_called), 0);
}

static void
timers(void)
{
	mctx_t mctx;

	write_connections(1, 20);
	mctx = start();
	on(mctx, monitor(mctx), MOS_ON_CONN_START, MOS_HK_SND, set_timers);
	finish(mctx);
	EXPECT_TOLD("1@1 0@1 2@2 10@2 5@5 6@5 11@5 12@8 13@11 ");
}

/* One that is set before the first packet counts from that. */
static void
timers_from_outside(void)
{
	struct timeval two = { 0, 2000 };
	mctx_t mctx;

	write_connections(1, 20);
	mctx = start();
	began = 1000000;
	EXPECT_IS(mtcp_settimer(mctx, 10, &two, fire_again), 0);
	finish(mctx);
	EXPECT_TOLD("10@2 11@5 12@8 13@11 ");
}

int
main(int argc, char **argv)
{
	static const struct scenario scenarios[] = {
		{ "defined-events", defined_events, QUICK },
		{ "below-every-event", below_every_event, QUICK },
		{ "raised-events", raised_events, QUICK },
		{ "not-raised-by-callbacks", not_raised_by_callbacks, QUICK },
		{ "changed-registrations", changed_registrations, QUICK },
		{ "registered-while-telling", registered_while_telling, QUICK },
		{ "one-side-stopped", one_side_stopped, QUICK },
		{ "both-sides-stopped", both_sides_stopped, QUICK },
		{ "stopped-for-later", stopped_for_later, QUICK },
		{ "kept-pointers", kept_pointers, QUICK },
		{ "order-of-monitors", order_of_monitors, QUICK },
		{ "filters", filters, QUICK },
		{ "filters-again", filters_again, QUICK },
		{ "ipv6", ipv6, QUICK },
		{ "timers", timers, QUICK },
		{ "timers-from-outside", timers_from_outside, QUICK },
		{ NULL, NULL, NULL },
	};

	return run_scenario(argc, argv, scenarios);
}
