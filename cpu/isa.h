/* What vector instructions the kernels of this folder may use: what the CPU has, within the limit that oneDNN was given
 * (ONEDNN_MAX_CPU_ISA), so that one variable switches the whole backend and every path can be tested anywhere. */
#ifndef CPU_ISA_H
#define CPU_ISA_H

#include <stdbool.h>

bool cpu_has_avx2(void);
bool cpu_has_avx512(void);      /* AVX-512 F, BW, DQ, VL */
bool cpu_has_avx512_vnni(void); /* the above and AVX512-VNNI: own integer kernels */

bool cpu_has_avx512_vbmi(void); /* the above and AVX512-VBMI: bytes looked up in a table of 256 */

bool cpu_has_amx_int8(void); /* the above and AMX-INT8, which the kernel lets this process use */

bool cpu_has_bf16(void); /* AVX512-BF16 or AMX: products of bf16 values, forward and backward */

/* Function attributes of code that runs only after the checks above. */
#if defined(__x86_64__)
#define TARGET_AVX2   __attribute__((target("avx2")))
#define TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma,avx2")))
#define TARGET_VNNI   __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma,avx2")))
#define TARGET_VBMI   __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,fma,avx2")))
#endif

#endif
