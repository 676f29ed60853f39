/* Squares of 4 rows by 4 words of 32 bits, turned over in registers of any processor. */
#ifndef CPU_TURN_H
#define CPU_TURN_H

#include <stdint.h>
#include <string.h>

typedef uint32_t turn_words __attribute__((vector_size(16)));

/* Four words of each of four rows, `stride` bytes from each other, become four rows `apart` bytes from each other. */
static inline void cpu_turn_over(void *to, int64_t apart, const void *from, int64_t stride)
{
	turn_words row[4], half[4];
	for (int r = 0; r < 4; r++)
		memcpy(&row[r], (const char *)from + r * stride, sizeof(row[r]));
	half[0] = __builtin_shuffle(row[0], row[1], (turn_words){0, 4, 1, 5});
	half[1] = __builtin_shuffle(row[0], row[1], (turn_words){2, 6, 3, 7});
	half[2] = __builtin_shuffle(row[2], row[3], (turn_words){0, 4, 1, 5});
	half[3] = __builtin_shuffle(row[2], row[3], (turn_words){2, 6, 3, 7});
	for (int c = 0; c < 4; c++) {
		const turn_words column =
		    c % 2 ? __builtin_shuffle(half[c / 2], half[c / 2 + 2], (turn_words){2, 3, 6, 7})
			  : __builtin_shuffle(half[c / 2], half[c / 2 + 2], (turn_words){0, 1, 4, 5});
		memcpy((char *)to + c * apart, &column, sizeof(column));
	}
}

#endif
