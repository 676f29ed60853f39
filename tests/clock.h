/* A clock of the test's own in the place of the C library's, so that nothing depends on how fast the machine is: it
 * goes on by a microsecond when it is looked at, and by what the test adds. Included once in a program. */
#ifndef TESTS_CLOCK_H
#define TESTS_CLOCK_H

#include <stdint.h>
#include <time.h>

static int64_t clock_us = 5600000;

int clock_gettime(clockid_t clock, struct timespec *out)
{
	(void)clock;
	clock_us++;
	out->tv_sec = (time_t)(clock_us / 1000000);
	out->tv_nsec = (long)(clock_us % 1000000) * 1000;
	return 0;
}

#endif
