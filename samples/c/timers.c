/*
 * Says when a connection has been silent for some time, and when it speaks again.
 *
 *     timers MOS.CONF SECONDS
 *
 * Each connection has a timer. It is not set anew with every packet: the library knows when the last
 * one came, so the timer asks for that when it fires, and sets itself for what is left.
 */
#define _POSIX_C_SOURCE 200809L
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <mtcp_api.h>
#include <mos_api.h>

#include "flow_name.h"

/* What is kept for a connection, by mtcp_set_uctx(). */
struct flow {
	char name[FLOW_NAME_LEN];
	bool is_warned;
};

static uint32_t limit;		/* in microseconds, as all times here */
static unsigned long connections, silent, late;

static void on_timer(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg);

/* The number of a timer is the program's own; it comes back as sock. */
static void set_timer(mctx_t mctx, int sock, uint32_t micros)
{
	struct timeval after;

	after.tv_sec = micros / 1000000;
	after.tv_usec = micros % 1000000;
	if (mtcp_settimer(mctx, sock, &after, on_timer) < 0)
		warn("mtcp_settimer");
}

static void on_timer(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	uint32_t last, now = mtcp_cb_get_ts(mctx), silence;
	socklen_t len = sizeof(last);
	struct flow *flow;

	(void)side, (void)event, (void)arg;
	/*
	 * A timer outlives its connection, and cannot be taken back. So the connection is asked for
	 * first: EBADF says that it has gone, and then so has its uctx, freed in on_end(). Never hand
	 * a pointer to a timer in some other way. (The number itself is not given to another
	 * connection for a long time.)
	 */
	if (mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, MOS_TIMESTAMP, &last, &len) < 0) {
		if (errno != EBADF && errno != ENOTCONN)
			warn("mtcp_getsockopt");
		late++;
		return;
	}
	flow = mtcp_get_uctx(mctx, sock);
	if (flow == NULL)
		return;
	/* Both clocks wrap after 71 minutes; their difference does not mind. */
	silence = now - last;
	if (silence < limit) {
		if (flow->is_warned)
			printf("%s: speaks again\n", flow->name);
		flow->is_warned = false;
		set_timer(mctx, sock, limit - silence);
		return;
	}
	if (!flow->is_warned) {
		printf("%s: silent for %.3f s\n", flow->name, silence / 1e6);
		silent++;
	}
	flow->is_warned = true;
	set_timer(mctx, sock, limit);
}

static void on_start(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct flow *flow = calloc(1, sizeof(*flow));

	(void)side, (void)event, (void)arg;
	if (flow == NULL || flow_name(mctx, sock, flow->name) < 0) {
		warn("a connection is not looked at");
		free(flow);
		mtcp_close(mctx, sock);
		return;
	}
	connections++;
	mtcp_set_uctx(mctx, sock, flow);
	set_timer(mctx, sock, limit);
}

/* Told for one side, then for the other: free(NULL) does nothing. */
static void on_end(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side, (void)event, (void)arg;
	free(mtcp_get_uctx(mctx, sock));
	mtcp_set_uctx(mctx, sock, NULL);
}

int main(int argc, char **argv)
{
	int monitor, on = 1, off = 0;
	double seconds;
	mctx_t mctx;

	seconds = argc == 3 ? atof(argv[2]) : 0;
	if (!(seconds >= 0.001 && seconds <= 3600))
		errx(EXIT_FAILURE, "usage: timers MOS.CONF SECONDS (0.001 to 3600)");
	limit = (uint32_t)(seconds * 1e6);

	if (mtcp_init(argv[1]) < 0)
		err(EXIT_FAILURE, "%s", argv[1]);
	mctx = mtcp_create_context(0);
	if (mctx == NULL)
		err(EXIT_FAILURE, "mtcp_create_context");
	monitor = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
	if (monitor < 0 ||
	    mtcp_setsockopt(mctx, monitor, SOL_MONSOCKET, MOS_IPV6, &on, sizeof(on)) < 0 ||
	    mtcp_setsockopt(mctx, monitor, SOL_MONSOCKET, MOS_CLIBUF, &off, sizeof(off)) < 0 ||
	    mtcp_setsockopt(mctx, monitor, SOL_MONSOCKET, MOS_SVRBUF, &off, sizeof(off)) < 0)
		err(EXIT_FAILURE, "setting up the monitor");
	if (mtcp_register_callback(mctx, monitor, MOS_ON_CONN_START, MOS_HK_SND, on_start) < 0 ||
	    mtcp_register_callback(mctx, monitor, MOS_ON_CONN_END, MOS_HK_SND, on_end) < 0)
		err(EXIT_FAILURE, "mtcp_register_callback");

	mtcp_app_join(mctx);
	mtcp_destroy_context(mctx);
	mtcp_destroy();
	printf("%lu connections, %lu silent; %lu timers came after the end\n", connections, silent, late);
	return EXIT_SUCCESS;
}
