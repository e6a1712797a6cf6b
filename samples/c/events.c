/*
 * Prints the first request of every HTTP connection if its method is one of those that are named,
 * and the first answer. What is HTTP, which method it has, and whether the answer is good are
 * events of the program's own:
 *
 *     MOS_ON_CONN_NEW_DATA
 *     +- request      the client has sent a whole request line
 *     |  +- method    that begins with this method: one event for each, with the word as argument
 *     +- response     the server has sent a whole status line
 *        +- good      raised by the filter of response
 *        +- bad       likewise
 *
 *     events MOS.CONF METHOD...
 */
#define _POSIX_C_SOURCE 200809L
#include <ctype.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mtcp_api.h>
#include <mos_api.h>

#include "flow_name.h"

#define MAX_METHODS	16

/* The events at the ends of the tree: two for answers, the others for methods. */
static struct leaf {
	const char *name;
	event_t event;
	unsigned long count;
} leaves[2 + MAX_METHODS];
enum { GOOD, BAD };
static int leaf_count;

/* The first line of each direction, by who receives it; without a length it is not there yet. */
struct exchange {
	char line[2][512];
};

/* Reads the first line, once: true when it is whole and says that this is HTTP. */
static bool read_line(mctx_t mctx, int sock, int side, struct exchange *exchange)
{
	int buffer = side == MOS_SIDE_CLI ? MOS_CLIBUF : MOS_SVRBUF, off = 0;
	char line[sizeof(exchange->line[0])], *end;
	ssize_t count;

	if (exchange->line[side][0] != '\0')
		return false;
	/* This does not take the bytes: what has come so far is looked at again when there is more. */
	count = mtcp_ppeek(mctx, sock, side, line, sizeof(line) - 1, 0);
	if (count < 0)
		return false;
	line[count] = '\0';
	end = strpbrk(line, "\r\n");
	if (end == NULL && (size_t)count < sizeof(line) - 1)
		return false;
	if (end != NULL)
		*end = '\0';
	if (end == NULL || strstr(line, "HTTP/1.") == NULL) {
		/* No more of this connection, not even its end. */
		mtcp_set_uctx(mctx, sock, NULL);
		free(exchange);
		mtcp_close(mctx, sock);
		return false;
	}
	for (end = line; *end != '\0'; end++)
		if (!isprint((unsigned char)*end))
			*end = '?';
	memcpy(exchange->line[side], line, sizeof(line));
	/* What comes next is not read: none of it is to be kept. */
	mtcp_setsockopt(mctx, sock, SOL_MONSOCKET, buffer, &off, sizeof(off));
	return true;
}

/* ---- Filters: they say whether the event happens. ---- */

static bool is_request(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct exchange *exchange = mtcp_get_uctx(mctx, sock);

	(void)event, (void)arg;
	return side == MOS_SIDE_SVR && exchange != NULL && read_line(mctx, sock, side, exchange);
}

/* Asked only when there is a request. The argument is what the event was defined with. */
static bool has_method(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	const struct exchange *exchange = mtcp_get_uctx(mctx, sock);

	(void)event;
	return strncmp(exchange->line[side], arg->arg, arg->len) == 0 &&
	       exchange->line[side][arg->len] == ' ';
}

/* One filter that tells two events apart; false would skip what is below. */
static bool is_response(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct exchange *exchange = mtcp_get_uctx(mctx, sock);
	const char *status;
	bool is_good;

	(void)event, (void)arg;
	if (side != MOS_SIDE_CLI || exchange == NULL || !read_line(mctx, sock, side, exchange))
		return false;
	status = strchr(exchange->line[side], ' ');
	is_good = status != NULL && (status[1] == '2' || status[1] == '3');
	mtcp_raise_event(mctx, leaves[is_good ? GOOD : BAD].event);
	return true;
}

/* ---- Callbacks ---- */

static void on_start(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct exchange *exchange = calloc(1, sizeof(*exchange));

	(void)side, (void)event, (void)arg;
	if (exchange == NULL)
		warn("a connection is not looked at");
	mtcp_set_uctx(mctx, sock, exchange);
}

/* For all leaves: the event says which of them it is. */
static void on_leaf(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	const struct exchange *exchange = mtcp_get_uctx(mctx, sock);
	struct leaf *leaf = leaves;
	char name[FLOW_NAME_LEN];

	(void)arg;
	while (leaf->event != event)
		leaf++;
	leaf->count++;
	if (flow_name(mctx, sock, name) == 0)
		printf("%s: %s: %s\n", name, leaf->name, exchange->line[side]);
}

static void on_end(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side, (void)event, (void)arg;
	free(mtcp_get_uctx(mctx, sock));
	mtcp_set_uctx(mctx, sock, NULL);
}

static void add_leaf(const char *name, event_t event)
{
	if (event == MOS_NULL_EVENT)
		err(EXIT_FAILURE, "the event %s", name);
	leaves[leaf_count].name = name;
	leaves[leaf_count++].event = event;
}

/* Events belong to the process: they are there before there is any context. */
static void define_events(int count, char **names)
{
	event_t request = mtcp_define_event(MOS_ON_CONN_NEW_DATA, is_request, NULL);
	event_t response = mtcp_define_event(MOS_ON_CONN_NEW_DATA, is_response, NULL);
	int number;

	add_leaf("good", mtcp_alloc_event(response));
	add_leaf("bad", mtcp_alloc_event(response));
	for (number = 0; number < count; number++) {
		filter_arg_t arg = { names[number], strlen(names[number]) };

		add_leaf(names[number], mtcp_define_event(request, has_method, &arg));
	}
}

int main(int argc, char **argv)
{
	int monitor, number, on = 1;
	mctx_t mctx;

	if (argc < 3 || argc > 2 + MAX_METHODS)
		errx(EXIT_FAILURE, "usage: events MOS.CONF METHOD... (%d at most)", MAX_METHODS);
	if (mtcp_init(argv[1]) < 0)
		err(EXIT_FAILURE, "%s", argv[1]);
	define_events(argc - 2, argv + 2);
	mctx = mtcp_create_context(0);
	if (mctx == NULL)
		err(EXIT_FAILURE, "mtcp_create_context");
	monitor = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
	if (monitor < 0 ||
	    mtcp_setsockopt(mctx, monitor, SOL_MONSOCKET, MOS_IPV6, &on, sizeof(on)) < 0 ||
	    mtcp_register_callback(mctx, monitor, MOS_ON_CONN_START, MOS_HK_SND, on_start) < 0 ||
	    mtcp_register_callback(mctx, monitor, MOS_ON_CONN_END, MOS_HK_SND, on_end) < 0)
		err(EXIT_FAILURE, "setting up the monitor");
	/* Only the leaves have callbacks. The filters above them are asked on the way. */
	for (number = 0; number < leaf_count; number++)
		if (mtcp_register_callback(mctx, monitor, leaves[number].event, MOS_NULL, on_leaf) < 0)
			err(EXIT_FAILURE, "%s", leaves[number].name);

	mtcp_app_join(mctx);
	mtcp_destroy_context(mctx);
	mtcp_destroy();
	for (number = 0; number < leaf_count; number++)
		printf("%-8s %lu\n", leaves[number].name, leaves[number].count);
	return EXIT_SUCCESS;
}
