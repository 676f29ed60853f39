/* What kernels of every backend do with a call alike: laying out its memory, refusing types, naming what runs it. */
#ifndef ENGINE_EXEC_CALL_H
#define ENGINE_EXEC_CALL_H

#include <stddef.h>

#include "exec/backend.h"

/* Lays out parts of one memory block: returns the offset of `bytes` and moves *total past them, 64-byte aligned. */
size_t call_reserve(size_t *total, size_t bytes);
/* ERR_DEVICE, naming the backend, unless the output and those of the first n inputs that are there are f32. */
int call_need_f32(const struct call *s, const char *backend, int n);
/* Sets impl. */
void call_set_impl(struct call *s, const char *text);
/* The release of a row whose state is one block of host memory. */
void call_release_state(struct call *s);

#endif
