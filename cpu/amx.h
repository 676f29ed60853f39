/* Private to cpu: tiles of AMX, for products of 8-bit integers. Whoever uses them keeps the configuration that was
 * there and loads it again: oneDNN remembers which one it has loaded. */
#ifndef CPU_AMX_H
#define CPU_AMX_H

#if defined(__x86_64__)
#include <immintrin.h>
#include <stdint.h>

#define TARGET_AMX __attribute__((target("amx-tile,amx-int8,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma,avx2")))
#define AMX_SIDE   16 /* rows of a tile, and columns of a tile of sums */
#define AMX_STEP   64 /* bytes of a tile's row: inputs that one instruction multiplies */

/* The compiler's instructions for tiles do not say which memory they read or write; without this it might drop or move
 * the stores to memory that only tiles are loaded from. */
#define AMX_MEMORY_IS_USED() __asm__ volatile("" ::: "memory")

/* Palette 1 of the architecture (Intel SDM vol. 1, 18.3). */
struct amx_config {
	uint8_t palette, start_row, reserved[14];
	uint16_t bytes[16];
	uint8_t rows[16];
} __attribute__((aligned(64)));
#endif

#endif
