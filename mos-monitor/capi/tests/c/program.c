/*
 * The habits of programs that were written for mOS: what they include and in which order, what they
 * declare, what they rely on.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <linux/if_ether.h>
#include <linux/tcp.h>

#include <mos_api.h>
#include <mtcp_util.h>

int GetNumCPUs();
int mtcp_unregister_callback();
void mtcp_clonepkt(struct pkt_info *to, unsigned char *frame, struct pkt_info *from);

/* The same words once more are no new definition. */
#define UNUSED(x)	(void)x

static int ports[65536];
static event_t has_payload;

/* gnu89: also there for other files. */
inline int
port_of(const struct sockaddr_in *addr)
{
	return ntohs(addr->sin_port);
}

static bool
check_payload(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;

	UNUSED(event);
	UNUSED(arg);
	if (mtcp_getlastpkt(mctx, sock, side, &p) < 0)
		return false;
	if (p.ethh->h_proto != htons(ETH_P_IP) || p.iph->protocol != IPPROTO_TCP || p.tcph->rst)
		return false;
	return p.payloadlen > 0;
}

static void
on_payload(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct sockaddr_in addrs[2];
	socklen_t len = sizeof(addrs);
	int stop = MOS_SIDE_BOTH;

	if (event != has_payload || arg == NULL)
		return;
	if (mtcp_getpeername(mctx, sock, (struct sockaddr *)addrs, &len, MOS_SIDE_BOTH) < 0)
		perror("mtcp_getpeername");
	if (++ports[port_of(&addrs[MOS_SIDE_SVR])] > 1)
		mtcp_setsockopt(mctx, sock, SOL_MONSOCKET, MOS_STOP_MON, &stop, sizeof(stop));
	mtcp_setlastpkt(mctx, sock, side, 0, NULL, 0, MOS_DROP);
}

static void
on_timer(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct timeval tv = { 1, 0 };

	UNUSED(side);
	UNUSED(event);
	UNUSED(arg);
	printf("%d connections on core %d\n", (int)mtcp_get_connection_cnt(mctx), mctx->cpu);
	mtcp_settimer(mctx, sock, &tv, on_timer);
}

int
main(int argc, char **argv)
{
	struct mtcp_epoll_event ev;
	struct mtcp_conf conf;
	union monitor_filter ft;
	monitor_filter_t bound = &ft;
	mctx_t mctx;
	int i, sock;

	if (argc < 2 || mtcp_init(argv[1]))
		return 1;
	mtcp_getconf(&conf);
	conf.num_cores = GetNumCPUs();
	mtcp_setconf(&conf);
	has_payload = mtcp_define_event(MOS_ON_PKT_IN, check_payload, NULL);

	for (i = 0; i < conf.num_cores; i++) {
		if (!(mctx = mtcp_create_context(i)))
			return 1;
		sock = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
		memset(&ft, 0, sizeof(ft));
		ft.stream_syn_filter = "dst port 80";
		mtcp_bind_monitor_filter(mctx, sock, bound);
		mtcp_register_callback(mctx, sock, has_payload, MOS_HK_SND, on_payload);
		on_timer(mctx, i, MOS_SIDE_CLI, MOS_NULL_EVENT, NULL);
		mtcp_unregister_callback(mctx, sock, (event_t)MOS_ON_CONN_END, MOS_HK_RCV);
		ev.events = MOS_EPOLLIN | MOS_EPOLLET;
		ev.data.sock = sock;
		printf("%llx\n", (unsigned long long)ev.events);
		mtcp_app_join(mctx);
	}
	return mtcp_destroy();
}
