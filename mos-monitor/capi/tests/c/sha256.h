/* SHA-256 (FIPS 180-4). */
#ifndef SHA256_H
#define SHA256_H

#include <stdint.h>
#include <string.h>

struct sha256 {
	uint32_t state[8];
	uint64_t bytes;
	uint8_t block[64];
};

static inline uint32_t
rotated(uint32_t word, int bits)
{
	return word >> bits | word << (32 - bits);
}

static inline void
sha256_block(struct sha256 *sha, const uint8_t *block)
{
	static const uint32_t k[64] = {
		0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
		0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
		0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
		0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
		0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
		0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
		0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
		0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
	};
	uint32_t w[64], v[8];
	int i;

	for (i = 0; i < 16; i++)
		w[i] = (uint32_t)block[4 * i] << 24 | block[4 * i + 1] << 16 | block[4 * i + 2] << 8 | block[4 * i + 3];
	for (; i < 64; i++) {
		uint32_t a = w[i - 15], b = w[i - 2];

		w[i] = w[i - 16] + (rotated(a, 7) ^ rotated(a, 18) ^ a >> 3) + w[i - 7] +
		       (rotated(b, 17) ^ rotated(b, 19) ^ b >> 10);
	}
	memcpy(v, sha->state, sizeof(v));
	for (i = 0; i < 64; i++) {
		uint32_t e = v[4], a = v[0];
		uint32_t one = v[7] + (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) + ((e & v[5]) ^ (~e & v[6])) + k[i] + w[i];
		uint32_t two = (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) + ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));

		memmove(v + 1, v, 7 * sizeof(v[0]));
		v[4] += one;
		v[0] = one + two;
	}
	for (i = 0; i < 8; i++)
		sha->state[i] += v[i];
}

static inline void
sha256_begin(struct sha256 *sha)
{
	static const uint32_t state[8] = {
		0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
	};

	memcpy(sha->state, state, sizeof(state));
	sha->bytes = 0;
}

static inline void
sha256_add(struct sha256 *sha, const void *bytes, size_t len)
{
	const uint8_t *from = bytes;

	while (len > 0) {
		size_t used = sha->bytes % 64, now = 64 - used < len ? 64 - used : len;

		memcpy(sha->block + used, from, now);
		sha->bytes += now;
		from += now;
		len -= now;
		if (sha->bytes % 64 == 0)
			sha256_block(sha, sha->block);
	}
}

/* The hash in hexadecimal: 64 digits and an end. `sha` can go on. */
static inline void
sha256_end(const struct sha256 *sha, char *hex)
{
	static const uint8_t padding[64] = { 0x80 };
	struct sha256 copy = *sha;
	uint8_t bits[8];
	int i;

	for (i = 0; i < 8; i++)
		bits[i] = copy.bytes * 8 >> (56 - 8 * i);
	sha256_add(&copy, padding, 1 + (119 - copy.bytes % 64) % 64);
	sha256_add(&copy, bits, 8);
	for (i = 0; i < 32; i++)
		for (int digit = 0; digit < 2; digit++)
			*hex++ = "0123456789abcdef"[copy.state[i / 4] >> (28 - 8 * (i % 4) - 4 * digit) & 15];
	*hex = 0;
}

#endif
