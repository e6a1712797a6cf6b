/*
 * Writes what each side of each connection received to a file of its own, in a directory that is
 * there: CLIENT-SERVER.to-server and CLIENT-SERVER.to-client. Bytes that were never captured are
 * zeros in the file, and the output says where.
 *
 *     reassemble MOS.CONF DIRECTORY
 */
#define _POSIX_C_SOURCE 200809L
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <mtcp_api.h>
#include <mos_api.h>

#include "flow_name.h"

struct flow {
	char name[FLOW_NAME_LEN];
	unsigned number;		/* how many had this name before, and 1 */
	uint64_t received[2];		/* by a side; that is also how long its file is */
	uint64_t missing[2];
};

static const char *directory;
static unsigned long errors;

/*
 * Files are opened when there is something to write. A descriptor for every side of every
 * connection would soon be more than a process may have.
 */
static int open_file(const struct flow *flow, int side, int flags)
{
	const char *suffix = side == MOS_SIDE_SVR ? "to-server" : "to-client";
	char path[4096], again[16] = "";
	int len;

	if (flow->number > 1)
		snprintf(again, sizeof(again), ".%u", flow->number);
	len = snprintf(path, sizeof(path), "%s/%s%s.%s", directory, flow->name, again, suffix);
	if (len < 0 || (size_t)len >= sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return open(path, O_WRONLY | flags, 0666);
}

/* Both files, empty. Ports are used again: the second connection with a name has ".2" in its own. */
static int create_files(struct flow *flow)
{
	int side, fd;

	flow->number = 1;
	for (side = MOS_SIDE_CLI; side <= MOS_SIDE_SVR; side++) {
		fd = open_file(flow, side, O_CREAT | O_EXCL);
		while (fd < 0 && errno == EEXIST && side == MOS_SIDE_CLI) {
			flow->number++;
			fd = open_file(flow, side, O_CREAT | O_EXCL);
		}
		if (fd < 0)
			return -1;
		close(fd);
	}
	return 0;
}

static int write_all(int fd, const char *bytes, size_t count, uint64_t at)
{
	while (count > 0) {
		ssize_t written = pwrite(fd, bytes, count, (off_t)at);

		if (written < 0)
			return -1;
		bytes += written;
		count -= (size_t)written;
		at += (uint64_t)written;
	}
	return 0;
}

/* Takes everything that is there; -1 if it cannot be written. */
static int drain(mctx_t mctx, int sock, int side, struct flow *flow)
{
	char bytes[16384];
	ssize_t count;
	int fd = -1;

	/*
	 * 0: there is nothing new for now. Less: so many bytes are missing; the next call goes on
	 * behind them. Only errno distinguishes a hole of one byte from an error.
	 */
	while ((count = mtcp_peek(mctx, sock, side, bytes, sizeof(bytes))) != 0) {
		if (count < 0 && errno != ENODATA)
			break;
		if (fd < 0 && (fd = open_file(flow, side, 0)) < 0)
			return -1;
		if (count > 0) {
			if (write_all(fd, bytes, (size_t)count, flow->received[side]) < 0)
				break;
			flow->received[side] += (uint64_t)count;
			continue;
		}
		printf("%s: %zd bytes to the %s are missing, from %llu on\n", flow->name, -count,
		       side == MOS_SIDE_SVR ? "server" : "client",
		       (unsigned long long)flow->received[side]);
		flow->received[side] += (uint64_t)-count;
		flow->missing[side] += (uint64_t)-count;
		/* What a file is extended by reads as zeros, and takes no room. */
		if (ftruncate(fd, (off_t)flow->received[side]) < 0)
			break;
	}
	if (fd >= 0 && close(fd) < 0)
		return -1;
	return count == 0 ? 0 : -1;
}

/* Something cannot be done: says so, and leaves this connection. */
static void give_up(mctx_t mctx, int sock, struct flow *flow)
{
	warn("%s", flow == NULL ? "a connection" : flow->name);
	errors++;
	/* There will be no MOS_ON_CONN_END for it. */
	mtcp_close(mctx, sock);
	free(flow);
}

static void on_start(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct flow *flow = calloc(1, sizeof(*flow));

	(void)side, (void)event, (void)arg;
	if (flow == NULL || flow_name(mctx, sock, flow->name) < 0 || create_files(flow) < 0)
		give_up(mctx, sock, flow);
	else
		mtcp_set_uctx(mctx, sock, flow);
}

static void on_data(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct flow *flow = mtcp_get_uctx(mctx, sock);

	(void)event, (void)arg;
	if (flow != NULL && drain(mctx, sock, side, flow) < 0)
		give_up(mctx, sock, flow);
}

/* What is missing at the end raises no MOS_ON_CONN_NEW_DATA: both sides are read once more. */
static void on_end(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct flow *flow = mtcp_get_uctx(mctx, sock);

	(void)side, (void)event, (void)arg;
	if (flow == NULL)
		return;		/* this was called before, for the other side */
	mtcp_set_uctx(mctx, sock, NULL);
	if (drain(mctx, sock, MOS_SIDE_CLI, flow) < 0 || drain(mctx, sock, MOS_SIDE_SVR, flow) < 0) {
		give_up(mctx, sock, flow);
		return;
	}
	printf("%s: %llu bytes to the server, %llu missing; %llu bytes to the client, %llu missing\n",
	       flow->name, (unsigned long long)flow->received[MOS_SIDE_SVR],
	       (unsigned long long)flow->missing[MOS_SIDE_SVR],
	       (unsigned long long)flow->received[MOS_SIDE_CLI],
	       (unsigned long long)flow->missing[MOS_SIDE_CLI]);
	free(flow);
}

int main(int argc, char **argv)
{
	int monitor, on = 1;
	mctx_t mctx;

	if (argc != 3)
		errx(EXIT_FAILURE, "usage: reassemble MOS.CONF DIRECTORY");
	directory = argv[2];

	if (mtcp_init(argv[1]) < 0)
		err(EXIT_FAILURE, "%s", argv[1]);
	mctx = mtcp_create_context(0);
	if (mctx == NULL)
		err(EXIT_FAILURE, "mtcp_create_context");
	monitor = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
	if (monitor < 0 ||
	    mtcp_setsockopt(mctx, monitor, SOL_MONSOCKET, MOS_IPV6, &on, sizeof(on)) < 0 ||
	    mtcp_register_callback(mctx, monitor, MOS_ON_CONN_START, MOS_HK_SND, on_start) < 0 ||
	    mtcp_register_callback(mctx, monitor, MOS_ON_CONN_NEW_DATA, MOS_NULL, on_data) < 0 ||
	    mtcp_register_callback(mctx, monitor, MOS_ON_CONN_END, MOS_HK_SND, on_end) < 0)
		err(EXIT_FAILURE, "setting up the monitor");

	mtcp_app_join(mctx);
	mtcp_destroy_context(mctx);
	mtcp_destroy();
	return errors == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
