/*
 * Reads everything and writes a record of each connection: its ends, and how much each of them got, with its hash.
 *
 * `exact CAPTURE BYTES RANDOM`: BYTES are read at a time, with mtcp_peek; if RANDOM is 1, each piece is read with mtcp_ppeek first.
 */
#include "test.h"
#include "sha256.h"

enum { MOST = 1 << 20 };

struct flow {
	int ends;
	struct { uint64_t bytes; struct sha256 hash; } streams[2];
};

static size_t at_a_time;
static bool at_random;

static void
begin(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct flow *flow = calloc(1, sizeof(*flow));

	(void)side, (void)event, (void)arg;
	sha256_begin(&flow->streams[0].hash);
	sha256_begin(&flow->streams[1].hash);
	EXPECT(mtcp_get_uctx(mctx, sock) == NULL);
	mtcp_set_uctx(mctx, sock, flow);
}

static void
read_all(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	static char piece[MOST + 1], same[MOST + 1];
	struct flow *flow = mtcp_get_uctx(mctx, sock);
	ssize_t count;

	(void)event, (void)arg;
	for (;;) {
		uint64_t position = flow->streams[side].bytes;
		ssize_t found = 0;

		if (at_random)
			found = mtcp_ppeek(mctx, sock, side, same, at_a_time, position);
		piece[at_a_time] = 0x55;
		count = mtcp_peek(mctx, sock, side, piece, at_a_time);
		/* Nothing behind the buffer is touched. */
		EXPECT(piece[at_a_time] == 0x55);
		if (count == 0) {
			if (at_random)
				EXPECT_IS(found, -1);
			break;
		}
		if (count < 0) {
			EXPECT_IS(errno, ENODATA);
			flow->streams[side].bytes -= count;
			continue;
		}
		if (at_random) {
			EXPECT_IS(found, count);
			EXPECT(memcmp(piece, same, count) == 0);
		}
		sha256_add(&flow->streams[side].hash, piece, count);
		flow->streams[side].bytes += count;
	}
}

/* An end as JSON. Its addresses are those of the program's side of a union: they begin alike. */
static void
print_end(const char *name, const void *address)
{
	const struct sockaddr_in *v4 = address;
	const struct sockaddr_in6 *v6 = address;
	bool is_v6 = v4->sin_family == AF_INET6;
	char text[INET6_ADDRSTRLEN];

	inet_ntop(v4->sin_family, is_v6 ? (const void *)&v6->sin6_addr : &v4->sin_addr, text, sizeof(text));
	printf("\"%s_ip\": \"%s\", \"%s_port\": %d, ", name, text, name, ntohs(v4->sin_port));
}

static void
print_record(mctx_t mctx, int sock, const struct flow *flow)
{
	union { struct sockaddr_in v4[2]; struct sockaddr_in6 v6[2]; } ends;
	socklen_t len = sizeof(ends.v4);
	size_t one = sizeof(ends.v4[0]);
	char hashes[2][65];

	if (mtcp_getpeername(mctx, sock, (struct sockaddr *)&ends, &len, MOS_SIDE_BOTH) < 0) {
		len = sizeof(ends.v6);
		one = sizeof(ends.v6[0]);
		EXPECT_IS(mtcp_getpeername(mctx, sock, (struct sockaddr *)&ends, &len, MOS_SIDE_BOTH), 0);
	}
	sha256_end(&flow->streams[MOS_SIDE_CLI].hash, hashes[MOS_SIDE_CLI]);
	sha256_end(&flow->streams[MOS_SIDE_SVR].hash, hashes[MOS_SIDE_SVR]);
	printf("{");
	print_end("src", &ends);
	print_end("dest", (char *)&ends + one);
	printf("\"stream\": {\"bytes_toserver\": %llu, \"sha256_toserver\": \"%s\", \"bytes_toclient\": %llu, "
	       "\"sha256_toclient\": \"%s\"}}\n",
	       (unsigned long long)flow->streams[MOS_SIDE_SVR].bytes, hashes[MOS_SIDE_SVR],
	       (unsigned long long)flow->streams[MOS_SIDE_CLI].bytes, hashes[MOS_SIDE_CLI]);
}

static void
end(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct flow *flow = mtcp_get_uctx(mctx, sock);

	(void)side, (void)event, (void)arg;
	/* At one hook: twice. */
	if (++flow->ends < 2)
		return;
	print_record(mctx, sock, flow);
	free(flow);
}

int
main(int argc, char **argv)
{
	char device[4200];
	mctx_t mctx;
	int sock;

	if (argc != 4)
		return 2;
	at_a_time = strtoul(argv[2], NULL, 10);
	at_random = strcmp(argv[3], "1") == 0;
	if (at_a_time > MOST)
		return 2;
	snprintf(device, sizeof(device), "pcap:%s 0x1", argv[1]);
	init("forward = 0\nrmem_size = 67108864\ntimeout_established = 3600", device);
	mctx = context(0);
	sock = monitor(mctx);
	EXPECT_IS(set_option(mctx, sock, MOS_IPV6, 1), 0);
	on(mctx, sock, MOS_ON_CONN_START, MOS_HK_SND, begin);
	on(mctx, sock, MOS_ON_CONN_NEW_DATA, MOS_NULL, read_all);
	on(mctx, sock, MOS_ON_CONN_END, MOS_HK_RCV, end);
	finish(mctx);
	return failures > 0;
}
