/*
 * Source NAT: TCP connections of the hosts inside go out with one public address, each with a port
 * of its own, which is free again when the connection has ended. Run it between two interfaces.
 *
 *     nat MOS.CONF PUBLIC INSIDE/LENGTH [LOW-HIGH]
 *
 * LOW to HIGH are the ports that may be used; 1024-65535 if nothing is said.
 */
#define _POSIX_C_SOURCE 200809L
#include <err.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <mtcp_api.h>
#include <mos_api.h>

/* In network order, as on the wire. */
static in_addr_t public, inside, inside_mask;

/*
 * The free ports, in a ring: one that was given back comes last, so that its old server has time to
 * forget it. Once the core runs, the ring and the counters belong to its thread.
 */
static struct {
	uint16_t ports[65536];
	unsigned first, count;
} unused;
static unsigned long translated, ended, without_port, refused, orphans;

static uint16_t take_port(void)
{
	if (unused.count == 0)
		return 0;
	unused.count--;
	return unused.ports[unused.first++ % 65536];
}

static void give_port(uint16_t port)
{
	unused.ports[(unused.first + unused.count++) % 65536] = port;
}

static bool is_inside(in_addr_t address)
{
	return (address & inside_mask) == inside;
}

/* Nothing leaves as it is if it cannot be translated. */
static void drop(mctx_t mctx, int sock, int side, unsigned long *counter)
{
	++*counter;
	if (mtcp_setlastpkt(mctx, sock, side, 0, NULL, 0, MOS_DROP) < 0)
		warn("a packet that should be dropped goes on");
}

/*
 * The port of this connection, which is the one thing to remember: it fits into the pointer. The
 * first packet takes it, or, if there was none, the first one again. 0: the connection is refused.
 */
static uint16_t port_of(mctx_t mctx, int sock)
{
	uint16_t port = (uint16_t)(uintptr_t)mtcp_get_uctx(mctx, sock);

	if (port == 0 && (port = take_port()) != 0) {
		translated++;
		mtcp_set_uctx(mctx, sock, (void *)(uintptr_t)port);
	}
	return port;
}

/* What the client sends comes from the address and port that are given; what it gets goes there. */
static int rewrite(mctx_t mctx, int sock, int side, in_addr_t address, in_port_t port)
{
	const int checksums = MOS_UPDATE_IP_CHKSUM | MOS_UPDATE_TCP_CHKSUM;
	bool is_out = side == MOS_SIDE_CLI;
	off_t address_at = is_out ? offsetof(struct iphdr, saddr) : offsetof(struct iphdr, daddr);
	off_t port_at = is_out ? offsetof(struct tcphdr, source) : offsetof(struct tcphdr, dest);

	if (mtcp_setlastpkt(mctx, sock, side, address_at, (byte *)&address, sizeof(address),
			    MOS_OVERWRITE | MOS_IP_HDR) < 0)
		return -1;
	/* Both checksums cover the address: they are set right after the last change. */
	return mtcp_setlastpkt(mctx, sock, side, port_at, (byte *)&port, sizeof(port),
			       MOS_OVERWRITE | MOS_TCP_HDR | checksums);
}

/*
 * At MOS_HK_SND, where what is written is what the receiver gets: the connection is known to the
 * server by its public address and port, and the server's answers are found by these.
 */
static void on_packet(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct sockaddr_in ends[2], *client = &ends[MOS_SIDE_CLI], *server = &ends[MOS_SIDE_SVR];
	socklen_t len = sizeof(ends);
	int both = MOS_SIDE_BOTH;
	uint16_t port;

	(void)event, (void)arg;
	/* As the first packet had them when it came in, whatever was made of it. */
	if (mtcp_getpeername(mctx, sock, (struct sockaddr *)ends, &len, MOS_SIDE_BOTH) < 0) {
		drop(mctx, sock, side, &refused);
	} else if (is_inside(client->sin_addr.s_addr)) {
		port = port_of(mctx, sock);
		if (port == 0)
			/* Clients try again, and perhaps there is a port then. */
			drop(mctx, sock, side, &without_port);
		else if ((side == MOS_SIDE_CLI ?
			  rewrite(mctx, sock, side, public, htons(port)) :
			  rewrite(mctx, sock, side, client->sin_addr.s_addr, client->sin_port)) < 0)
			drop(mctx, sock, side, &refused);
	} else if (server->sin_addr.s_addr == public || is_inside(server->sin_addr.s_addr)) {
		/* Nobody outside may begin. */
		drop(mctx, sock, side, &refused);
	} else {
		/* What is between others is none of our business. */
		mtcp_setsockopt(mctx, sock, SOL_MONSOCKET, MOS_STOP_MON, &both, sizeof(both));
	}
}

/* Told for one side, then for the other. */
static void on_end(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	uint16_t port = (uint16_t)(uintptr_t)mtcp_get_uctx(mctx, sock);

	(void)side, (void)event, (void)arg;
	if (port == 0)
		return;
	mtcp_set_uctx(mctx, sock, NULL);
	give_port(port);
	ended++;
}

/*
 * Not TCP, or of a connection that began before: there is no translation for it. It must neither
 * show an address of the inside nor reach one. (ARP and IPv6 pass by.)
 */
static void on_orphan(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info packet;

	(void)event, (void)arg;
	if (mtcp_getlastpkt(mctx, sock, side, &packet) < 0)
		return;
	if (is_inside(packet.iph->saddr) || is_inside(packet.iph->daddr) ||
	    packet.iph->daddr == public)
		drop(mctx, sock, side, &orphans);
}

static void parse_arguments(int argc, char **argv)
{
	unsigned length, low = 1024, high = 65535, port;
	char address[INET_ADDRSTRLEN], excess;

	if (argc < 4 || argc > 5 || inet_pton(AF_INET, argv[2], &public) != 1)
		errx(EXIT_FAILURE, "usage: nat MOS.CONF PUBLIC INSIDE/LENGTH [LOW-HIGH]");
	if (sscanf(argv[3], "%15[0-9.]/%2u%c", address, &length, &excess) != 2 || length < 1 ||
	    length > 32 || inet_pton(AF_INET, address, &inside) != 1)
		errx(EXIT_FAILURE, "%s is not a network", argv[3]);
	inside_mask = htonl(UINT32_MAX << (32 - length));
	inside &= inside_mask;
	if (argc > 4 && (sscanf(argv[4], "%5u-%5u%c", &low, &high, &excess) != 2 || low < 1 ||
			 low > high || high > 65535))
		errx(EXIT_FAILURE, "%s are not ports", argv[4]);
	for (port = low; port <= high; port++)
		give_port((uint16_t)port);
}

int main(int argc, char **argv)
{
	int monitor, off = 0;
	mctx_t mctx;

	parse_arguments(argc, argv);
	if (mtcp_init(argv[1]) < 0)
		err(EXIT_FAILURE, "%s", argv[1]);
	/* On one core: on several, answers would have to come back to the core that gave the port. */
	mctx = mtcp_create_context(0);
	if (mctx == NULL)
		err(EXIT_FAILURE, "mtcp_create_context");
	monitor = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
	/* The streams are not read, so none is to be kept. */
	if (monitor < 0 ||
	    mtcp_setsockopt(mctx, monitor, SOL_MONSOCKET, MOS_CLIBUF, &off, sizeof(off)) < 0 ||
	    mtcp_setsockopt(mctx, monitor, SOL_MONSOCKET, MOS_SVRBUF, &off, sizeof(off)) < 0 ||
	    mtcp_register_callback(mctx, monitor, MOS_ON_PKT_IN, MOS_HK_SND, on_packet) < 0 ||
	    mtcp_register_callback(mctx, monitor, MOS_ON_CONN_END, MOS_HK_SND, on_end) < 0 ||
	    mtcp_register_callback(mctx, monitor, MOS_ON_ORPHAN, MOS_NULL, on_orphan) < 0)
		err(EXIT_FAILURE, "setting up the monitor");

	puts("translating");
	fflush(stdout);
	mtcp_app_join(mctx);
	mtcp_destroy_context(mctx);
	mtcp_destroy();
	printf("%lu connections translated, %lu of them ended, %u ports free\n", translated, ended,
	       unused.count);
	printf("packets dropped: %lu without a port, %lu refused, %lu without a connection\n",
	       without_port, refused, orphans);
	return EXIT_SUCCESS;
}
