/* Private to engine/text: a 64-bit hash of text (Fowler, Noll and Vo's 1a), built byte by byte, so that one walk over a
 * word has the hashes of all its beginnings. */
#ifndef ENGINE_TEXT_TEXT_HASH_H
#define ENGINE_TEXT_TEXT_HASH_H

#include <stddef.h>
#include <stdint.h>

#define TEXT_HASH_SEED 0xCBF29CE484222325u

static inline uint64_t text_hash_more(uint64_t h, const unsigned char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ bytes[i]) * 0x100000001B3u;
	return h;
}

/* Spreads the running hash over the high bits, which are those to make an index of. */
static inline uint64_t text_hash_final(uint64_t h)
{
	return (h ^ h >> 32) * 0x9E3779B97F4A7C15u;
}

#endif
