/* What is kept of streams, and how it is asked for: peek, ppeek, and the options about buffers. */
#include "test.h"
#include "capture.h"

/* What a monitor has read of each side, the bytes that were missing as dots. */
static char text[2][5000];
static int events_told[2], errors;

static void
read_into_text(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	size_t len = strlen(text[side]);
	ssize_t count;

	(void)event, (void)arg;
	events_told[side]++;
	while ((count = mtcp_peek(mctx, sock, side, text[side] + len, sizeof(text[side]) - len - 1)) != 0) {
		if (count < 0) {
			EXPECT_IS(errno, ENODATA);
			count = -count;
			memset(text[side] + len, '.', count);
		}
		len += count;
	}
}

static void
count_error(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)sock, (void)side, (void)event, (void)arg;
	errors++;
}

static void
expect_text(int side, const char *expected)
{
	if (strcmp(text[side], expected) != 0)
		fail(__FILE__, __LINE__, "side %d has read \"%s\", not \"%s\"", side, text[side], expected);
}

/* One connection: what the client sends in three pieces, the second one late, and what the server answers. */
static void
write_conversation(void)
{
	struct talk t = talk(0);

	begin_capture_with_ticks("in.pcap", "ticks.pcap");
	handshake(&t);
	say(&t, CLI, "one ");
	segment(&t, CLI, PSH | ACK, t.next[CLI] + 4, t.next[SVR], "three", 5);
	say(&t, CLI, "two ");
	t.next[CLI] += 5;
	say(&t, SVR, "four");
	goodbye(&t);
	end_capture();
}

static void
read_in_order(void)
{
	mctx_t mctx;
	int sock;

	write_conversation();
	mctx = start();
	sock = monitor(mctx);
	on(mctx, sock, MOS_ON_CONN_NEW_DATA, MOS_NULL, read_into_text);
	on(mctx, sock, MOS_ON_ERROR, MOS_NULL, count_error);
	finish(mctx);
	expect_text(MOS_SIDE_SVR, "one two three");
	expect_text(MOS_SIDE_CLI, "four");
	/* Once for each burst and side. */
	EXPECT_IS(events_told[0], 1);
	EXPECT_IS(events_told[1], 1);
	EXPECT_IS(errors, 0);
}

/* A side without a buffer: nothing is told of its bytes, and all else goes on. */
static void
no_buffer(void)
{
	static const int options[] = { MOS_CLIBUF, MOS_SVRBUF, MOS_FRAG_CLIBUF, MOS_FRAG_SVRBUF };
	int i;

	write_conversation();
	for (i = 0; i < 4; i++) {
		mctx_t mctx = start();
		int sock = monitor(mctx), off = i & 1 ? MOS_SIDE_SVR : MOS_SIDE_CLI;

		memset(text, 0, sizeof(text));
		EXPECT_IS(set_option(mctx, sock, options[i], 0), 0);
		on(mctx, sock, MOS_ON_CONN_NEW_DATA, MOS_NULL, read_into_text);
		finish(mctx);
		expect_text(off, "");
		expect_text(!off, off == MOS_SIDE_SVR ? "four" : "one two three");
	}
}

static void
expect_no_buffer(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct tcp_ring_fragment fragment;
	struct tcp_buf_info info;
	socklen_t len = sizeof(info);
	char byte;

	(void)side, (void)event, (void)arg;
	EXPECT_ERRNO(mtcp_peek(mctx, sock, MOS_SIDE_SVR, &byte, 1), EINVAL);
	EXPECT_ERRNO(mtcp_ppeek(mctx, sock, MOS_SIDE_SVR, &byte, 1, 0), EINVAL);
	EXPECT_ERRNO(mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, MOS_INFO_SVRBUF, &info, &len), ENODATA);
	len = 1;
	EXPECT_ERRNO(mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, MOS_FRAGINFO_SVRBUF, &fragment, &len), ENODATA);
	errors++;
}

/* no_ring_buffers in the configuration: monitors that say nothing have none. */
static void
no_ring_buffers(void)
{
	mctx_t mctx;
	int other;

	write_conversation();
	init("forward = 0\nno_ring_buffers = 1", "pcap:in.pcap 0x1");
	mctx = context(0);
	on(mctx, monitor(mctx), MOS_ON_PKT_IN, MOS_HK_RCV, expect_no_buffer);
	mtcp_app_join(mctx);
	EXPECT_IS(mtcp_destroy_context(mctx), 0);
	EXPECT(errors > 0);
	/* There are two of them now. One has said something. */
	mctx = context(0);
	on(mctx, monitor(mctx), MOS_ON_CONN_NEW_DATA, MOS_NULL, count_error);
	other = monitor(mctx);
	EXPECT_IS(set_option(mctx, other, MOS_SVRBUF, 1000), 0);
	on(mctx, other, MOS_ON_CONN_NEW_DATA, MOS_NULL, read_into_text);
	finish(mctx);
	expect_text(MOS_SIDE_SVR, "one two three");
}

/* Turned on and off for one connection: other monitors do not notice. */

static void
turn_off_and_on(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;

	(void)side, (void)event, (void)arg;
	EXPECT_IS(mtcp_getlastpkt(mctx, sock, side, &p), 0);
	if (p.payloadlen == 4 && memcmp(p.payload, "two ", 4) == 0)
		EXPECT_IS(set_option(mctx, sock, MOS_SVRBUF, 0), 0);
	if (p.payloadlen == 4 && memcmp(p.payload, "four", 4) == 0)
		EXPECT_IS(set_option(mctx, sock, MOS_SVRBUF, 1000), 0);
}

static void
read_rest(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	char bytes[20];

	(void)event, (void)arg;
	EXPECT_IS(mtcp_peek(mctx, sock, side, bytes, sizeof(bytes)), 4);
	EXPECT(memcmp(bytes, side == MOS_SIDE_SVR ? "one " : "four", 4) == 0);
	errors++;
}

static void
turned_off_and_on(void)
{
	mctx_t mctx;
	int sock, other;

	write_conversation();
	mctx = start_with_ticks();
	sock = monitor(mctx);
	on(mctx, sock, MOS_ON_PKT_IN, MOS_HK_SND, turn_off_and_on);
	on(mctx, sock, MOS_ON_CONN_NEW_DATA, MOS_NULL, read_rest);
	other = monitor(mctx);
	on(mctx, other, MOS_ON_CONN_NEW_DATA, MOS_NULL, read_into_text);
	finish(mctx);
	expect_text(MOS_SIDE_SVR, "one two three");
	expect_text(MOS_SIDE_CLI, "four");
	EXPECT_IS(errors, 2);
}

/* A small buffer that nobody reads until the end: the oldest bytes go. */

static void
read_at_end(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	if (side == MOS_SIDE_SVR && events_told[side] == 0)
		read_into_text(mctx, sock, side, event, arg);
}

static void
small_buffer(void)
{
	struct talk t = talk(0);
	mctx_t mctx;
	int sock, i;

	begin_capture_with_ticks("in.pcap", "ticks.pcap");
	handshake(&t);
	for (i = 0; i < 10; i++)
		say(&t, CLI, "0123456789");
	goodbye(&t);
	end_capture();
	mctx = start_with_ticks();
	sock = monitor(mctx);
	EXPECT_IS(set_option(mctx, sock, MOS_SVRBUF, 35), 0);
	on(mctx, sock, MOS_ON_ERROR, MOS_NULL, count_error);
	on(mctx, sock, MOS_ON_CONN_END, MOS_HK_RCV, read_at_end);
	finish(mctx);
	/* Each of the last seven has pushed something out. */
	EXPECT_IS(errors, 7);
	expect_text(MOS_SIDE_SVR, "................................................................." "56789012345678901234567890123456789");
}

/* A byte that comes twice with two values. */
static void
write_overlap(void)
{
	struct talk t = talk(0);

	begin_capture("in.pcap");
	handshake(&t);
	/* Behind a hole, so that nothing of it is read before the second copy comes. */
	segment(&t, CLI, PSH | ACK, t.next[CLI] + 2, t.next[SVR], "first", 5);
	segment(&t, CLI, PSH | ACK, t.next[CLI] + 2, t.next[SVR], "SECON", 5);
	say(&t, CLI, "a ");
	t.next[CLI] += 5;
	ack(&t, SVR);
	goodbye(&t);
	end_capture();
}

static void
want_last(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side, (void)event, (void)arg;
	EXPECT_IS(set_option(mctx, sock, MOS_SVROVERLAP, MOS_OVERLAP_POLICY_LAST), 0);
}

static void
overlap(void)
{
	enum { DEFAULT, OTHER_SIDE, FIRST, LAST, LAST_ON_FLOW, WAYS } way;

	write_overlap();
	for (way = 0; way < WAYS; way++) {
		mctx_t mctx = start();
		int sock = monitor(mctx);

		at("way %d", way);
		memset(text, 0, sizeof(text));
		errors = 0;
		if (way == OTHER_SIDE)
			EXPECT_IS(set_option(mctx, sock, MOS_CLIOVERLAP, MOS_OVERLAP_POLICY_LAST), 0);
		if (way == FIRST)
			EXPECT_IS(set_option(mctx, sock, MOS_SVROVERLAP, MOS_OVERLAP_POLICY_FIRST), 0);
		if (way == LAST)
			EXPECT_IS(set_option(mctx, sock, MOS_SVROVERLAP, MOS_OVERLAP_POLICY_LAST), 0);
		if (way == LAST_ON_FLOW)
			on(mctx, sock, MOS_ON_CONN_START, MOS_HK_SND, want_last);
		on(mctx, sock, MOS_ON_CONN_NEW_DATA, MOS_NULL, read_into_text);
		on(mctx, sock, MOS_ON_ERROR, MOS_NULL, count_error);
		finish(mctx);
		expect_text(MOS_SIDE_SVR, way == LAST || way == LAST_ON_FLOW ? "a SECON" : "a first");
		EXPECT_IS(errors, 1);
	}
	at("%s", "");
}

/* Where a stream is, in numbers. */

static int checked;

static void
expect_info(mctx_t mctx, int sock, uint32_t read, uint32_t expected, uint32_t received)
{
	struct talk t = talk(0);
	uint32_t first = t.first[CLI] + 1;
	struct tcp_buf_info info;
	socklen_t len = sizeof(info);

	EXPECT_IS(mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, MOS_INFO_SVRBUF, &info, &len), 0);
	EXPECT_IS(info.tcpbi_init_seq, first);
	EXPECT_IS(info.tcpbi_last_byte_read, first + read - 1);
	EXPECT_IS(info.tcpbi_next_byte_expected, first + expected);
	EXPECT_IS(info.tcpbi_last_byte_received, first + received - 1);
}

static int
fragments_of(mctx_t mctx, int sock, struct tcp_ring_fragment *fragments, socklen_t room)
{
	EXPECT_IS(mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, MOS_FRAGINFO_SVRBUF, fragments, &room), 0);
	return room;
}

static void
check_positions(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct tcp_ring_fragment fragments[4];
	struct pkt_info p;
	char bytes[20];

	(void)event, (void)arg;
	EXPECT_IS(mtcp_getlastpkt(mctx, sock, side, &p), 0);
	if (p.payloadlen == 0 || side != MOS_SIDE_SVR)
		return;
	memset(fragments, 0x77, sizeof(fragments));
	switch (checked++) {
	case 0:	/* "one " */
		expect_info(mctx, sock, 0, 4, 4);
		EXPECT_IS(fragments_of(mctx, sock, fragments, 4), 1);
		EXPECT(fragments[0].offset == 0 && fragments[0].len == 4);
		/* An end, and nothing behind it. */
		EXPECT(fragments[1].offset == 0 && fragments[1].len == 0);
		EXPECT(fragments[2].len == 0x77777777);
		EXPECT_IS(mtcp_peek(mctx, sock, side, bytes, 1), 1);
		expect_info(mctx, sock, 1, 4, 4);
		break;
	case 1:	/* "three", behind a hole */
		EXPECT_IS(p.offset, 8);
		expect_info(mctx, sock, 1, 4, 13);
		EXPECT_IS(fragments_of(mctx, sock, fragments, 4), 2);
		EXPECT(fragments[0].offset == 1 && fragments[0].len == 3);
		EXPECT(fragments[1].offset == 8 && fragments[1].len == 5);
		/* No more than there is room for. */
		memset(fragments, 0x77, sizeof(fragments));
		EXPECT_IS(fragments_of(mctx, sock, fragments, 1), 1);
		EXPECT(fragments[0].len == 3 && fragments[1].len == 0x77777777);
		EXPECT_IS(mtcp_ppeek(mctx, sock, side, bytes, sizeof(bytes), 1), 3);
		EXPECT_IS(mtcp_ppeek(mctx, sock, side, bytes, sizeof(bytes), 9), 4);
		EXPECT(memcmp(bytes, "hree", 4) == 0);
		EXPECT_ERRNO(mtcp_ppeek(mctx, sock, side, bytes, sizeof(bytes), 4), ENODATA);
		EXPECT_ERRNO(mtcp_ppeek(mctx, sock, side, bytes, sizeof(bytes), 13), ENODATA);
		break;
	case 2:	/* "two " */
		expect_info(mctx, sock, 1, 13, 13);
		EXPECT_IS(fragments_of(mctx, sock, fragments, 4), 1);
		EXPECT(fragments[0].offset == 1 && fragments[0].len == 12);
		EXPECT_IS(mtcp_peek(mctx, sock, side, bytes, sizeof(bytes)), 12);
		EXPECT(memcmp(bytes, "ne two three", 12) == 0);
		EXPECT_IS(mtcp_peek(mctx, sock, side, bytes, sizeof(bytes)), 0);
		EXPECT_IS(fragments_of(mctx, sock, fragments, 4), 0);
		EXPECT_IS(fragments[0].len, 0);
		expect_info(mctx, sock, 13, 13, 13);
		break;
	}
}

static void
not_yet(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct tcp_buf_info info;
	socklen_t len = sizeof(info);
	uint32_t when;

	(void)side, (void)event, (void)arg;
	EXPECT_ERRNO(mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, MOS_INFO_CLIBUF, &info, &len), ENODATA);
	EXPECT_ERRNO(mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, MOS_TCP_STATE_SVR, &info, &len), ENOTCONN);
	EXPECT_IS(mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, MOS_TIMESTAMP, &when, NULL), 0);
	EXPECT_IS(when, mtcp_cb_get_ts(mctx));
}

static void
positions(void)
{
	mctx_t mctx;
	int sock;

	write_conversation();
	mctx = start();
	sock = monitor(mctx);
	on(mctx, sock, MOS_ON_CONN_START, MOS_HK_SND, not_yet);
	on(mctx, sock, MOS_ON_PKT_IN, MOS_HK_RCV, check_positions);
	finish(mctx);
	EXPECT_IS(checked, 3);
}

/* Two monitors read on their own. */

static char slow_text[100];

static void
read_one_byte(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event, (void)arg;
	if (side == MOS_SIDE_SVR)
		EXPECT_IS(mtcp_peek(mctx, sock, side, slow_text + strlen(slow_text), 1), 1);
}

static void
read_the_rest(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event, (void)arg;
	if (side == MOS_SIDE_SVR)
		EXPECT_IS(mtcp_peek(mctx, sock, side, slow_text + strlen(slow_text), 99), 12);
}

static void
two_readers(void)
{
	mctx_t mctx;
	int fast, slow;

	write_conversation();
	mctx = start();
	fast = monitor(mctx);
	on(mctx, fast, MOS_ON_CONN_NEW_DATA, MOS_NULL, read_into_text);
	slow = monitor(mctx);
	on(mctx, slow, MOS_ON_CONN_NEW_DATA, MOS_NULL, read_one_byte);
	on(mctx, slow, MOS_ON_CONN_END, MOS_HK_SND, read_the_rest);
	finish(mctx);
	expect_text(MOS_SIDE_SVR, "one two three");
	EXPECT(strcmp(slow_text, "one two three") == 0);
}

int
main(int argc, char **argv)
{
	static const struct scenario scenarios[] = {
		{ "read-in-order", read_in_order, QUICK },
		{ "no-buffer", no_buffer, QUICK },
		{ "no-ring-buffers", no_ring_buffers, QUICK },
		{ "turned-off-and-on", turned_off_and_on, QUICK },
		{ "small-buffer", small_buffer, QUICK },
		{ "overlap", overlap, QUICK },
		{ "positions", positions, QUICK },
		{ "two-readers", two_readers, QUICK },
		{ NULL, NULL, NULL },
	};

	return run_scenario(argc, argv, scenarios);
}
