/*
 * Made captures: conversations spelled out segment by segment, as pcap files of Ethernet frames with IPv4.
 *
 * One capture is written at a time. Each frame comes a millisecond after the one before.
 */
#ifndef CAPTURE_H
#define CAPTURE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>

enum { CLI, SVR };
enum { FIN = 0x01, SYN = 0x02, RST = 0x04, PSH = 0x08, ACK = 0x10 };

/* A connection, as far as numbers go. Addresses and ports are in host byte order. */
struct talk {
	uint32_t addr[2];
	uint16_t port[2];
	uint32_t first[2];	/* what each side sends in its SYN */
	uint32_t next[2];	/* what it sends next */
};

static FILE *capture_file, *tick_file;
static uint64_t capture_time;	/* of the next frame, in microseconds */

static inline void
put16(uint8_t *at, unsigned value)
{
	at[0] = value >> 8;
	at[1] = value;
}

static inline void
put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value & 0xffff);
}

/* The sum of the Internet checksum, not folded yet. */
static inline uint64_t
sum16(const uint8_t *bytes, size_t len, uint64_t sum)
{
	size_t i;

	for (i = 0; i + 1 < len; i += 2)
		sum += bytes[i] << 8 | bytes[i + 1];
	return len & 1 ? sum + (bytes[len - 1] << 8) : sum;
}

static inline unsigned
fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

/* The checksum of the TCP segment or UDP datagram in an IPv4 packet; 0 if the one it has is right. */
static inline unsigned
transport_sum(const uint8_t *ip, size_t len)
{
	size_t header = (ip[0] & 15) * 4;

	return fold(sum16(ip + header, len - header, sum16(ip + 12, 8, ip[9] + (len - header))));
}

static inline FILE *
create_capture(const char *path)
{
	static const uint32_t header[] = { 0xa1b2c3d4, 2 | 4 << 16, 0, 0, 262144, 1 };
	FILE *file = fopen(path, "wb");

	if (file == NULL || fwrite(header, sizeof(header), 1, file) != 1) {
		perror(path);
		exit(2);
	}
	return file;
}

static inline void
begin_capture(const char *path)
{
	capture_file = create_capture(path);
	capture_time = 1000000;
}

/* With a second one, in which a datagram of no interest follows each frame: between the two, every frame is a burst of its own. */
static inline void
begin_capture_with_ticks(const char *path, const char *ticks)
{
	begin_capture(path);
	tick_file = create_capture(ticks);
}

static inline void
end_capture(void)
{
	if (fclose(capture_file) != 0 || (tick_file != NULL && fclose(tick_file) != 0)) {
		perror("capture");
		exit(2);
	}
	tick_file = NULL;
}

static inline void
write_frame(FILE *file, uint64_t time, const uint8_t *bytes, size_t len)
{
	uint32_t header[4] = { time / 1000000, time % 1000000, len, len };

	fwrite(header, sizeof(header), 1, file);
	fwrite(bytes, len, 1, file);
}

static inline void
frame(const uint8_t *bytes, size_t len)
{
	static const uint8_t tick[42] = {
		[12] = 8, 0, 0x45, 0, 0, 28, 0, 0, 0x40, 0, 64, 17, 0x26, 0x0b, 10, 0, 0, 99, 10, 0, 0, 100,
		0x13, 0x88, 0, 53, 0, 8, 0, 0,
	};

	write_frame(capture_file, capture_time, bytes, len);
	if (tick_file != NULL)
		write_frame(tick_file, capture_time + 500, tick, sizeof(tick));
	capture_time += 1000;
}

/* An IPv4 packet between two addresses; what it carries has its checksum at `sum_at`. */
static inline void
ip_packet(uint32_t from, uint32_t to, int protocol, uint8_t *body, size_t len, size_t sum_at)
{
	static uint8_t out[65600];
	uint8_t *ip = out + 14;

	memcpy(out, "\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0", 14);
	memset(ip, 0, 20);
	ip[0] = 0x45;
	put16(ip + 2, 20 + len);
	ip[6] = 0x40;
	ip[8] = 64;
	ip[9] = protocol;
	put32(ip + 12, from);
	put32(ip + 16, to);
	put16(ip + 10, fold(sum16(ip, 20, 0)));
	memcpy(ip + 20, body, len);
	put16(ip + 20 + sum_at, transport_sum(ip, 20 + len));
	frame(out, 34 + len);
}

/* A segment with any numbers. */
static inline void
segment(const struct talk *t, int from, int flags, uint32_t seq, uint32_t ack, const void *payload, size_t len)
{
	static uint8_t tcp[65535];

	memset(tcp, 0, 20);
	put16(tcp, t->port[from]);
	put16(tcp + 2, t->port[!from]);
	put32(tcp + 4, seq);
	put32(tcp + 8, flags & ACK ? ack : 0);
	tcp[12] = 5 << 4;
	tcp[13] = flags;
	put16(tcp + 14, 0xffff);
	if (len > 0)
		memcpy(tcp + 20, payload, len);
	ip_packet(t->addr[from], t->addr[!from], 6, tcp, 20 + len, 16);
}

static inline void
udp(uint32_t from, uint32_t to, const char *text)
{
	uint8_t out[64] = { 0x13, 0x88, 0, 53 };
	size_t len = strlen(text);

	put16(out + 4, 8 + len);
	memcpy(out + 8, text, len);
	ip_packet(from, to, 17, out, 8 + len, 6);
}

/* A connection of its own for each number: from 10.0.x.y to 192.168.0.1:80. */
static inline struct talk
talk(unsigned number)
{
	struct talk t = {
		.addr = { 0x0a000000 + number + 1, 0xc0a80001 },
		.port = { 10000 + number, 80 },
		.first = { 1000000 * (number + 1), 4000000000u + 5000 * number },
	};

	t.next[CLI] = t.first[CLI];
	t.next[SVR] = t.first[SVR];
	return t;
}

/* A segment in order: it has the next number, and acknowledges all that the other side has sent. */
static inline void
advance(struct talk *t, int from, int flags, const void *payload, size_t len)
{
	segment(t, from, flags, t->next[from], t->next[!from], payload, len);
	t->next[from] += len + !!(flags & SYN) + !!(flags & FIN);
}

static inline void
say(struct talk *t, int from, const char *text)
{
	advance(t, from, PSH | ACK, text, strlen(text));
}

static inline void
ack(struct talk *t, int from)
{
	advance(t, from, ACK, NULL, 0);
}

static inline void
handshake(struct talk *t)
{
	advance(t, CLI, SYN, NULL, 0);
	advance(t, SVR, SYN | ACK, NULL, 0);
	ack(t, CLI);
}

static inline void
goodbye(struct talk *t)
{
	advance(t, CLI, FIN | ACK, NULL, 0);
	ack(t, SVR);
	advance(t, SVR, FIN | ACK, NULL, 0);
	ack(t, CLI);
}

/* A whole connection: a question and an answer. */
static inline void
whole(struct talk *t, const char *question, const char *answer)
{
	handshake(t);
	say(t, CLI, question);
	ack(t, SVR);
	say(t, SVR, answer);
	ack(t, CLI);
	goodbye(t);
}

/* The packets of a capture, for what was written by the library. */
struct frames {
	size_t count;
	struct { uint8_t bytes[2048]; size_t len; uint64_t time; } at[512];
};

static inline void
read_capture(const char *path, struct frames *frames)
{
	uint32_t header[6], nanos;
	FILE *file = fopen(path, "rb");

	frames->count = 0;
	if (file == NULL || fread(header, sizeof(header), 1, file) != 1) {
		perror(path);
		exit(2);
	}
	nanos = header[0] == 0xa1b23c4d;
	while (frames->count < 512 && fread(header, 16, 1, file) == 1) {
		size_t room = sizeof(frames->at[0].bytes), len = header[2] < room ? header[2] : room;

		frames->at[frames->count].len = len;
		frames->at[frames->count].time = header[0] * 1000000ull + (nanos ? header[1] / 1000 : header[1]);
		if (fread(frames->at[frames->count].bytes, len, 1, file) != 1 || fseek(file, header[2] - len, SEEK_CUR))
			break;
		frames->count++;
	}
	fclose(file);
}

#endif
