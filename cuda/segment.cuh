/* Which rows of packed tokens are of which sequence (op.h). Whatever `starts` holds, nothing outside the rows is named.
 */
#ifndef CUDA_SEGMENT_CUH
#define CUDA_SEGMENT_CUH

#include "cuda/launches.h"

/* Rows first .. last-1: of sequence n, or, where n is N, of no sequence. */
struct segment {
	int64_t first, last;
};

__device__ static inline segment segment_of(const struct segment_rows &r, int64_t n)
{
	const int64_t first = r.starts[n], last = n < r.N ? r.starts[n + 1] : r.M;
	return {first < 0 ? 0 : first, last < r.M ? last : r.M};
}

/* The sequence of row m; N: of none. Starts ascend. */
__device__ static inline int64_t segment_at(const struct segment_rows &r, int64_t m)
{
	int64_t low = 0, high = r.N;
	while (low < high) {
		const int64_t middle = (low + high) / 2;
		if (r.starts[middle + 1] > m)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

#endif
