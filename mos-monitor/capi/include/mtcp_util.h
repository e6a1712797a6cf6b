/*
 * libmos: small helpers. They need no context, and any thread may call them.
 *
 * The library exports one more, which is left for programs to declare, because most have a header
 * that does: int GetNumCPUs(void), the number of processors that are online (in C++ extern "C").
 */
#ifndef MTCP_UTIL_H
#define MTCP_UTIL_H

#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <netinet/in.h>
#include <arpa/inet.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The queue, from 0, out of num_queues in which an adapter with a symmetric RSS key puts the
 * packets of this connection.
 */
int GetRSSCPUCore(in_addr_t sip, in_addr_t dip, in_port_t sp, in_port_t dp, int num_queues);

/*
 * Cuts str into words where it stands. Single and double quotes keep a word together. At most
 * max_argc words are stored, and a NULL behind them if they are fewer. Returns 0.
 */
int StrToArgs(char *str, int *argc, char **argv, int max_argc);

/* xxHash of length bytes. */
unsigned int XXH32(const void *input, size_t length, unsigned int seed);
unsigned long long XXH64(const void *input, size_t length, unsigned long long seed);

#ifdef __cplusplus
}
#endif

#endif
