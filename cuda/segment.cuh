/* Which rows of packed tokens are of which sequence (op.h). Whatever `starts` holds, nothing outside the rows is named.
 */
#ifndef CUDA_SEGMENT_CUH
#define CUDA_SEGMENT_CUH

#include "cuda/launch.h"
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

/* Sequences have different lengths, so who cuts each into pieces of `size` units, and has `units` of them in a row,
 * numbers the pieces through all: those of sequence n begin at the number of whole pieces that the units in front of it
 * would fill, and n more, one for the rest of each. The rows of no sequence count as sequence N. A piece may be empty.
 */
struct segment_piece {
	int64_t n, index; /* sequence, and which of its pieces */
	segment rows;     /* of the sequence */
};

__device__ static inline int64_t segment_first_piece(const struct segment_rows &r, int64_t n, int64_t units, int size)
{
	return segment_of(r, n).first * units / size + n;
}

__device__ static inline segment_piece segment_piece_at(
    const struct segment_rows &r, int64_t i, int64_t units, int size)
{
	int64_t n = 0, end = r.N + 1;
	while (end - n > 1) {
		const int64_t middle = (n + end) / 2;
		if (segment_first_piece(r, middle, units, size) <= i)
			n = middle;
		else
			end = middle;
	}
	return {n, i - segment_first_piece(r, n, units, size), segment_of(r, n)};
}

/* How many numbers there are. */
static inline int64_t segment_pieces(const struct segment_rows &r, int64_t units, int size)
{
	return r.M * units / size + r.N + 1;
}

#endif
