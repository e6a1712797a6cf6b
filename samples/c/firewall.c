/*
 * Lets connections through, or not: drops the SYNs of those that the rules refuse, and looks no
 * further at those that they accept. Run it between two interfaces.
 *
 *     firewall MOS.CONF RULES
 *
 * RULES has lines "accept|drop CLIENT SERVER PORT". CLIENT and SERVER are "any" or ADDRESS[/LENGTH]
 * of IPv4 or IPv6, PORT is "any" or that of the server. The first rule that matches counts; what
 * none does is accepted.
 */
#define _POSIX_C_SOURCE 200809L
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/ipv6.h>

#include <mtcp_api.h>
#include <mos_api.h>

#define MAX_RULES	256

/* IPv4 addresses are seen as IPv6 has them, ::ffff:a.b.c.d: so there is one kind of network. */
struct network {
	unsigned char address[16];
	unsigned bits;
};

struct rule {
	bool drop;
	struct network client, server;
	uint16_t port;			/* 0: any */
	unsigned long flows, packets;
};

static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

/* While the core runs they are its own. The one behind the last is all zeros: it accepts the rest. */
static struct rule rules[MAX_RULES + 1];
static int rule_count;

static bool parse_network(char *text, struct network *network)
{
	unsigned offset = 0;
	char *slash, excess;

	memset(network, 0, sizeof(*network));
	if (strcmp(text, "any") == 0)
		return true;
	if ((slash = strchr(text, '/')) != NULL)
		*slash = '\0';
	if (inet_pton(AF_INET, text, network->address + sizeof(mapped)) == 1) {
		memcpy(network->address, mapped, sizeof(mapped));
		offset = 96;
	} else if (inet_pton(AF_INET6, text, network->address) != 1) {
		return false;
	}
	network->bits = 128 - offset;
	if (slash != NULL && (sscanf(slash + 1, "%3u%c", &network->bits, &excess) != 1 ||
			      network->bits > 128 - offset))
		return false;
	network->bits += offset;
	return true;
}

static bool parse_rule(char *line, struct rule *rule)
{
	char action[8], client[64], server[64], port[8], excess;
	unsigned number = 0;

	if (sscanf(line, "%7s %63s %63s %7s %c", action, client, server, port, &excess) != 4)
		return false;
	rule->drop = strcmp(action, "drop") == 0;
	if (!rule->drop && strcmp(action, "accept") != 0)
		return false;
	if (strcmp(port, "any") != 0 &&
	    (sscanf(port, "%5u%c", &number, &excess) != 1 || number < 1 || number > 65535))
		return false;
	rule->port = (uint16_t)number;
	return parse_network(client, &rule->client) && parse_network(server, &rule->server);
}

static void read_rules(const char *path)
{
	FILE *file = fopen(path, "r");
	char line[256];
	int number;

	if (file == NULL)
		err(EXIT_FAILURE, "%s", path);
	for (number = 1; fgets(line, sizeof(line), file) != NULL; number++) {
		line[strcspn(line, "#\n")] = '\0';
		if (line[strspn(line, " \t")] == '\0')
			continue;
		if (rule_count == MAX_RULES || !parse_rule(line, &rules[rule_count++]))
			errx(EXIT_FAILURE, "%s:%d: found `%s`, allowed: accept|drop CLIENT SERVER PORT, "
			     "%d times", path, number, line, MAX_RULES);
	}
	if (ferror(file))
		err(EXIT_FAILURE, "%s", path);
	fclose(file);
}

static bool contains(const struct network *network, const unsigned char address[16])
{
	unsigned bytes = network->bits / 8, rest = network->bits % 8;

	return memcmp(network->address, address, bytes) == 0 &&
	       (rest == 0 || (network->address[bytes] ^ address[bytes]) >> (8 - rest) == 0);
}

static struct rule *judge(const struct pkt_info *packet)
{
	unsigned char client[16], server[16];
	struct rule *rule = rules;

	if (packet->iph->version == 4) {
		memcpy(client, mapped, sizeof(mapped));
		memcpy(server, mapped, sizeof(mapped));
		memcpy(client + sizeof(mapped), &packet->iph->saddr, 4);
		memcpy(server + sizeof(mapped), &packet->iph->daddr, 4);
	} else {
		const struct ipv6hdr *ip6 = (const struct ipv6hdr *)packet->iph;

		memcpy(client, &ip6->saddr, 16);
		memcpy(server, &ip6->daddr, 16);
	}
	while (!contains(&rule->client, client) || !contains(&rule->server, server) ||
	       (rule->port != 0 && rule->port != ntohs(packet->tcph->dest)))
		rule++;
	return rule;
}

/* The filter of the event: it happens for packets that want to begin a connection. */
static bool is_syn(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info packet;

	(void)event, (void)arg;
	return mtcp_getlastpkt(mctx, sock, side, &packet) == 0 && packet.tcph->syn &&
	       !packet.tcph->ack;
}

static void on_syn(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct rule *rule = mtcp_get_uctx(mctx, sock);
	int both = MOS_SIDE_BOTH;
	struct pkt_info packet;

	(void)event, (void)arg;
	if (mtcp_getlastpkt(mctx, sock, side, &packet) < 0)
		return;
	/* One that was dropped comes again, and has been judged. */
	if (rule == NULL) {
		rule = judge(&packet);
		rule->flows++;
		mtcp_set_uctx(mctx, sock, rule);
	}
	rule->packets++;
	if (rule->drop) {
		if (mtcp_setlastpkt(mctx, sock, side, 0, NULL, 0, MOS_DROP) < 0)
			warn("a SYN that should be dropped goes on");
	} else if (mtcp_setsockopt(mctx, sock, SOL_MONSOCKET, MOS_STOP_MON, &both, sizeof(both)) < 0) {
		warn("MOS_STOP_MON");
	}
}

int main(int argc, char **argv)
{
	int monitor, number, on = 1;
	event_t syn;
	mctx_t mctx;

	if (argc != 3)
		errx(EXIT_FAILURE, "usage: firewall MOS.CONF RULES");
	read_rules(argv[2]);

	if (mtcp_init(argv[1]) < 0)
		err(EXIT_FAILURE, "%s", argv[1]);
	if ((syn = mtcp_define_event(MOS_ON_PKT_IN, is_syn, NULL)) == MOS_NULL_EVENT)
		err(EXIT_FAILURE, "mtcp_define_event");
	mctx = mtcp_create_context(0);
	if (mctx == NULL)
		err(EXIT_FAILURE, "mtcp_create_context");
	monitor = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
	/* Without MOS_IPV6, IPv6 would pass unseen. At MOS_HK_SND a packet has not been received. */
	if (monitor < 0 ||
	    mtcp_setsockopt(mctx, monitor, SOL_MONSOCKET, MOS_IPV6, &on, sizeof(on)) < 0 ||
	    mtcp_register_callback(mctx, monitor, syn, MOS_HK_SND, on_syn) < 0)
		err(EXIT_FAILURE, "setting up the monitor");

	printf("%d rules\n", rule_count);
	fflush(stdout);
	mtcp_app_join(mctx);
	mtcp_destroy_context(mctx);
	mtcp_destroy();

	printf("%-10s %-8s %10s %10s\n", "rule", "", "flows", "SYNs");
	for (number = 0; number <= rule_count; number++)
		printf("%-10d %-8s %10lu %10lu\n", number + 1, rules[number].drop ? "drop" : "accept",
		       rules[number].flows, rules[number].packets);
	return EXIT_SUCCESS;
}
