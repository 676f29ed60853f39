/* The largest distance of two lists of numbers. */
#ifndef TESTS_WORST_H
#define TESTS_WORST_H

#include <math.h>

/* fmax alone would leave out a distance that is not a number, and a test would take NaN for near. */
static inline double worst_of(double worst, double distance)
{
	return isnan(distance) ? INFINITY : fmax(worst, distance);
}

#endif
