/*
 * libmos: waiting for several endpoint sockets at once.
 *
 * The values are not those of <sys/epoll.h>. Monitor sockets cannot be waited for: they call back.
 * As long as the library makes no connections of its own (see mtcp_api.h), the calls check their
 * arguments and then fail with ENOSYS.
 */
#ifndef MTCP_EPOLL_H
#define MTCP_EPOLL_H

#include "mtcp_api.h"

#ifdef __cplusplus
extern "C" {
#endif

enum mtcp_epoll_op {
	MOS_EPOLL_CTL_ADD = 1,
	MOS_EPOLL_CTL_DEL = 2,
	MOS_EPOLL_CTL_MOD = 3
};

/*
 * The last is the sign bit of an int. Its extension into the upper half of mtcp_epoll_event.events
 * is not looked at.
 */
enum epoll_event_type {
	MOS_EPOLLNONE = 0x001,
	MOS_EPOLLIN = 0x002,	/* data, the peer's FIN, or a connection to accept */
	MOS_EPOLLPRI = 0x004,
	MOS_EPOLLOUT = 0x008,	/* connected, or room to write */
	MOS_EPOLLRDNORM = 0x010,
	MOS_EPOLLRDBAND = 0x020,
	MOS_EPOLLWRNORM = 0x040,
	MOS_EPOLLWRBAND = 0x080,
	MOS_EPOLLMSG = 0x100,
	MOS_EPOLLERR = 0x200,	/* always waited for */
	MOS_EPOLLHUP = 0x400,	/* always waited for */
	MOS_EPOLLRDHUP = 0x800,
	MOS_EPOLLONESHOT = 1 << 30,
	MOS_EPOLLET = -0x7fffffff - 1
};

/* Not used by any call. */
enum mtcp_action {
	MOS_ACT_SEND_DATA = 0x02,
	MOS_ACT_SEND_ACK_NOW = 0x04,
	MOS_ACT_SEND_ACK_AGG = 0x08,
	MOS_ACT_SEND_CONTROL = 0x10,
	MOS_ACT_SEND_RST = 0x20,
	MOS_ACT_DESTROY = 0x40,
	MOS_ACT_READ_DATA = 0x80,
	MOS_ACT_CNT = 0x81
};

/* The program's own; handed back with the event. */
typedef union mtcp_epoll_data {
	void *ptr;
	int sock;
	uint32_t u32;
	uint64_t u64;
} mtcp_epoll_data_t;

struct mtcp_epoll_event {
	uint64_t events;
	mtcp_epoll_data_t data;
};

/* size: how many events can be pending. EINVAL: not positive. ENFILE. */
int mtcp_epoll_create(mctx_t mctx, int size);

/* EBADF; EINVAL: epid is not an epoll, or there is no event; EEXIST, ENOENT. */
int mtcp_epoll_ctl(mctx_t mctx, int epid, int op, int sock, struct mtcp_epoll_event *event);

/*
 * timeout in milliseconds; -1: none, 0: do not wait. Returns the number of events.
 * EBADF, EINVAL; EINTR: SIGINT, or the end.
 */
int mtcp_epoll_wait(mctx_t mctx, int epid, struct mtcp_epoll_event *events, int maxevents,
		    int timeout);

/*
 * The name of one epoll event without its prefix, "IN" for MOS_EPOLLIN; NULL if it has none. Not to
 * be changed or freed.
 */
char *EventToString(uint32_t event);

#ifdef __cplusplus
}
#endif

#endif
