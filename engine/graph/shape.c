#include "graph/shape.h"

const struct build_shape shape_one = {.sequences = 1, .tokens = 4, .longest = 3};

struct build_shape shape_samples(int n)
{
	return (struct build_shape){.sequences = n};
}

int64_t shape_capacity(int64_t tokens)
{
	int64_t m = 4;
	while (m < tokens)
		m += m < 128 ? 4 : m / 64 * 4; /* a sixteenth, rounded down to fours */
	return m;
}
