/*
 * Counts connections: how many are being opened, are open, are being closed, second by second; and
 * in the end how they ended, with their packets and bytes.
 *
 *     flow_counter MOS.CONF [SECONDS]
 */
#define _POSIX_C_SOURCE 200809L
#include <err.h>
#include <stdio.h>
#include <stdlib.h>

#include <mtcp_api.h>
#include <mos_api.h>

enum phase { OPENING, OPEN, CLOSING, PHASES };
enum end { CLOSED, RESET, LEFT_OPEN, NEVER_OPEN, ENDS };

static const char *const end_names[ENDS] = {
	[CLOSED] = "closed by both sides",
	[RESET] = "reset",
	[LEFT_OPEN] = "silent, or open at the end",
	[NEVER_OPEN] = "never open",
};

/* What is remembered of a connection, for as long as it is there. */
struct flow {
	enum phase phase;
	bool is_open[2], is_closed, is_reset;
	unsigned long packets, bytes;
};

/*
 * Of all connections. Only the core's thread touches these until it has gone; then main() does.
 * With several cores each would need its own.
 */
static unsigned long live[PHASES];
static struct { unsigned long flows, packets, bytes; } ends[ENDS];

static double period = 1;

static void move(struct flow *flow, enum phase phase)
{
	live[flow->phase]--;
	live[phase]++;
	flow->phase = phase;
}

/* The connection's first packet comes here before there is a MOS_ON_CONN_START. */
static struct flow *flow_of(mctx_t mctx, int sock)
{
	struct flow *flow = mtcp_get_uctx(mctx, sock);

	if (flow != NULL)
		return flow;
	flow = calloc(1, sizeof(*flow));
	if (flow == NULL) {
		/* A monitor of a network goes on, and hears no more of this one. */
		warn("a connection is not counted");
		mtcp_close(mctx, sock);
		return NULL;
	}
	live[OPENING]++;
	mtcp_set_uctx(mctx, sock, flow);
	return flow;
}

/* At MOS_HK_SND: there every packet is told once. */
static void on_packet(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct flow *flow = flow_of(mctx, sock);
	struct pkt_info packet;

	(void)event, (void)arg;
	if (flow == NULL || mtcp_getlastpkt(mctx, sock, side, &packet) < 0)
		return;
	flow->packets++;
	flow->bytes += packet.eth_len;
}

static void on_state(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	int option = side == MOS_SIDE_CLI ? MOS_TCP_STATE_CLI : MOS_TCP_STATE_SVR, state;
	struct flow *flow = mtcp_get_uctx(mctx, sock);
	socklen_t len = sizeof(state);
	struct pkt_info packet;

	(void)event, (void)arg;
	if (flow == NULL || mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, option, &state, &len) < 0)
		return;
	if (state == TCP_ESTABLISHED) {
		flow->is_open[side] = true;
		if (flow->phase == OPENING && flow->is_open[0] && flow->is_open[1])
			move(flow, OPEN);
	} else if (state > TCP_ESTABLISHED) {
		move(flow, CLOSING);
		if (state == TCP_TIME_WAIT)
			flow->is_closed = true;
	} else if (state == TCP_CLOSED && mtcp_getlastpkt(mctx, sock, side, &packet) == 0) {
		/* By a packet. When a connection is given up, there is none. */
		if (packet.tcph->rst)
			flow->is_reset = true;
		else
			flow->is_closed = true;
	}
}

/* Told for one side, then for the other: what the first call frees, the second does not find. */
static void on_end(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct flow *flow = mtcp_get_uctx(mctx, sock);
	enum end end;

	(void)side, (void)event, (void)arg;
	if (flow == NULL)
		return;
	if (flow->is_closed)
		end = CLOSED;
	else if (flow->is_reset)
		end = RESET;
	else
		end = flow->phase == OPENING ? NEVER_OPEN : LEFT_OPEN;
	ends[end].flows++;
	ends[end].packets += flow->packets;
	ends[end].bytes += flow->bytes;
	live[flow->phase]--;
	mtcp_set_uctx(mctx, sock, NULL);
	free(flow);
}

static void on_timer(mctx_t mctx, int round, int side, event_t event, filter_arg_t *arg);

/* The timer's number is not looked at: it comes back as that of the socket. */
static int set_timer(mctx_t mctx, int round)
{
	struct timeval after;

	after.tv_sec = (time_t)period;
	after.tv_usec = (suseconds_t)(1e6 * (period - (double)after.tv_sec));
	return mtcp_settimer(mctx, round, &after, on_timer);
}

/* On capture files, seconds are those of the capture. */
static void on_timer(mctx_t mctx, int round, int side, event_t event, filter_arg_t *arg)
{
	(void)side, (void)event, (void)arg;
	printf("%10.1f %10lu %10lu %10lu\n", round * period, live[OPENING], live[OPEN],
	       live[CLOSING]);
	fflush(stdout);
	/* A timer fires once. */
	if (set_timer(mctx, round + 1) < 0)
		warn("mtcp_settimer");
}

static void print_ends(void)
{
	int end;

	printf("\n%-26s %10s %10s %12s\n", "connections", "number", "packets", "bytes");
	for (end = 0; end < ENDS; end++)
		printf("%-26s %10lu %10lu %12lu\n", end_names[end], ends[end].flows,
		       ends[end].packets, ends[end].bytes);
}

int main(int argc, char **argv)
{
	int monitor, on = 1, off = 0;
	mctx_t mctx;

	if (argc > 2)
		period = atof(argv[2]);
	if (argc < 2 || argc > 3 || !(period >= 0.001 && period <= 1e6))
		errx(EXIT_FAILURE, "usage: flow_counter MOS.CONF [SECONDS]");

	if (mtcp_init(argv[1]) < 0)
		err(EXIT_FAILURE, "%s", argv[1]);
	printf("%10s %10s %10s %10s\n", "second", "opening", "open", "closing");
	mctx = mtcp_create_context(0);
	if (mctx == NULL)
		err(EXIT_FAILURE, "mtcp_create_context");
	monitor = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
	/* Both versions of IP; and no byte is to be kept, as none is read. */
	if (monitor < 0 ||
	    mtcp_setsockopt(mctx, monitor, SOL_MONSOCKET, MOS_IPV6, &on, sizeof(on)) < 0 ||
	    mtcp_setsockopt(mctx, monitor, SOL_MONSOCKET, MOS_CLIBUF, &off, sizeof(off)) < 0 ||
	    mtcp_setsockopt(mctx, monitor, SOL_MONSOCKET, MOS_SVRBUF, &off, sizeof(off)) < 0)
		err(EXIT_FAILURE, "setting up the monitor");
	if (mtcp_register_callback(mctx, monitor, MOS_ON_PKT_IN, MOS_HK_SND, on_packet) < 0 ||
	    mtcp_register_callback(mctx, monitor, MOS_ON_TCP_STATE_CHANGE, MOS_HK_SND, on_state) < 0 ||
	    mtcp_register_callback(mctx, monitor, MOS_ON_TCP_STATE_CHANGE, MOS_HK_RCV, on_state) < 0 ||
	    mtcp_register_callback(mctx, monitor, MOS_ON_CONN_END, MOS_HK_SND, on_end) < 0)
		err(EXIT_FAILURE, "mtcp_register_callback");
	if (set_timer(mctx, 1) < 0)
		err(EXIT_FAILURE, "mtcp_settimer");

	/* Until the capture is over or somebody interrupts it. */
	mtcp_app_join(mctx);
	mtcp_destroy_context(mctx);
	mtcp_destroy();
	print_ends();
	return EXIT_SUCCESS;
}
