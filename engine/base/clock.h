/* Time and process figures. */
#ifndef ENGINE_BASE_CLOCK_H
#define ENGINE_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

double clock_now(void);           /* monotonic seconds */
void clock_utc(char out[32]);     /* ISO 8601, UTC, seconds: 2026-01-31T12:00:00Z */
uint64_t clock_peak_memory(void); /* peak resident bytes of this process */

#endif
