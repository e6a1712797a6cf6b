/* Packets that are changed, dropped and sent: what arrives is in in.pcap, what leaves in out.pcap. */
#include "test.h"
#include "capture.h"

static struct frames in, out;

static void
nothing(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)sock, (void)side, (void)event, (void)arg;
}

/* By how much the question is longer when it reaches the server: it acknowledges that, too. */
static int more;

/* A handshake, a question of eight bytes in packet 3, an answer in packet 4, and a goodbye. */
enum { QUESTION = 3, ANSWER = 4, PACKETS = 9 };

static void
say_from_server(struct talk *t, int flags, const char *text)
{
	segment(t, SVR, flags, t->next[SVR], t->next[CLI] + more, text, strlen(text));
	t->next[SVR] += strlen(text) + !!(flags & FIN);
}

static void
write_conversation(void)
{
	struct talk t = talk(0);

	begin_capture("in.pcap");
	handshake(&t);
	say(&t, CLI, "question");
	say_from_server(&t, PSH | ACK, "answer");
	advance(&t, CLI, FIN | ACK, NULL, 0);
	say_from_server(&t, ACK, "");
	say_from_server(&t, FIN | ACK, "");
	ack(&t, CLI);
	end_capture();
}

/* All that arrives leaves again. */
static mctx_t
start_forwarding(void)
{
	init("forward = 1\nnic_forward_table {\npcap:in.pcap>out.pcap pcap:in.pcap>out.pcap\n}", "pcap:in.pcap>out.pcap 0x1");
	return context(0);
}

/* Until the end, with `callback` for each packet. */
static void
forward(int hook, callback_t callback)
{
	mctx_t mctx;

	write_conversation();
	mctx = start_forwarding();
	on(mctx, monitor(mctx), MOS_ON_PKT_IN, hook, callback);
	finish(mctx);
	read_capture("in.pcap", &in);
	read_capture("out.pcap", &out);
}

static bool
is_same(size_t packet, size_t as)
{
	return out.at[as].len == in.at[packet].len && memcmp(out.at[as].bytes + 14, in.at[packet].bytes + 14, in.at[packet].len - 14) == 0;
}

/* The checksums of a frame that left are right. */
static void
expect_right_sums(size_t packet)
{
	const uint8_t *ip = out.at[packet].bytes + 14;
	size_t len = ip[2] << 8 | ip[3];

	EXPECT_IS(len, out.at[packet].len - 14);
	EXPECT_IS(fold(sum16(ip, (ip[0] & 15) * 4, 0)), 0);
	EXPECT_IS(transport_sum(ip, len), 0);
}

static const uint8_t *
payload(size_t packet)
{
	const uint8_t *ip = out.at[packet].bytes + 14, *tcp = ip + (ip[0] & 15) * 4;

	return tcp + (tcp[12] >> 4) * 4;
}

static uint32_t
get32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3];
}

#define ACK_SEQ(packet)	get32(out.at[packet].bytes + 14 + 20 + 8)
#define SEQ(packet)	get32(out.at[packet].bytes + 14 + 20 + 4)

/* The eight bytes of the question. */
static bool
is_question(mctx_t mctx, int sock, struct pkt_info *p)
{
	return mtcp_getlastpkt(mctx, sock, 0, p) == 0 && p->payloadlen == 8;
}

static void
as_it_is(void)
{
	size_t i;

	forward(MOS_HK_SND, nothing);
	EXPECT_IS(out.count, PACKETS);
	for (i = 0; i < PACKETS; i++)
		EXPECT(is_same(i, i));
}

static void
drop_question(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;

	(void)event, (void)arg;
	if (is_question(mctx, sock, &p))
		/* Nothing else counts. */
		EXPECT_IS(mtcp_setlastpkt(mctx, sock, side, -5, NULL, 77, MOS_DROP | MOS_ETH_HDR | MOS_UPDATE_IP_CHKSUM), 0);
}

static void
dropped(void)
{
	static const int hooks[] = { MOS_HK_SND, MOS_HK_RCV };
	size_t i, hook;

	for (hook = 0; hook < 2; hook++) {
		forward(hooks[hook], drop_question);
		EXPECT_IS(out.count, PACKETS - 1);
		for (i = 0; i + 1 < PACKETS; i++)
			EXPECT(is_same(i < QUESTION ? i : i + 1, i));
	}
}

static void
overwrite_question(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p, again;

	(void)event, (void)arg;
	if (!is_question(mctx, sock, &p))
		return;
	EXPECT_IS(mtcp_setlastpkt(mctx, sock, side, 2, (byte *)"XYZ", 3, MOS_OVERWRITE | MOS_TCP_PAYLOAD | MOS_UPDATE_TCP_CHKSUM), 0);
	EXPECT_IS(mtcp_setlastpkt(mctx, sock, side, 8, (byte *)"\x07", 1, MOS_OVERWRITE | MOS_IP_HDR | MOS_UPDATE_IP_CHKSUM), 0);
	/* It is seen at once. */
	EXPECT_IS(mtcp_getlastpkt(mctx, sock, side, &again), 0);
	EXPECT(memcmp(again.payload, "quXYZion", 8) == 0);
	EXPECT_IS(again.iph->ttl, 7);
}

/* The receiver has seen its payload: only of headers something else can go on. */
static void
overwrite_header(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;
	int sums = MOS_UPDATE_IP_CHKSUM | MOS_UPDATE_TCP_CHKSUM;

	(void)event, (void)arg;
	if (!is_question(mctx, sock, &p))
		return;
	EXPECT_ERRNO(mtcp_setlastpkt(mctx, sock, side, 2, (byte *)"XYZ", 3, MOS_OVERWRITE | MOS_TCP_PAYLOAD | sums), EOPNOTSUPP);
	EXPECT_ERRNO(mtcp_setlastpkt(mctx, sock, side, 2, (byte *)"XYZ", 3, MOS_INSERT | MOS_TCP_PAYLOAD | sums), EOPNOTSUPP);
	EXPECT_ERRNO(mtcp_setlastpkt(mctx, sock, side, 2, NULL, 3, MOS_CHOMP | MOS_TCP_PAYLOAD | sums), EOPNOTSUPP);
	EXPECT_IS(mtcp_setlastpkt(mctx, sock, side, 8, (byte *)"\x07", 1, MOS_OVERWRITE | MOS_IP_HDR | sums), 0);
}

static void
overwritten(void)
{
	static const int hooks[] = { MOS_HK_SND, MOS_HK_RCV };
	int hook;

	for (hook = 0; hook < 2; hook++) {
		forward(hooks[hook], hook ? overwrite_header : overwrite_question);
		EXPECT_IS(out.count, PACKETS);
		EXPECT(memcmp(payload(QUESTION), hook ? "question" : "quXYZion", 8) == 0);
		EXPECT_IS(out.at[QUESTION].bytes[14 + 8], 7);
		expect_right_sums(QUESTION);
	}
}

/* Without flags sums stay as they are, right or wrong. */
static void
overwrite_without_sums(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;

	(void)event, (void)arg;
	if (!is_question(mctx, sock, &p))
		return;
	EXPECT_IS(mtcp_setlastpkt(mctx, sock, side, 0, (byte *)"Q", 1, MOS_OVERWRITE | MOS_TCP_PAYLOAD), 0);
	EXPECT_IS(mtcp_setlastpkt(mctx, sock, side, 8, (byte *)"\x07", 1, MOS_OVERWRITE | MOS_IP_HDR), 0);
	EXPECT_IS(mtcp_setlastpkt(mctx, sock, side, 0, (byte *)"\x02\x11", 2, MOS_OVERWRITE | MOS_ETH_HDR), 0);
}

static void
sums_as_they_were(void)
{
	forward(MOS_HK_SND, overwrite_without_sums);
	EXPECT_IS(payload(QUESTION)[0], 'Q');
	EXPECT(memcmp(out.at[QUESTION].bytes + 14 + 10, in.at[QUESTION].bytes + 14 + 10, 2) == 0);
	EXPECT(memcmp(out.at[QUESTION].bytes + 34 + 16, in.at[QUESTION].bytes + 34 + 16, 2) == 0);
}

/* Changes of length. With and without the total length first, which programs for mOS write. */

static bool writes_length, sums;

static void
write_length(mctx_t mctx, int sock, int side, const struct pkt_info *p, int more)
{
	uint16_t length = htons(p->ip_len + more);

	if (writes_length)
		EXPECT_IS(mtcp_setlastpkt(mctx, sock, side, 2, (byte *)&length, 2, MOS_OVERWRITE | MOS_IP_HDR), 0);
}

static void
insert_into_question(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;

	(void)event, (void)arg;
	if (!is_question(mctx, sock, &p))
		return;
	write_length(mctx, sock, side, &p, 3);
	EXPECT_IS(mtcp_setlastpkt(mctx, sock, side, 4, (byte *)"ABC", 3,
				  MOS_INSERT | MOS_TCP_PAYLOAD | (sums ? MOS_UPDATE_TCP_CHKSUM | MOS_UPDATE_IP_CHKSUM : 0)), 0);
}

static void
chomp_question(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;

	(void)event, (void)arg;
	if (!is_question(mctx, sock, &p))
		return;
	write_length(mctx, sock, side, &p, -3);
	EXPECT_IS(mtcp_setlastpkt(mctx, sock, side, 2, NULL, 3,
				  MOS_CHOMP | MOS_TCP_PAYLOAD | (sums ? MOS_UPDATE_TCP_CHKSUM | MOS_UPDATE_IP_CHKSUM : 0)), 0);
}

/* Both ends go on without noticing: the server is told of more bytes, and the client of those that it has sent. */
static void
expect_in_step(void)
{
	size_t i;

	for (i = 0; i < PACKETS; i++) {
		const uint8_t *tcp = in.at[i].bytes + 34;
		bool is_later = i > QUESTION, from_client = (tcp[2] << 8 | tcp[3]) == 80;

		at("packet %zu, %d more", i, more);
		EXPECT_IS(SEQ(i), get32(tcp + 4) + (is_later && from_client ? more : 0));
		EXPECT_IS(ACK_SEQ(i), get32(tcp + 8) - (is_later && !from_client ? more : 0));
		if (sums)
			expect_right_sums(i);
	}
	at("%s", "");
}

static void
longer(void)
{
	int way;

	more = 3;
	for (way = 0; way < 4; way++) {
		writes_length = way & 1;
		sums = way & 2;
		forward(MOS_HK_SND, insert_into_question);
		EXPECT_IS(out.count, PACKETS);
		EXPECT_IS(out.at[QUESTION].len, in.at[QUESTION].len + 3);
		EXPECT_IS(out.at[QUESTION].bytes[14 + 3], 20 + 20 + 11);
		EXPECT(memcmp(payload(QUESTION), "quesABCtion", 11) == 0);
		expect_in_step();
	}
}

static void
shorter(void)
{
	int way;

	more = -3;
	for (way = 0; way < 4; way++) {
		writes_length = way & 1;
		sums = way & 2;
		forward(MOS_HK_SND, chomp_question);
		EXPECT_IS(out.count, PACKETS);
		EXPECT_IS(out.at[QUESTION].len, in.at[QUESTION].len - 3);
		EXPECT_IS(out.at[QUESTION].bytes[14 + 3], 20 + 20 + 5);
		EXPECT(memcmp(payload(QUESTION), "quion", 5) == 0);
		expect_in_step();
	}
}

/* A length that is written and not followed by anything cuts the packet. */
static void
only_write_length(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;

	(void)event, (void)arg;
	if (is_question(mctx, sock, &p)) {
		writes_length = true;
		write_length(mctx, sock, side, &p, -5);
	}
}

static void
cut(void)
{
	more = -5;
	forward(MOS_HK_SND, only_write_length);
	EXPECT_IS(out.count, PACKETS);
	EXPECT_IS(out.at[QUESTION].len, in.at[QUESTION].len - 5);
	EXPECT(memcmp(payload(QUESTION), "que", 3) == 0);
	expect_in_step();
	expect_right_sums(QUESTION);
}

/* Options of headers. */

static void
insert_options(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;
	int flags = MOS_UPDATE_IP_CHKSUM | MOS_UPDATE_TCP_CHKSUM;

	(void)event, (void)arg;
	if (!is_question(mctx, sock, &p))
		return;
	EXPECT_IS(mtcp_setlastpkt(mctx, sock, side, 20, (byte *)"\x01\x01\x01\x01", 4, MOS_INSERT | MOS_TCP_HDR | flags), 0);
	EXPECT_IS(mtcp_setlastpkt(mctx, sock, side, 20, (byte *)"\x01\x01\x01\x00", 4, MOS_INSERT | MOS_IP_HDR | flags), 0);
}

static void
options(void)
{
	forward(MOS_HK_SND, insert_options);
	EXPECT_IS(out.count, PACKETS);
	EXPECT_IS(out.at[QUESTION].len, in.at[QUESTION].len + 8);
	EXPECT_IS(out.at[QUESTION].bytes[14], 0x46);
	EXPECT_IS(out.at[QUESTION].bytes[14 + 24 + 12] >> 4, 6);
	EXPECT(memcmp(payload(QUESTION), "question", 8) == 0);
	expect_right_sums(QUESTION);
}

/* Raw monitors and orphans: what they change or drop is changed for all that come later. */

static void
change_raw(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;

	(void)event, (void)arg;
	EXPECT_IS(mtcp_getlastpkt(mctx, sock, side, &p), 0);
	if (p.tcph == NULL) {
		EXPECT(p.payload == NULL);
		EXPECT_IS(mtcp_cb_dropcurpkt(mctx), 0);
	} else if (p.payloadlen == 8)
		EXPECT_IS(mtcp_setlastpkt(mctx, sock, side, 0, (byte *)"Q", 1, MOS_OVERWRITE | MOS_TCP_PAYLOAD | MOS_UPDATE_TCP_CHKSUM), 0);
}

static bool was_seen;

static void
see_change(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	char bytes[20];

	(void)event, (void)arg;
	if (side == MOS_SIDE_SVR) {
		EXPECT_IS(mtcp_peek(mctx, sock, side, bytes, sizeof(bytes)), 8);
		EXPECT(memcmp(bytes, "Question", 8) == 0);
		was_seen = true;
	}
}

static void
changed_by_raw_monitors(void)
{
	struct talk t = talk(0);
	mctx_t mctx;

	begin_capture("in.pcap");
	handshake(&t);
	udp(1, 2, "not TCP");
	say(&t, CLI, "question");
	end_capture();
	mctx = start_forwarding();
	on(mctx, raw_monitor(mctx), MOS_ON_PKT_IN, MOS_NULL, change_raw);
	on(mctx, monitor(mctx), MOS_ON_CONN_NEW_DATA, MOS_NULL, see_change);
	finish(mctx);
	EXPECT(was_seen);
	read_capture("in.pcap", &in);
	read_capture("out.pcap", &out);
	EXPECT_IS(out.count, 4);
	EXPECT(memcmp(payload(3), "Question", 8) == 0);
	expect_right_sums(3);
}

static void
drop_orphan(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;

	(void)event, (void)arg;
	EXPECT_IS(mtcp_getlastpkt(mctx, sock, side, &p), 0);
	if (p.tcph == NULL)
		EXPECT_IS(mtcp_setlastpkt(mctx, sock, side, 0, NULL, 0, MOS_DROP), 0);
	else
		EXPECT_IS(mtcp_setlastpkt(mctx, sock, side, 8, (byte *)"\x09", 1, MOS_OVERWRITE | MOS_IP_HDR | MOS_UPDATE_IP_CHKSUM), 0);
}

static void
changed_orphans(void)
{
	struct talk t = talk(0);
	mctx_t mctx;

	begin_capture("in.pcap");
	udp(1, 2, "not TCP");
	segment(&t, CLI, ACK, 5, 6, "of none", 7);
	end_capture();
	mctx = start_forwarding();
	on(mctx, monitor(mctx), MOS_ON_ORPHAN, MOS_NULL, drop_orphan);
	finish(mctx);
	read_capture("out.pcap", &out);
	EXPECT_IS(out.count, 1);
	EXPECT_IS(out.at[0].bytes[14 + 8], 9);
	expect_right_sums(0);
}

/* Packets of one's own. */

static void
send_one(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p, own;
	unsigned char copy[2000];
	uint8_t tcp[28];

	(void)side, (void)event, (void)arg;
	if (!is_question(mctx, sock, &p))
		return;
	mtcp_clonepkt(&own, copy, &p);
	EXPECT(memcmp(copy, p.ethh, p.eth_len) == 0);
	EXPECT((unsigned char *)own.ethh == copy && (unsigned char *)own.iph == copy + 14);
	/* An answer, with flags and options of its own. */
	own.iph->saddr = p.iph->daddr;
	own.iph->daddr = p.iph->saddr;
	memcpy(tcp, own.tcph, 20);
	memcpy(tcp, (uint8_t *)p.tcph + 2, 2);
	memcpy(tcp + 2, p.tcph, 2);
	tcp[12] = 7 << 4;
	tcp[13] = FIN | PSH | ACK | 0x20;
	memcpy(tcp + 20, "\x01\x01\x04\x02\x03\x03\x07\x00", 8);
	own.tcph = (struct tcphdr *)tcp;
	own.payload = (uint8_t *)"my own";
	own.payloadlen = 6;
	EXPECT_IS(mtcp_sendpkt(mctx, sock, &own), 0);
}

static void
sent(void)
{
	const uint8_t *ip;
	size_t i, own = PACKETS;

	forward(MOS_HK_SND, send_one);
	EXPECT_IS(out.count, PACKETS + 1);
	for (i = 0; i < out.count && i <= PACKETS; i++)
		if (out.at[i].len >= 6 && memcmp(out.at[i].bytes + out.at[i].len - 6, "my own", 6) == 0)
			own = i;
	/* With the burst at hand, behind its packets. */
	EXPECT_IS(own, PACKETS);
	ip = out.at[own].bytes + 14;
	EXPECT(memcmp(ip + 12, in.at[QUESTION].bytes + 14 + 16, 4) == 0);
	EXPECT(memcmp(ip + 16, in.at[QUESTION].bytes + 14 + 12, 4) == 0);
	EXPECT_IS(ip[20 + 12] >> 4, 7);
	EXPECT_IS(ip[20 + 13], FIN | PSH | ACK | 0x20);
	EXPECT(memcmp(ip + 40, "\x01\x01\x04\x02\x03\x03\x07\x00", 8) == 0);
	EXPECT(memcmp(ip + 24, in.at[QUESTION].bytes + 34 + 4, 8) == 0);
	expect_right_sums(own);
}

static int refused;

static void
send_too_many(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;
	int i;

	(void)side, (void)event, (void)arg;
	if (!is_question(mctx, sock, &p))
		return;
	for (i = 0; i < 4096; i++)
		EXPECT_IS(mtcp_sendpkt(mctx, sock, &p), 0);
	EXPECT_ERRNO(mtcp_sendpkt(mctx, sock, &p), ENOBUFS);
	EXPECT_ERRNO(mtcp_reset_conn(mctx, sock), ENOBUFS);
	refused++;
}

static void
sent_too_many(void)
{
	forward(MOS_HK_SND, send_too_many);
	EXPECT_IS(refused, 1);
}

static void
reset_at_question(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;

	(void)side, (void)event, (void)arg;
	if (!is_question(mctx, sock, &p))
		return;
	EXPECT_IS(mtcp_cb_dropcurpkt(mctx), 0);
	EXPECT_IS(mtcp_reset_conn(mctx, sock), 0);
}

static void
resets(void)
{
	size_t i, count[2] = { 0, 0 };

	forward(MOS_HK_SND, reset_at_question);
	for (i = 0; i < out.count; i++) {
		const uint8_t *ip = out.at[i].bytes + 14;

		if (ip[20 + 13] & RST) {
			bool to_server = ip[20 + 3] == 80 && ip[20 + 2] == 0;

			expect_right_sums(i);
			count[to_server]++;
			/* Numbers that they accept. */
			EXPECT_IS(SEQ(i), get32(in.at[QUESTION].bytes + 34 + (to_server ? 4 : 8)));
		}
	}
	EXPECT_IS(count[0], 1);
	EXPECT_IS(count[1], 1);
}

/* What is told of a packet. */

static void
look(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;

	(void)event, (void)arg;
	EXPECT_IS(mtcp_getlastpkt(mctx, sock, side, &p), 0);
	EXPECT_IS(p.eth_len, 14 + p.ip_len);
	EXPECT_IS(p.ip_len, 40 + p.payloadlen);
	EXPECT_IS(p.in_ifidx, 0);
	EXPECT_IS(p.window, 0xffff);
	/* The address of an IP header is even, and more. */
	EXPECT_IS((uintptr_t)p.iph % 4, 0);
	EXPECT((uint8_t *)p.iph == (uint8_t *)p.ethh + 14 && (uint8_t *)p.tcph == (uint8_t *)p.iph + 20 && p.payload == (uint8_t *)p.tcph + 20);
	EXPECT_IS(p.cur_ts, mtcp_cb_get_ts(mctx) / 1000);
	if (p.payloadlen > 0)
		EXPECT_IS(p.offset, 0);
}

static void
information(void)
{
	forward(MOS_HK_RCV, look);
}

int
main(int argc, char **argv)
{
	static const struct scenario scenarios[] = {
		{ "as-it-is", as_it_is, QUICK },
		{ "dropped", dropped, QUICK },
		{ "overwritten", overwritten, QUICK },
		{ "sums-as-they-were", sums_as_they_were, QUICK },
		{ "longer", longer, QUICK },
		{ "shorter", shorter, QUICK },
		{ "cut", cut, QUICK },
		{ "options", options, QUICK },
		{ "changed-by-raw-monitors", changed_by_raw_monitors, QUICK },
		{ "changed-orphans", changed_orphans, QUICK },
		{ "sent", sent, QUICK },
		{ "sent-too-many", sent_too_many, "" },
		{ "resets", resets, QUICK },
		{ "information", information, QUICK },
		{ NULL, NULL, NULL },
	};

	return run_scenario(argc, argv, scenarios);
}
