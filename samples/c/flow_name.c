#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <netdb.h>

#include "flow_name.h"

static void endpoint(const struct sockaddr *address, socklen_t len, char *text, size_t room)
{
	char host[INET6_ADDRSTRLEN], port[6];

	if (getnameinfo(address, len, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		snprintf(text, room, "unknown");
	else
		snprintf(text, room, "%s.%s", host, port);
}

int flow_name(mctx_t mctx, int sock, char name[FLOW_NAME_LEN])
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4[2];
		struct sockaddr_in6 v6[2];
	} ends;
	char client[FLOW_NAME_LEN / 2], server[FLOW_NAME_LEN / 2];
	socklen_t len = sizeof(ends.v4);

	memset(&ends, 0, sizeof(ends));
	if (mtcp_getpeername(mctx, sock, &ends.any, &len, MOS_SIDE_BOTH) == 0) {
		endpoint((struct sockaddr *)&ends.v4[0], sizeof(ends.v4[0]), client, sizeof(client));
		endpoint((struct sockaddr *)&ends.v4[1], sizeof(ends.v4[1]), server, sizeof(server));
	} else {
		/* Another size is wanted if the addresses are those of IPv6. */
		if (errno != EINVAL)
			return -1;
		len = sizeof(ends.v6);
		if (mtcp_getpeername(mctx, sock, &ends.any, &len, MOS_SIDE_BOTH) < 0)
			return -1;
		endpoint((struct sockaddr *)&ends.v6[0], sizeof(ends.v6[0]), client, sizeof(client));
		endpoint((struct sockaddr *)&ends.v6[1], sizeof(ends.v6[1]), server, sizeof(server));
	}
	snprintf(name, FLOW_NAME_LEN, "%s-%s", client, server);
	return 0;
}
