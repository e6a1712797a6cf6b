/* What a connection is called in the output of these samples. */
#ifndef FLOW_NAME_H
#define FLOW_NAME_H

#include <mos_api.h>

/* Two addresses, each with its port and a dot before that, a dash between them, and the final NUL. */
#define FLOW_NAME_LEN	(2 * (INET6_ADDRSTRLEN + 6))

/*
 * Writes "CLIENT-SERVER", as in 10.9.0.2.58860-10.9.0.1.9000. There is nothing in it that cannot be
 * in the name of a file. Returns -1 and sets errno if the connection is gone.
 */
int flow_name(mctx_t mctx, int sock, char name[FLOW_NAME_LEN]);

#endif
