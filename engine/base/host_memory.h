/* How much memory of the host this process can still take before the kernel starts to kill: what the machine has
 * available without swapping, within the limits of the control groups (v1 and v2) that the process is in. */
#ifndef ENGINE_BASE_HOST_MEMORY_H
#define ENGINE_BASE_HOST_MEMORY_H

#include <stddef.h>

/* Bytes; SIZE_MAX for both where the system does not tell. Allocates nothing. root: "" for this system; tests have a
 * folder with proc/ and sys/ of their own. */
void host_memory(const char *root, size_t *available, size_t *total);

#endif
