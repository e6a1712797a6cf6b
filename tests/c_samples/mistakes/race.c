/* Writes what a callback on the core's thread writes as well. */
#define _POSIX_C_SOURCE 200809L
#include <unistd.h>

#include <mtcp_api.h>
#include <mos_api.h>

static long packets;

static void on_packet(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)sock, (void)side, (void)event, (void)arg;
	packets++;
}

int main(int argc, char **argv)
{
	mctx_t mctx;
	int monitor;

	if (argc != 2 || mtcp_init(argv[1]) < 0)
		return 1;
	mctx = mtcp_create_context(0);
	monitor = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
	if (mtcp_register_callback(mctx, monitor, MOS_ON_PKT_IN, MOS_HK_SND, on_packet) < 0)
		return 1;
	/* The capture begins by itself, and is over before anybody has waited for it. */
	sleep(1);
	packets++;
	mtcp_app_join(mctx);
	mtcp_destroy_context(mctx);
	mtcp_destroy();
	return packets < 0;
}
