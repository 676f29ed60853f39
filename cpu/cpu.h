/* The CPU backend: oneDNN where it is the fastest, own OpenMP loops elsewhere. Runs are the same bytes from run to run
 * with one thread count; between thread counts sums may be taken in another order. */
#ifndef CPU_CPU_H
#define CPU_CPU_H

#include <stdbool.h>

#include "exec/backend.h"

extern const struct backend cpu_backend;

/* True if oneDNN's u8 x s8 products run without saturating in 16 bits: VNNI as it uses it now, so ONEDNN_MAX_CPU_ISA
 * counts. Without it integer layers run on the slower kernels of wide.h, as exactly. */
bool cpu_has_vnni(void);

#endif
