/* OP_POSITION: a row of a table is added by the place of a token in its sequence, and one of the table of types. */
#include "cpu/kernels.h"

#include <omp.h>

#include "cpu/onednn.h"

#define TYPE_ROWS 64 /* of which a partial sum of the types' gradient is made */

/* Scratch of that gradient where sequences have two parts: sums of both parts for each block of rows, then the part of
 * each row. */
static size_t parts_scratch(int64_t M, int64_t C)
{
	return (size_t)((M + TYPE_ROWS - 1) / TYPE_ROWS * 2 * C) * sizeof(float) + (size_t)M;
}

static int position_prepare(struct call *s)
{
	const int64_t N = s->in[POSITION_STARTS].shape.dim[0] - 1, M = s->out.shape.dim[0], C = s->out.shape.dim[1];
	const struct cpu_ctx *c = s->ctx;
	if (s->want[POSITION_TABLE])
		s->scratch = (size_t)(N * c->traits.threads) * sizeof(int64_t);
	if (s->want[POSITION_TYPE] && s->scratch < cpu_column_sum_scratch(M, C))
		s->scratch = cpu_column_sum_scratch(M, C);
	if (s->want[POSITION_TYPE] && s->has_in[POSITION_SECOND] && s->scratch < parts_scratch(M, C))
		s->scratch = parts_scratch(M, C);
	if (s->mode == EXEC_INFER)
		s->inplace = POSITION_X;
	call_set_impl(s, "loop");
	return 0;
}

/* y may be x; type and place may be NULL. */
CPU_CLONES static void add_rows(float *y, const float *x, const float *type, const float *place, int64_t C)
{
	if (type && place) {
#pragma omp simd
		for (int64_t c = 0; c < C; c++)
			y[c] = x[c] + type[c] + place[c];
	} else if (type || place) {
		const float *one = type ? type : place;
#pragma omp simd
		for (int64_t c = 0; c < C; c++)
			y[c] = x[c] + one[c];
	} else if (y != x) {
		memcpy(y, x, (size_t)C * sizeof(*y));
	}
}

static int position_forward(struct call *s)
{
	const int64_t N = s->in[POSITION_STARTS].shape.dim[0] - 1, M = s->out.shape.dim[0], C = s->out.shape.dim[1];
	const int64_t P = s->in[POSITION_TABLE].shape.dim[0];
	const int32_t *starts = s->in[POSITION_STARTS].data;
	const float *x = s->in[POSITION_X].data, *table = s->in[POSITION_TABLE].data;
	const float *types = s->has_in[POSITION_TYPE] ? s->in[POSITION_TYPE].data : NULL;
	const int32_t *second = s->has_in[POSITION_SECOND] ? s->in[POSITION_SECOND].data : NULL;
	float *y = s->out.data;
#pragma omp parallel for schedule(static) if (M * C >= CPU_SERIAL)
	for (int64_t n = 0; n < N; n++) {
		int64_t first, last;
		cpu_segment(starts, n, M, &first, &last);
		for (int64_t m = first; m < last; m++) {
			const float *type = second && m - first >= second[n] ? types + C : types;
			add_rows(y + m * C, x + m * C, type, m - first < P ? table + (m - first) * C : NULL, C);
		}
	}
	cpu_clear_slack(y, cpu_slack(starts, N, M), M, C);
	return 0;
}

/* Each row is written once, by one thread, from the sequences that reach so far, in ascending order. */
static void table_gradient(struct call *s)
{
	const int64_t N = s->in[POSITION_STARTS].shape.dim[0] - 1, M = s->out.shape.dim[0], C = s->out.shape.dim[1];
	const int64_t P = s->in[POSITION_TABLE].shape.dim[0];
	const int32_t *starts = s->in[POSITION_STARTS].data;
	float *d = s->din[POSITION_TABLE].data;
#pragma omp parallel for schedule(dynamic, 8) if (M * C >= CPU_SERIAL)
	for (int64_t p = 0; p < P; p++) {
		int64_t *row = (int64_t *)s->scratch_mem + N * omp_get_thread_num(), rows = 0;
		for (int64_t n = 0; n < N; n++) {
			int64_t first, last;
			cpu_segment(starts, n, M, &first, &last);
			if (first + p < last)
				row[rows++] = first + p;
		}
		if (rows)
			cpu_sum_rows(d + p * C, s->dout.data, row, rows, C, s->accumulate[POSITION_TABLE]);
		else if (!s->accumulate[POSITION_TABLE])
			memset(d + p * C, 0, (size_t)C * sizeof(*d));
	}
}

/* Sums of the rows of one block, apart by the part that they are of. */
CPU_CLONES static void sum_parts(float *sum, const float *dy, const uint8_t *part, int64_t rows, int64_t C)
{
	memset(sum, 0, (size_t)(2 * C) * sizeof(*sum));
	for (int64_t m = 0; m < rows; m++) {
		float *to = sum + part[m] * C;
#pragma omp simd
		for (int64_t c = 0; c < C; c++)
			to[c] += dy[m * C + c];
	}
}

/* The gradient of the rows of types of both parts. Blocks follow from the number of rows alone, so threads change no
 * bit. */
static void parts_gradient(struct call *s, int64_t rows)
{
	const int64_t N = s->in[POSITION_STARTS].shape.dim[0] - 1, M = s->out.shape.dim[0], C = s->out.shape.dim[1];
	const int64_t blocks = (rows + TYPE_ROWS - 1) / TYPE_ROWS;
	const int32_t *starts = s->in[POSITION_STARTS].data, *second = s->in[POSITION_SECOND].data;
	float *d = s->din[POSITION_TYPE].data, *sum = s->scratch_mem;
	uint8_t *part = (uint8_t *)(sum + (M + TYPE_ROWS - 1) / TYPE_ROWS * 2 * C);
	for (int64_t n = 0; n < N; n++) {
		int64_t first, last;
		cpu_segment(starts, n, M, &first, &last);
		for (int64_t m = first; m < last; m++)
			part[m] = m - first >= second[n];
	}
#pragma omp parallel for schedule(static) if (rows * C >= CPU_SERIAL)
	for (int64_t b = 0; b < blocks; b++) {
		const int64_t m = b * TYPE_ROWS;
		sum_parts(sum + b * 2 * C, (const float *)s->dout.data + m * C, part + m,
		    rows - m < TYPE_ROWS ? rows - m : TYPE_ROWS, C);
	}
	for (int64_t c = 0; c < 2 * C; c++) {
		double all = 0;
		for (int64_t b = 0; b < blocks; b++)
			all += (double)sum[b * 2 * C + c];
		d[c] = s->accumulate[POSITION_TYPE] ? d[c] + (float)all : (float)all;
	}
	if (!s->accumulate[POSITION_TYPE])
		cpu_clear_slack(d, 2, s->in[POSITION_TYPE].shape.dim[0], C);
}

static int position_backward(struct call *s)
{
	const int64_t N = s->in[POSITION_STARTS].shape.dim[0] - 1, M = s->out.shape.dim[0], C = s->out.shape.dim[1];
	const int64_t rows = cpu_slack(s->in[POSITION_STARTS].data, N, M);
	if (s->want[POSITION_X]) {
		cpu_deliver(s->din[POSITION_X].data, s->dout.data, rows * C, s->accumulate[POSITION_X]);
		if (!s->accumulate[POSITION_X])
			cpu_clear_slack(s->din[POSITION_X].data, rows, M, C);
	}
	if (s->want[POSITION_TABLE])
		table_gradient(s);
	if (s->want[POSITION_TYPE] && s->has_in[POSITION_SECOND]) {
		parts_gradient(s, rows);
	} else if (s->want[POSITION_TYPE]) {
		float *d = s->din[POSITION_TYPE].data;
		cpu_column_sum(d, s->dout.data, rows, C, s->accumulate[POSITION_TYPE], s->scratch_mem);
		if (!s->accumulate[POSITION_TYPE])
			cpu_clear_slack(d, 1, s->in[POSITION_TYPE].shape.dim[0], C);
	}
	return 0;
}

const struct kernel cpu_position_kernel = {position_prepare, NULL, position_forward, position_backward, NULL};
