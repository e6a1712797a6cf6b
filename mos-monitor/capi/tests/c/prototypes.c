/*
 * The functions once more, as programs that were written for mOS may declare or define them. A
 * compiler takes no other type.
 */
#include <mos_api.h>
#include <mtcp_util.h>

#ifdef __cplusplus
extern "C" {
#endif

/* mtcp_api.h */
extern mtcp_sighandler_t handler;
extern void (*handler)(int);
int mtcp_init(const char *);
int mtcp_destroy(void);
int mtcp_getconf(struct mtcp_conf *);
int mtcp_setconf(const struct mtcp_conf *);
int mtcp_core_affinitize(int);
struct mtcp_context *mtcp_create_context(int);
int mtcp_destroy_context(struct mtcp_context *);
mtcp_sighandler_t mtcp_register_signal(int, mtcp_sighandler_t);
int mtcp_pipe(mctx_t, int[2]);
int mtcp_getsockopt(mctx_t, int, int, int, void *, socklen_t *);
int mtcp_setsockopt(mctx_t, int, int, int, const void *, socklen_t);
int mtcp_setsock_nonblock(mctx_t, int);
int mtcp_ioctl(mctx_t, int, int, void *);
int mtcp_socket(mctx_t, int, int, int);
int mtcp_bind(mctx_t, int, const struct sockaddr *, socklen_t);
int mtcp_listen(mctx_t, int, int);
int mtcp_accept(mctx_t, int, struct sockaddr *, socklen_t *);
int mtcp_init_rss(mctx_t, in_addr_t, int, in_addr_t, in_addr_t);
int mtcp_connect(mctx_t, int, const struct sockaddr *, socklen_t);
int mtcp_close(mctx_t, int);
int mtcp_abort(mctx_t, int);
int mtcp_getsockname(mctx_t, int, struct sockaddr *, socklen_t *);
ssize_t mtcp_recv(mctx_t, int, char *, size_t, int);
ssize_t mtcp_read(mctx_t, int, char *, size_t);
ssize_t mtcp_readv(mctx_t, int, const struct iovec *, int);
ssize_t mtcp_write(mctx_t, int, const char *, size_t);
ssize_t mtcp_writev(mctx_t, int, const struct iovec *, int);
uint32_t mtcp_get_connection_cnt(mctx_t);

/* mos_api.h */
extern callback_t callback;
extern void (*callback)(mctx_t, int, int, uint64_t, struct filter_arg *);
extern filter_t filter;
extern bool (*filter)(mctx_t, int, int, uint64_t, struct filter_arg *);
int mtcp_bind_monitor_filter(mctx_t, int, union monitor_filter *);
int mtcp_register_callback(mctx_t, int, uint64_t, int, callback_t);
uint64_t mtcp_alloc_event(uint64_t);
uint64_t mtcp_define_event(uint64_t, filter_t, struct filter_arg *);
int mtcp_raise_event(mctx_t, uint64_t);
void mtcp_set_uctx(mctx_t, int, void *);
void *mtcp_get_uctx(mctx_t, int);
ssize_t mtcp_peek(mctx_t, int, int, char *, size_t);
ssize_t mtcp_ppeek(mctx_t, int, int, char *, size_t, uint64_t);
int mtcp_getlastpkt(mctx_t, int, int, struct pkt_info *);
int mtcp_settimer(mctx_t, int, struct timeval *, callback_t);
uint32_t mtcp_cb_get_ts(mctx_t);
void mtcp_app_join(mctx_t);
int mtcp_getpeername(mctx_t, int, struct sockaddr *, socklen_t *, int);
int mtcp_setlastpkt(mctx_t, int, int, off_t, unsigned char *, uint16_t, int);
int mtcp_sendpkt(mctx_t, int, const struct pkt_info *);

/* In no header of mOS. */
int mtcp_unregister_callback(mctx_t, int, uint64_t, int);
void mtcp_clonepkt(struct pkt_info *, unsigned char *, struct pkt_info *);
int mtcp_reset_conn(mctx_t, int);
int mtcp_cb_stop(mctx_t, int, int);
int mtcp_cb_dropcurpkt(mctx_t);

/* mtcp_epoll.h */
int mtcp_epoll_create(mctx_t, int);
int mtcp_epoll_ctl(mctx_t, int, int, int, struct mtcp_epoll_event *);
int mtcp_epoll_wait(mctx_t, int, struct mtcp_epoll_event *, int, int);
char *EventToString(uint32_t);

/* mtcp_util.h */
int GetRSSCPUCore(in_addr_t, in_addr_t, in_port_t, in_port_t, int);
int StrToArgs(char *, int *, char **, int);
unsigned int XXH32(const void *, size_t, unsigned int);
unsigned long long XXH64(const void *, size_t, unsigned long long);

#ifdef __cplusplus
}
#endif
