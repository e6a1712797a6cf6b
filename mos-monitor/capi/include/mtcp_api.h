/*
 * libmos: the process, its contexts, and sockets.
 *
 * A context is a core of its own: a thread that takes packets in, follows connections, and calls
 * back. A program makes one for each core with mtcp_create_context() and names it in every call.
 *
 * Errors. A call that returns int or ssize_t returns -1 if it fails, and then errno is always set.
 * EACCES stands for a context that is NULL, is not one, was destroyed, or whose core has stopped;
 * it can come from every call that takes a context and is not repeated below. So can EPERM from a
 * callback of another context: two cores that waited for each other would never end.
 *
 * Threads. Below,
 *   "any thread" may also be the core's own. From there a call acts at once; from elsewhere the
 *   core acts on it between two bursts of packets, and the call returns when it has.
 *   "core thread" is where callbacks, filters and timers run; from every other thread the call
 *   fails with EPERM.
 *
 * Addresses and ports are in network order wherever they are arguments.
 */
#ifndef MTCP_API_H
#define MTCP_API_H

#include <stdint.h>
#include <sys/types.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <netinet/in.h>

#ifndef UNUSED
#define UNUSED(x)		(void)x
#endif

/* With mtcp_bind(): the port is chosen by the library. */
#ifndef INPORT_ANY
#define INPORT_ANY	(uint16_t)0
#endif

typedef unsigned char byte;

#ifdef __cplusplus
extern "C" {
#endif

/* Owned by the library. Readable for the rest of the process, also after mtcp_destroy_context(). */
struct mtcp_context {
	int cpu;	/* as given to mtcp_create_context() */
};

typedef struct mtcp_context *mctx_t;

typedef void (*mtcp_sighandler_t)(int);

/*
 * For mtcp_socket(): MOS_SOCK_STREAM, MOS_SOCK_MONITOR_STREAM, MOS_SOCK_MONITOR_RAW. The others are
 * what sockets become.
 */
enum socket_type {
	MOS_SOCK_UNUSED = 0,
	MOS_SOCK_STREAM_LISTEN = 1,
	MOS_SOCK_PROXY_LISTEN = 2,		/* reserved */
	MOS_SOCK_MONITOR_STREAM = 3,		/* follows connections: the listener */
	MOS_SOCK_STREAM = 4,			/* an endpoint; SOCK_STREAM means the same */
	MOS_SOCK_PROXY = 5,			/* reserved */
	MOS_SOCK_MONITOR_STREAM_ACTIVE = 6,	/* one connection, as seen by one listener */
	MOS_SOCK_MONITOR_RAW = 7,		/* sees every IP packet by itself */
	MOS_SOCK_EPOLL = 8,
	MOS_SOCK_PIPE = 9
};

#define APP_NAME_LEN	40	/* longest name of an application, in bytes */
#define MOS_APP		20	/* most applications of a configuration */
#define MOS_APP_ARGC	20	/* most arguments of an application */

/* What mtcp_getconf() tells and mtcp_setconf() takes. */
struct mtcp_conf {
	int num_cores;		/* cores in use: 1 to 64 */
	int max_concurrency;	/* connections that one core follows at most: 1 to 16777216 */
	uint64_t cpu_mask;	/* the cores, bit i for core i; not taken by mtcp_setconf() */

	int max_num_buffers;	/* the same as max_concurrency; not taken by mtcp_setconf() */
	int rcvbuf_size;	/* bytes of a receive buffer: 1 to 2^30 */
	int sndbuf_size;	/* bytes of a send buffer: 1 to 2^30 */

	int tcp_timewait;	/* seconds in TIME_WAIT: 0 or more */
	int tcp_timeout;	/* seconds of silence that end a connection; -1 or 0: never */

	/*
	 * The application blocks of the file; not taken by mtcp_setconf(). The strings are valid
	 * until mtcp_destroy().
	 */
	uint64_t app_cpu_mask[MOS_APP];
	char *app_argv[MOS_APP][MOS_APP_ARGC];
	int app_argc[MOS_APP];
	int num_app;
};

struct conn_filter;

/* Room for what programs keep per thread; the library does not use it. */
struct app_context {
	mctx_t mctx;
	int socket_id;
	struct conn_filter *cf;
	int ep_id;
};

/* Room for the entry points of a program; the library does not use it. */
struct app_ops {
	void (*app_init)(int argc, char **argv);
	void (*thread_init)(mctx_t mctx, void **app_ctx);
	void (*run)(mctx_t mctx, void **app_ctx);
	int enable;
};

/* ---- The process: for the program's main thread ---- */

/*
 * Reads the configuration; before all other calls. What is wrong with the file goes to standard
 * error, with line and column. Takes over SIGINT (see mtcp_register_signal()) and ignores SIGUSR1.
 * EFAULT: config_file is NULL. ENOENT, EACCES, ...: it cannot be read. EINVAL: it cannot be used.
 * EBUSY: contexts are open.
 */
int mtcp_init(const char *config_file);

/*
 * Destroys the contexts that are left, and forgets the configuration and all events that the
 * program defined. Returns 0.
 */
int mtcp_destroy(void);

/* EINVAL: conf is NULL. EPERM: before mtcp_init(). */
int mtcp_getconf(struct mtcp_conf *conf);

/*
 * Holds for the contexts that are created afterwards: fill *conf by mtcp_getconf(), change it, hand
 * it back.
 * EINVAL: conf is NULL, or something in it is out of its range; then nothing changes. EPERM: before
 * mtcp_init().
 */
int mtcp_setconf(const struct mtcp_conf *conf);

/* Binds the calling thread to a processor; any thread. EINVAL: there is no such processor. */
int mtcp_core_affinitize(int cpu);

/*
 * What the library does on signum. On SIGINT it calls handler, or, if that is NULL, stops all
 * contexts; a second SIGINT within a second stops them in any case. Other signals are left to
 * signal(2). Returns the handler that was there before, SIG_ERR if it fails.
 */
mtcp_sighandler_t mtcp_register_signal(int signum, mtcp_sighandler_t handler);

/* ---- Contexts ---- */

/*
 * Starts a core: the cpu-th of those that the configuration names, from 0. On network interfaces it
 * takes packets from now on; on capture files it waits until the program has set everything up,
 * that is, until it waits in mtcp_app_join() or has made no call for half a second. NULL if it
 * fails.
 * EPERM: before mtcp_init(). EINVAL: cpu is not below num_cores. EEXIST: that core has a context.
 * EMFILE: too many contexts were created. ENODEV, EACCES, ...: a device cannot be opened; standard
 * error says which and why.
 */
mctx_t mtcp_create_context(int cpu);

/*
 * Ends all connections of the core (each with its last callbacks), then the core. Any thread: it
 * returns when the core has stopped; in a callback it returns at once, and the core stops after the
 * burst at hand. May be called in a signal handler.
 */
int mtcp_destroy_context(mctx_t mctx);

/* How many connections the core follows; any thread. (uint32_t)-1 if it fails. */
uint32_t mtcp_get_connection_cnt(mctx_t mctx);

/* ---- Sockets; any thread ---- */

/*
 * domain is AF_INET, protocol is not looked at. Returns a descriptor; all descriptors of a context,
 * of whatever kind, differ. A monitor socket listens at once, and to everything: bind filters and
 * register callbacks before there is traffic.
 * EAFNOSUPPORT: another domain. EINVAL: another type. ENFILE: no descriptor is free, or the 16
 * stream monitors of a context are in use.
 */
int mtcp_socket(mctx_t mctx, int domain, int type, int protocol);

/*
 * A monitor: its callbacks go, for connections that live as well; traffic takes no notice. An
 * active socket: its connection is no longer monitored by that monitor. A listener, an epoll or a
 * pipe: it ends. A stream socket: after what is still to be sent, a FIN.
 * EBADF: no such socket. ENOTSOCK: a number of another kind. EINVAL: a socket that cannot be
 * closed. ENOTCONN: it was never connected, or is not any more; the number is free all the same.
 * EAGAIN: more than 1024 requests in one callback; it stays open.
 */
int mtcp_close(mctx_t mctx, int sock);

/*
 * level SOL_SOCKET: SO_ERROR of a stream socket. level SOL_MONSOCKET: the options of mos_api.h, for
 * active sockets, core thread.
 * EBADF, ENOTSOCK: by kind of socket. EINVAL: *optlen does not fit. EFAULT: NULL. ENOSYS: no such
 * option to read.
 */
int mtcp_getsockopt(mctx_t mctx, int sock, int level, int optname, void *optval, socklen_t *optlen);

/*
 * level SOL_MONSOCKET: the options of mos_api.h, for listeners (connections to come) and active
 * sockets (the one at hand).
 * EBADF, ENOTSOCK: by kind of socket. EINVAL: a value out of range, or optlen below sizeof(int).
 * EFAULT: NULL. ENOSYS: no such option to set, and all of SOL_SOCKET.
 */
int mtcp_setsockopt(mctx_t mctx, int sock, int level, int optname, const void *optval,
		    socklen_t optlen);

/*
 * Deprecated: the same as mtcp_ioctl() with FIONBIO. Sockets block until they are told otherwise.
 * EBADF.
 */
int mtcp_setsock_nonblock(mctx_t mctx, int sock);

/*
 * argp points to an int. FIONREAD: set to how many bytes can be read. FIONBIO: not 0 makes the
 * socket non-blocking.
 * EBADF: not a stream socket or listener. EFAULT: argp is NULL. EINVAL: another request.
 */
int mtcp_ioctl(mctx_t mctx, int sock, int request, void *argp);

/* The local address, a struct sockaddr_in. EBADF, ENOTSOCK; EINVAL: *addrlen is 0. */
int mtcp_getsockname(mctx_t mctx, int sock, struct sockaddr *addr, socklen_t *addrlen);

/*
 * ---- Endpoints of connections ----
 *
 * These calls are here so that programs compile and link. This version makes no connections of its
 * own: with arguments that are good the calls below fail with ENOSYS (bind, listen, accept and
 * connect with EOPNOTSUPP), with others as noted. What is noted behind a semicolon can only come
 * from connections.
 */

/* EBADF, ENOTSOCK. EINVAL: addr is NULL, not a struct sockaddr_in, or the socket is bound. */
int mtcp_bind(mctx_t mctx, int sock, const struct sockaddr *addr, socklen_t addrlen);

/* EBADF, ENOTSOCK. EINVAL: backlog is not positive. */
int mtcp_listen(mctx_t mctx, int sock, int backlog);

/*
 * addr and addrlen are filled in if neither is NULL.
 * EBADF, ENOTSOCK, EINVAL; EAGAIN, EINTR, ENFILE.
 */
int mtcp_accept(mctx_t mctx, int sock, struct sockaddr *addr, socklen_t *addrlen);

/*
 * Finds the local ports from which connections to (daddr, dport) come back to this core, for the
 * addresses saddr_base and the num_addr - 1 after it. EINVAL; ENOMEM.
 */
int mtcp_init_rss(mctx_t mctx, in_addr_t saddr_base, int num_addr, in_addr_t daddr,
		  in_addr_t dport);

/*
 * EBADF, ENOTSOCK, EFAULT, EINVAL, EAFNOSUPPORT; EINPROGRESS, EALREADY, EISCONN, EAGAIN, ETIMEDOUT.
 */
int mtcp_connect(mctx_t mctx, int sock, const struct sockaddr *addr, socklen_t addrlen);

/* Closes with a RST instead of a FIN. EBADF, ENOTSOCK; ENOTCONN: there is no connection. */
int mtcp_abort(mctx_t mctx, int sock);

/*
 * flags: 0 or MSG_PEEK. 0 bytes: the peer has closed.
 * EBADF, ENOTSOCK, EFAULT, EINVAL; ENOTCONN, EAGAIN.
 */
ssize_t mtcp_recv(mctx_t mctx, int sock, char *buf, size_t len, int flags);

/* mtcp_recv() without flags; pipes as well. */
ssize_t mtcp_read(mctx_t mctx, int sock, char *buf, size_t len);

ssize_t mtcp_readv(mctx_t mctx, int sock, const struct iovec *iov, int numIOV);

/*
 * Returns how much of it found room; pipes as well.
 * EBADF, ENOTSOCK, EFAULT; ENOTCONN, EAGAIN, EPIPE, ENOMEM.
 */
ssize_t mtcp_write(mctx_t mctx, int sock, const char *buf, size_t len);

ssize_t mtcp_writev(mctx_t mctx, int sock, const struct iovec *iov, int numIOV);

/* Two descriptors with one buffer between them. EFAULT; ENFILE, ENOMEM. */
int mtcp_pipe(mctx_t mctx, int pipeid[2]);

#ifdef __cplusplus
}
#endif

#endif
