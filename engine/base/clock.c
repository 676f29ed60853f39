/* Time and process figures from the operating system. */
#include "base/clock.h"

#include <sys/resource.h>
#include <time.h>

double clock_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void clock_utc(char out[32])
{
	struct tm tm;
	time_t now = time(NULL);
	out[0] = '\0';
	if (gmtime_r(&now, &tm))
		strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

uint64_t clock_peak_memory(void)
{
	struct rusage usage;
	/* ru_maxrss is in KiB on Linux. */
	return getrusage(RUSAGE_SELF, &usage) ? 0 : (uint64_t)usage.ru_maxrss * 1024;
}
