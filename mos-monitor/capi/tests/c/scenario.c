/*
 * Plays a scenario: the packets in in.pcap, with the settings that change on the way, and writes the events down in the words of the
 * scenario files.
 *
 * Between any two packets there is one in ticks.pcap, so that each makes a burst of its own. The file `settings` has a line for
 * each setting: the number of the packet before which it changes, and what changes.
 */
#include "test.h"

struct setting { int before; char what[20], value[60]; };

static struct setting settings[64];
static int setting_count;

/* What holds now. */
static int packet_number, next_setting, drops, look_side = -1;
static long read_at_most = -1;	/* -1: all */
static uint64_t look_offset;
static struct sockaddr_in nat;

static void
read_settings(void)
{
	FILE *file = fopen("settings", "r");
	struct setting *s = settings;

	if (file == NULL)
		exit(2);
	while (setting_count < 64 && fscanf(file, "%d %19s %59s", &s->before, s->what, s->value) == 3) {
		setting_count++;
		s++;
	}
	fclose(file);
}

static void
apply(const struct setting *s)
{
	char *colon = strchr(s->value, ':');

	if (strcmp(s->what, "read") == 0) {
		read_at_most = strcmp(s->value, "all") == 0 ? -1 : strcmp(s->value, "none") == 0 ? 0 : atol(s->value);
	} else if (strcmp(s->what, "drop") == 0) {
		drops = atoi(s->value);
	} else if (strcmp(s->what, "ppeek") == 0) {
		look_side = s->value[0] == 'c' ? MOS_SIDE_CLI : MOS_SIDE_SVR;
		look_offset = strtoull(colon + 1, NULL, 10);
	} else if (strcmp(s->what, "nat") == 0) {
		char address[60];

		snprintf(address, sizeof(address), "%.*s", (int)(colon - s->value), s->value);
		EXPECT_IS(inet_pton(AF_INET, address, &nat.sin_addr), 1);
		nat.sin_port = htons(atoi(colon + 1));
	}
}

static bool
is_tick(mctx_t mctx, int sock)
{
	struct pkt_info p;

	EXPECT_IS(mtcp_getlastpkt(mctx, sock, 0, &p), 0);
	return p.iph->protocol == IPPROTO_UDP;
}

/* Before anything else hears of a packet. */
static void
raw(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side, (void)event, (void)arg;
	if (is_tick(mctx, sock))
		return;
	while (next_setting < setting_count && settings[next_setting].before <= packet_number)
		apply(&settings[next_setting++]);
	packet_number++;
}

/* Bytes as text, if they are few and can be printed. */
static void
show(const char *bytes, size_t len)
{
	size_t i;

	for (i = 0; i < len && bytes[i] >= 32 && bytes[i] < 127; i++)
		;
	if (i == len && len <= 40)
		printf(" \"%.*s\"", (int)len, bytes);
	else
		printf(" %zu bytes", len);
}

static void
begin(mctx_t mctx, int sock, int side, const char *what)
{
	int states[2], i;

	printf("%s %s (", what, side == MOS_SIDE_CLI ? "CLI" : "SVR");
	for (i = 0; i < 2; i++) {
		states[i] = state(mctx, sock, i);
		printf(states[i] < 0 ? "-%s" : "%2$d%1$s", i == 0 ? "," : ")", states[i]);
	}
}

/* The client is somebody else for the server. */
static void
translate(mctx_t mctx, int sock, int side)
{
	struct sockaddr_in client = nat;
	socklen_t len = sizeof(client);
	int sums = MOS_UPDATE_IP_CHKSUM | MOS_UPDATE_TCP_CHKSUM;

	if (side == MOS_SIDE_SVR)
		EXPECT_IS(mtcp_getpeername(mctx, sock, (struct sockaddr *)&client, &len, MOS_SIDE_CLI), 0);
	EXPECT_IS(mtcp_setlastpkt(mctx, sock, side, side == MOS_SIDE_SVR ? 16 : 12, (byte *)&client.sin_addr, 4,
				  MOS_OVERWRITE | MOS_IP_HDR), 0);
	EXPECT_IS(mtcp_setlastpkt(mctx, sock, side, side == MOS_SIDE_SVR ? 2 : 0, (byte *)&client.sin_port, 2,
				  MOS_OVERWRITE | MOS_TCP_HDR | sums), 0);
}

static void
snd_packet(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event, (void)arg;
	begin(mctx, sock, side, "SND PKT_IN");
	printf("\n");
	if (drops > 0) {
		drops--;
		EXPECT_IS(mtcp_cb_dropcurpkt(mctx), 0);
	}
	if (nat.sin_port != 0)
		translate(mctx, sock, side);
}

static void
rcv_packet(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	char bytes[64];

	(void)event, (void)arg;
	begin(mctx, sock, side, "RCV PKT_IN");
	if (look_side >= 0) {
		ssize_t len = mtcp_ppeek(mctx, sock, look_side, bytes, sizeof(bytes), look_offset);

		printf(" ppeek");
		show(bytes, len > 0 ? len : 0);
	}
	printf("\n");
}

static void
new_data(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	static char bytes[1 << 20];
	ssize_t count = 0;

	(void)event, (void)arg;
	begin(mctx, sock, side, "NULL NEW_DATA");
	while (read_at_most != 0 && (count = mtcp_peek(mctx, sock, side, bytes, read_at_most < 0 ? sizeof(bytes) : (size_t)read_at_most)) != 0) {
		if (count < 0)
			printf(" %zd", count);
		else
			show(bytes, count);
		if (read_at_most > 0)
			break;
	}
	printf("\n");
}

static void
orphan(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event, (void)arg;
	EXPECT_IS(side, MOS_SIDE_BOTH);
	if (!is_tick(mctx, sock))
		printf("NULL ORPHAN BOTH\n");
}

#define CALLBACK(name, what) \
	static void name(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg) \
	{ \
		(void)event, (void)arg; \
		begin(mctx, sock, side, what); \
		printf("\n"); \
	}

CALLBACK(snd_start, "SND CONN_START")
CALLBACK(rcv_start, "RCV CONN_START")
CALLBACK(snd_state, "SND STATE")
CALLBACK(rcv_state, "RCV STATE")
CALLBACK(rcv_rexmit, "RCV REXMIT")
CALLBACK(snd_end, "SND CONN_END")
CALLBACK(rcv_end, "RCV CONN_END")
CALLBACK(error, "NULL ERROR")

int
main(void)
{
	static char conf[2000];
	bool last = false, buffers = true;
	size_t len = sprintf(conf, "forward = 0\nmax_concurrency = 64\n");
	mctx_t mctx;
	int sock, i;

	read_settings();
	/* What holds for the whole scenario. */
	for (i = 0; i < setting_count; i++) {
		const struct setting *s = &settings[i];

		if (strcmp(s->what, "overlap") == 0)
			last = true;
		else if (strcmp(s->what, "buffers") == 0)
			buffers = false;
		else if (strcmp(s->what, "conf") == 0)
			len += snprintf(conf + len, sizeof(conf) - len, "%s\n", s->value);
	}
	init(conf, "pcap:in.pcap 0x1\npcap:ticks.pcap 0x1");
	mctx = context(0);
	on(mctx, raw_monitor(mctx), MOS_ON_PKT_IN, MOS_NULL, raw);
	sock = monitor(mctx);
	if (last) {
		EXPECT_IS(set_option(mctx, sock, MOS_CLIOVERLAP, MOS_OVERLAP_POLICY_LAST), 0);
		EXPECT_IS(set_option(mctx, sock, MOS_SVROVERLAP, MOS_OVERLAP_POLICY_LAST), 0);
	}
	if (!buffers) {
		EXPECT_IS(set_option(mctx, sock, MOS_CLIBUF, 0), 0);
		EXPECT_IS(set_option(mctx, sock, MOS_SVRBUF, 0), 0);
	}
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
	finish(mctx);
	return failures > 0;
}
