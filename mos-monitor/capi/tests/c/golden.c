/*
 * Writes down every event of a capture, in the words of the golden logs: `golden CAPTURE MIDSTREAM`.
 *
 * What C is not told is left out: why an error was raised, and why a connection has ended.
 */
#include <linux/ipv6.h>

#include "test.h"
#include "sha256.h"

/* What is kept for a connection. */
struct flow {
	int number;
	int ends;	/* CONN_END comes four times */
	struct { uint64_t seen, missing; struct sha256 hash; } streams[2];
};

static int flow_count, raw_count;

/* An address and a port as Rust writes them. */
static const char *
endpoint(int family, const void *address, int port)
{
	static char texts[2][80];
	static int next;
	char *text = texts[next ^= 1], ip[INET6_ADDRSTRLEN];

	inet_ntop(family, address, ip, sizeof(ip));
	sprintf(text, family == AF_INET6 ? "[%s]:%d" : "%s:%d", ip, port);
	return text;
}

static void
print_endpoints(mctx_t mctx, int sock, int number)
{
	struct sockaddr_in v4[2];
	struct sockaddr_in6 v6[2];
	socklen_t len = sizeof(v4);

	if (mtcp_getpeername(mctx, sock, (struct sockaddr *)v4, &len, MOS_SIDE_BOTH) == 0) {
		printf("#%d %s > %s\n", number, endpoint(AF_INET, &v4[0].sin_addr, ntohs(v4[0].sin_port)),
		       endpoint(AF_INET, &v4[1].sin_addr, ntohs(v4[1].sin_port)));
		return;
	}
	EXPECT_IS(errno, EINVAL);
	len = sizeof(v6);
	EXPECT_IS(mtcp_getpeername(mctx, sock, (struct sockaddr *)v6, &len, MOS_SIDE_BOTH), 0);
	printf("#%d %s > %s\n", number, endpoint(AF_INET6, &v6[0].sin6_addr, ntohs(v6[0].sin6_port)),
	       endpoint(AF_INET6, &v6[1].sin6_addr, ntohs(v6[1].sin6_port)));
}

static struct flow *
flow_of(mctx_t mctx, int sock)
{
	struct flow *flow = mtcp_get_uctx(mctx, sock);

	if (flow == NULL) {
		flow = calloc(1, sizeof(*flow));
		flow->number = flow_count++;
		sha256_begin(&flow->streams[0].hash);
		sha256_begin(&flow->streams[1].hash);
		mtcp_set_uctx(mctx, sock, flow);
		print_endpoints(mctx, sock, flow->number);
	}
	return flow;
}

static const char *
state_text(mctx_t mctx, int sock, int side)
{
	static char texts[2][12];
	int now = state(mctx, sock, side);

	if (now < 0)
		return "-";
	sprintf(texts[side], "%d", now);
	return texts[side];
}

/* What is the same in all lines of a connection. */
static struct flow *
begin_line(mctx_t mctx, int sock, int side, const char *what)
{
	struct flow *flow = flow_of(mctx, sock);

	printf("#%d %s %s (%s,%s)", flow->number, what, side == MOS_SIDE_CLI ? "CLI" : "SVR",
	       state_text(mctx, sock, MOS_SIDE_CLI), state_text(mctx, sock, MOS_SIDE_SVR));
	return flow;
}

static const char *
flags_of(const struct tcphdr *tcp)
{
	static const char letters[] = "SFRPUA";
	static const uint8_t bits[] = { 0x02, 0x01, 0x04, 0x08, 0x20, 0x10 };
	static char text[8];
	char *end = text;
	int i;

	for (i = 0; tcp != NULL && i < 6; i++)
		if (((const uint8_t *)tcp)[13] & bits[i])
			*end++ = letters[i];
	if (end == text)
		*end++ = '.';
	*end = 0;
	return text;
}

/* Bytes behind the headers, whether or not they were captured. */
static int
payload_len(const struct pkt_info *p)
{
	int headers = p->iph->version == 6 ? 40 : p->iph->ihl * 4;

	return p->ip_len - headers - (p->tcph != NULL ? p->tcph->doff * 4 : 0);
}

static void
end_line(mctx_t mctx, int sock, int side)
{
	struct pkt_info p;

	errno = 0;
	if (mtcp_getlastpkt(mctx, sock, side, &p) < 0) {
		EXPECT_IS(errno, ENODATA);
		printf(" no packet\n");
		return;
	}
	printf(" %s seq %u ack %u len %d", flags_of(p.tcph), p.seq, p.ack_seq, payload_len(&p));
	if (p.payloadlen != payload_len(&p))
		printf("/%d", p.payloadlen);
	printf(" at %llu\n", (unsigned long long)p.offset);
	/* The numbers say what the headers say. */
	EXPECT_IS(p.seq, ntohl(p.tcph->seq));
	EXPECT_IS(p.ack_seq, ntohl(p.tcph->ack_seq));
	EXPECT_IS(p.window, ntohs(p.tcph->window));
}

#define CALLBACK(name, what) \
	static void name(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg) \
	{ \
		(void)event, (void)arg; \
		begin_line(mctx, sock, side, what); \
		end_line(mctx, sock, side); \
	}

CALLBACK(snd_packet, "SND PKT_IN")
CALLBACK(rcv_packet, "RCV PKT_IN")
CALLBACK(snd_start, "SND CONN_START")
CALLBACK(rcv_start, "RCV CONN_START")
CALLBACK(snd_state, "SND STATE")
CALLBACK(rcv_state, "RCV STATE")
CALLBACK(rcv_rexmit, "RCV REXMIT")
CALLBACK(error, "NULL ERROR")

static void
new_data(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	static const char zeros[1 << 16];
	static char bytes[1 << 16];
	struct flow *flow = begin_line(mctx, sock, side, "NULL NEW_DATA");
	struct sha256 *hash = &flow->streams[side].hash;
	uint64_t start = flow->streams[side].seen + flow->streams[side].missing, seen = 0, missing = 0;
	ssize_t count;

	(void)event, (void)arg;
	while ((count = mtcp_peek(mctx, sock, side, bytes, sizeof(bytes))) != 0) {
		if (count > 0) {
			sha256_add(hash, bytes, count);
			seen += count;
			continue;
		}
		EXPECT_IS(errno, ENODATA);
		for (missing -= count; count < 0; count += sizeof(zeros))
			sha256_add(hash, zeros, -count < (ssize_t)sizeof(zeros) ? (size_t)-count : sizeof(zeros));
	}
	flow->streams[side].seen += seen;
	flow->streams[side].missing += missing;
	printf(" at %llu: +%llu", (unsigned long long)start, (unsigned long long)seen);
	if (missing > 0)
		printf(" -%llu", (unsigned long long)missing);
	end_line(mctx, sock, side);
}

static void
end(mctx_t mctx, int sock, int side, const char *what)
{
	struct flow *flow = begin_line(mctx, sock, side, what);
	char hashes[2][65];

	end_line(mctx, sock, side);
	if (++flow->ends < 4)
		return;
	sha256_end(&flow->streams[0].hash, hashes[0]);
	sha256_end(&flow->streams[1].hash, hashes[1]);
	printf("#%d client got +%llu -%llu %.16s, server got +%llu -%llu %.16s\n", flow->number,
	       (unsigned long long)flow->streams[0].seen, (unsigned long long)flow->streams[0].missing, hashes[0],
	       (unsigned long long)flow->streams[1].seen, (unsigned long long)flow->streams[1].missing, hashes[1]);
	free(flow);
}

static void
snd_end(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event, (void)arg;
	end(mctx, sock, side, "SND CONN_END");
}

static void
rcv_end(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event, (void)arg;
	end(mctx, sock, side, "RCV CONN_END");
}

static void
orphan(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;
	int family, ports[2] = { 0, 0 };
	const void *addresses[2];

	(void)event, (void)arg;
	EXPECT_IS(side, MOS_SIDE_BOTH);
	EXPECT_IS(mtcp_getlastpkt(mctx, sock, side, &p), 0);
	if (p.iph->version == 6) {
		const struct ipv6hdr *ip6 = (const struct ipv6hdr *)p.iph;

		family = AF_INET6;
		addresses[0] = &ip6->saddr;
		addresses[1] = &ip6->daddr;
	} else {
		family = AF_INET;
		addresses[0] = &p.iph->saddr;
		addresses[1] = &p.iph->daddr;
	}
	if (p.tcph != NULL) {
		ports[0] = ntohs(p.tcph->source);
		ports[1] = ntohs(p.tcph->dest);
	}
	printf("ORPHAN %s > %s %s len %d\n", endpoint(family, addresses[0], ports[0]), endpoint(family, addresses[1], ports[1]),
	       flags_of(p.tcph), payload_len(&p));
}

static void
raw(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;

	(void)event, (void)arg;
	EXPECT_IS(side, MOS_SIDE_BOTH);
	EXPECT_IS(mtcp_getlastpkt(mctx, sock, side, &p), 0);
	raw_count++;
}

int
main(int argc, char **argv)
{
	char device[4200], setting[100];
	mctx_t mctx;
	int sock, raw_sock;

	if (argc != 3)
		return 2;
	snprintf(device, sizeof(device), "pcap:%s 0x1", argv[1]);
	snprintf(setting, sizeof(setting), "forward = 0\nmidstream = %s", argv[2]);
	init(setting, device);
	mctx = context(0);
	sock = monitor(mctx);
	EXPECT_IS(set_option(mctx, sock, MOS_IPV6, 1), 0);
	on(mctx, sock, MOS_ON_PKT_IN, MOS_HK_SND, snd_packet);
	on(mctx, sock, MOS_ON_PKT_IN, MOS_HK_RCV, rcv_packet);
	on(mctx, sock, MOS_ON_CONN_START, MOS_HK_SND, snd_start);
	on(mctx, sock, MOS_ON_CONN_START, MOS_HK_RCV, rcv_start);
	on(mctx, sock, MOS_ON_TCP_STATE_CHANGE, MOS_HK_SND, snd_state);
	on(mctx, sock, MOS_ON_TCP_STATE_CHANGE, MOS_HK_RCV, rcv_state);
	on(mctx, sock, MOS_ON_REXMIT, MOS_HK_RCV, rcv_rexmit);
	on(mctx, sock, MOS_ON_CONN_END, MOS_HK_SND, snd_end);
	on(mctx, sock, MOS_ON_CONN_END, MOS_HK_RCV, rcv_end);
	on(mctx, sock, MOS_ON_CONN_NEW_DATA, MOS_NULL, new_data);
	on(mctx, sock, MOS_ON_ERROR, MOS_NULL, error);
	on(mctx, sock, MOS_ON_ORPHAN, MOS_NULL, orphan);
	raw_sock = raw_monitor(mctx);
	EXPECT_IS(set_option(mctx, raw_sock, MOS_IPV6, 1), 0);
	on(mctx, raw_sock, MOS_ON_PKT_IN, MOS_NULL, raw);
	finish(mctx);
	printf("raw %d\n", raw_count);
	return failures > 0;
}
