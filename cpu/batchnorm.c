/* OP_BATCHNORM with ReLU: own loops. The op is bound by memory: statistics are taken block by block (each block is read
 * once from memory and once from cache), and backward works out the ReLU's mask again from x instead of reading the
 * output, so that forward reads x twice and backward reads x and dy twice; oneDNN's version needs more passes and a
 * workspace. Ioffe and Szegedy 2015, algorithm 1; variances of blocks are combined by Chan, Golub and LeVeque 1979,
 * eq. 2.1. Partial sums belong to fixed blocks and are added in order. The loops run over the period W of cpu_period.
 */
#include "cpu/kernels.h"

#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

struct batchnorm {
	int64_t C, W, n; /* channels, period, elements */
	int64_t block, blocks;
	size_t at_tiles, at_partial; /* in scratch: per-channel numbers tiled to W; two rows of W per block */
};

/* Tiled per-channel numbers; y = (x - mean) * a + beta. */
struct tiles {
	float *mean, *a, *beta, *k1, *k2;
};

static struct tiles tiles_at(const struct call *s)
{
	const struct batchnorm *b = s->state;
	float *t = (float *)((char *)s->scratch_mem + b->at_tiles);
	return (struct tiles){t, t + b->W, t + 2 * b->W, t + 3 * b->W, t + 4 * b->W};
}

static float *partial_at(const struct call *s)
{
	return (float *)((char *)s->scratch_mem + ((const struct batchnorm *)s->state)->at_partial);
}

/* Sum of squared distances from `mean` (tiled). */
CPU_CLONES static void block_squares(float *sum, const float *x, int64_t n, int64_t W, const float *mean)
{
	memset(sum, 0, (size_t)W * sizeof(*sum));
	for (; n > 0; n -= W, x += W) {
		int64_t m = n < W ? n : W;
#pragma omp simd
		for (int64_t i = 0; i < m; i++) {
			float d = x[i] - mean[i];
			sum[i] += d * d;
		}
	}
}

CPU_CLONES static void block_apply(float *y, const float *x, int64_t n, int64_t W, const struct tiles *t, bool relu)
{
	for (; n > 0; n -= W, x += W, y += W) {
		int64_t m = n < W ? n : W;
		const float *mean = t->mean, *a = t->a, *beta = t->beta;
		if (relu) {
#pragma omp simd
			for (int64_t i = 0; i < m; i++) {
				float v = (x[i] - mean[i]) * a[i] + beta[i];
				y[i] = v < 0.0f ? 0.0f : v; /* NaN stays visible */
			}
		} else {
#pragma omp simd
			for (int64_t i = 0; i < m; i++)
				y[i] = (x[i] - mean[i]) * a[i] + beta[i];
		}
	}
}

/* In the loops with a ReLU dy is read before the condition: a conditional read becomes a masked load that waits for the
 * iteration before it (six times slower). */

/* Sums of g and of g * (x - mean), where g is dy, masked by the ReLU. */
CPU_CLONES static void block_grad_sums(
    float *sum, float *sum_x, const float *x, const float *dy, int64_t n, int64_t W, const struct tiles *t, bool relu)
{
	memset(sum, 0, (size_t)W * sizeof(*sum));
	memset(sum_x, 0, (size_t)W * sizeof(*sum_x));
	for (; n > 0; n -= W, x += W, dy += W) {
		int64_t m = n < W ? n : W;
		cpu_prefetch(x, m);
		cpu_prefetch(dy, m);
		const float *mean = t->mean, *a = t->a, *beta = t->beta;
		if (relu) {
#pragma omp simd
			for (int64_t i = 0; i < m; i++) {
				float d = x[i] - mean[i], v = dy[i];
				float g = d * a[i] + beta[i] > 0.0f ? v : 0.0f;
				sum[i] += g;
				sum_x[i] += g * d;
			}
		} else {
#pragma omp simd
			for (int64_t i = 0; i < m; i++) {
				sum[i] += dy[i];
				sum_x[i] += dy[i] * (x[i] - mean[i]);
			}
		}
	}
}

/* dx = a*g - k1 - (x - mean)*k2, with the ReLU's mask on g if `relu`; added to dx if `add`. */
CPU_CLONES static void block_grad(
    float *dx, const float *x, const float *dy, int64_t n, int64_t W, const struct tiles *t, bool relu, bool add)
{
	for (; n > 0; n -= W, x += W, dy += W, dx += W) {
		int64_t m = n < W ? n : W;
		cpu_prefetch(x, m);
		cpu_prefetch(dy, m);
		const float *mean = t->mean, *a = t->a, *beta = t->beta, *k1 = t->k1, *k2 = t->k2;
		if (add) {
#pragma omp simd
			for (int64_t i = 0; i < m; i++) {
				float d = x[i] - mean[i], v = dy[i];
				float g = !relu || d * a[i] + beta[i] > 0.0f ? v : 0.0f;
				dx[i] += a[i] * g - k1[i] - d * k2[i];
			}
		} else if (relu) {
#pragma omp simd
			for (int64_t i = 0; i < m; i++) {
				float d = x[i] - mean[i], v = dy[i];
				float g = d * a[i] + beta[i] > 0.0f ? v : 0.0f;
				dx[i] = a[i] * g - k1[i] - d * k2[i];
			}
		} else {
#pragma omp simd
			for (int64_t i = 0; i < m; i++)
				dx[i] = a[i] * dy[i] - k1[i] - (x[i] - mean[i]) * k2[i];
		}
	}
}

static int batchnorm_prepare(struct call *s)
{
	int rc = call_need_f32(s, "cpu", 5);
	if (rc)
		return rc;
	struct batchnorm *b = s->state = mem_alloc(1, sizeof(*b));
	if (!b)
		return ERR_NOMEM;
	b->n = shape_count(s->out.shape);
	b->C = s->in[BN_GAMMA].shape.dim[0];
	b->W = cpu_period(b->C);
	b->block = cpu_block(b->W);
	b->blocks = (b->n + b->block - 1) / b->block;
	b->at_tiles = call_reserve(&s->scratch, (size_t)(5 * b->W) * sizeof(float));
	if (s->mode == EXEC_TRAIN) {
		b->at_partial = call_reserve(&s->scratch, (size_t)(2 * b->W * b->blocks) * sizeof(float));
		s->saved += 3 * (size_t)b->C * sizeof(float); /* mean, 1/sqrt(var + eps), unbiased variance */
	}
	call_set_impl(s, "loop");
	return 0;
}

static int64_t block_size(const struct batchnorm *b, int64_t i)
{
	int64_t left = b->n - i * b->block;
	return left < b->block ? left : b->block;
}

/* Per block: row 0 = mean (tiled), row 1 = sum of squared distances from it. */
static void block_statistics(const struct batchnorm *b, const float *x, float *row, int64_t i)
{
	int64_t n = block_size(b, i), C = b->C, W = b->W;
	cpu_sum_period(row, x + i * b->block, n, W);
	for (int64_t c = 0; c < C; c++)
		row[c] = (float)(cpu_fold(row, c, C, W) * (double)C / (double)n);
	cpu_tile(row, C, W);
	block_squares(row + W, x + i * b->block, n, W, row);
}

/* Batch mean, 1/sqrt(var + eps) and unbiased variance into keep. */
static void statistics(struct call *s)
{
	const struct batchnorm *b = s->state;
	const float *x = s->in[BN_X].data;
	float *partial = partial_at(s), *mean = s->saved_mem, *rstd = mean + b->C, *unbiased = rstd + b->C;
#pragma omp parallel for schedule(static) if (b->n >= CPU_SERIAL)
	for (int64_t i = 0; i < b->blocks; i++)
		block_statistics(b, x, partial + 2 * b->W * i, i);
	double rows = (double)(b->n / b->C);
	for (int64_t c = 0; c < b->C; c++) {
		double m = 0.0, squares = 0.0;
		for (int64_t i = 0; i < b->blocks; i++)
			m += (double)partial[2 * b->W * i + c] * (double)(block_size(b, i) / b->C);
		m /= rows;
		for (int64_t i = 0; i < b->blocks; i++) {
			double d = (double)partial[2 * b->W * i + c] - m;
			squares += cpu_fold(partial + 2 * b->W * i + b->W, c, b->C, b->W);
			squares += d * d * (double)(block_size(b, i) / b->C);
		}
		mean[c] = (float)m;
		rstd[c] = (float)(1.0 / sqrt(squares / rows + (double)s->node->attr.eps));
		unbiased[c] = rows > 1.0 ? (float)(squares / (rows - 1.0)) : 0.0f;
	}
}

/* mean, a and beta of the current batch (TRAIN) or of the running statistics. */
static struct tiles make_tiles(const struct call *s)
{
	const struct batchnorm *b = s->state;
	const float *gamma = s->in[BN_GAMMA].data, *beta = s->in[BN_BETA].data, *kept = s->saved_mem;
	struct tiles t = tiles_at(s);
	for (int64_t c = 0; c < b->C; c++) {
		bool train = s->mode == EXEC_TRAIN;
		t.mean[c] = train ? kept[c] : ((const float *)s->in[BN_MEAN].data)[c];
		t.a[c] = gamma[c] * (train ? kept[b->C + c]
					   : 1.0f / sqrtf(((const float *)s->in[BN_VAR].data)[c] + s->node->attr.eps));
		t.beta[c] = beta[c];
	}
	cpu_tile(t.mean, b->C, b->W);
	cpu_tile(t.a, b->C, b->W);
	cpu_tile(t.beta, b->C, b->W);
	return t;
}

static int batchnorm_forward(struct call *s)
{
	const struct batchnorm *b = s->state;
	if (s->mode == EXEC_TRAIN)
		statistics(s);
	struct tiles t = make_tiles(s);
	const float *x = s->in[BN_X].data;
	float *y = s->out.data;
	bool relu = s->node->attr.relu;
#pragma omp parallel for schedule(static) if (b->n >= CPU_SERIAL)
	for (int64_t i = 0; i < b->blocks; i++)
		block_apply(y + i * b->block, x + i * b->block, block_size(b, i), b->W, &t, relu);
	return 0;
}

/* dgamma and dbeta, and from them k1 and k2 of the input's gradient:
 * dx = gamma*rstd * (g - mean(g) - xhat * mean(g * xhat)), xhat = (x - mean) * rstd. */
static void reduce_gradients(struct call *s, struct tiles *t)
{
	const struct batchnorm *b = s->state;
	const float *partial = partial_at(s), *rstd = (const float *)s->saved_mem + b->C;
	double rows = (double)(b->n / b->C);
	for (int64_t c = 0; c < b->C; c++) {
		double sum = 0.0, sum_xhat = 0.0;
		for (int64_t i = 0; i < b->blocks; i++) {
			sum += cpu_fold(partial + 2 * b->W * i, c, b->C, b->W);
			sum_xhat += cpu_fold(partial + 2 * b->W * i + b->W, c, b->C, b->W);
		}
		sum_xhat *= (double)rstd[c];
		t->k1[c] = (float)((double)t->a[c] * sum / rows);
		t->k2[c] = (float)((double)t->a[c] * (double)rstd[c] * sum_xhat / rows);
		if (s->want[BN_GAMMA]) {
			float *d = s->din[BN_GAMMA].data;
			d[c] = (s->accumulate[BN_GAMMA] ? d[c] : 0.0f) + (float)sum_xhat;
		}
		if (s->want[BN_BETA]) {
			float *d = s->din[BN_BETA].data;
			d[c] = (s->accumulate[BN_BETA] ? d[c] : 0.0f) + (float)sum;
		}
	}
	cpu_tile(t->k1, b->C, b->W);
	cpu_tile(t->k2, b->C, b->W);
}

static int batchnorm_backward(struct call *s)
{
	const struct batchnorm *b = s->state;
	struct tiles t = make_tiles(s);
	const float *x = s->in[BN_X].data, *dy = s->dout.data;
	float *partial = partial_at(s), *dx = s->din[BN_X].data;
	bool relu = s->node->attr.relu, add = s->accumulate[BN_X];
#pragma omp parallel for schedule(static) if (b->n >= CPU_SERIAL)
	for (int64_t i = 0; i < b->blocks; i++) {
		float *row = partial + 2 * b->W * i;
		block_grad_sums(row, row + b->W, x + i * b->block, dy + i * b->block, block_size(b, i), b->W, &t, relu);
	}
	reduce_gradients(s, &t);
	if (s->want[BN_X]) {
#pragma omp parallel for schedule(static) if (b->n >= CPU_SERIAL)
		for (int64_t i = 0; i < b->blocks; i++)
			block_grad(dx + i * b->block, x + i * b->block, dy + i * b->block, block_size(b, i), b->W, &t,
			    relu, add);
	}
	/* The observations that update the running statistics. */
	const float *kept = s->saved_mem;
	if (s->want[BN_MEAN])
		cpu_deliver(s->din[BN_MEAN].data, kept, b->C, s->accumulate[BN_MEAN]);
	if (s->want[BN_VAR])
		cpu_deliver(s->din[BN_VAR].data, kept + 2 * b->C, b->C, s->accumulate[BN_VAR]);
	return 0;
}

const struct kernel cpu_batchnorm_kernel = {
    batchnorm_prepare, NULL, batchnorm_forward, batchnorm_backward, call_release_state};
