/* Least squares of the gains of a layer's units. The equations have a row for each token and each output of the layer,
 * and a column for each unit u: what the unit adds, W_u x_u. Their normal equations need no more than x^T x and W^T W:
 * the product of two columns is sum_t x_ti x_tj * sum_o W_oi W_oj, summed over the columns i, j of two units. */
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "stages/prune_fisher.h"

#define DAMPING 1 /* of the paper's solver */
#define LANES   16
#define PIECE   1024 /* floats summed up in float before they are added in double */

double prune_dot(const float *a, const float *b, int64_t n)
{
	double sum = 0;
	for (int64_t from = 0; from < n; from += PIECE) {
		const int64_t end = from + PIECE < n ? from + PIECE : n;
		float lane[LANES] = {0}, rest = 0;
		int64_t i = from;
		for (; i + LANES <= end; i += LANES)
			for (int l = 0; l < LANES; l++)
				lane[l] += a[i + l] * b[i + l];
		for (; i < end; i++)
			rest += a[i] * b[i];
		for (int l = 0; l < LANES; l++)
			sum += (double)lane[l];
		sum += (double)rest;
	}
	return sum;
}

int gain_sums_init(struct gain_sums *s, int units, int inner)
{
	const size_t n = (size_t)units * (size_t)inner;
	*s = (struct gain_sums){.units = units, .inner = inner, .columns = (int)n};
	s->xx = mem_alloc(n * n, sizeof(*s->xx));
	s->xe = mem_alloc(n, sizeof(*s->xe));
	if (s->xx && s->xe)
		return 0;
	gain_sums_clear(s);
	return ERR_NOMEM;
}

void gain_sums_clear(struct gain_sums *s)
{
	mem_free(s->xx);
	mem_free(s->xe);
	mem_free(s->xt);
	mem_free(s->back);
	*s = (struct gain_sums){0};
}

static int make_room(struct gain_sums *s, int64_t rows)
{
	const size_t want = (size_t)rows * (size_t)s->columns;
	if (want <= s->capacity)
		return 0;
	mem_free(s->xt);
	mem_free(s->back);
	s->xt = mem_alloc(want, sizeof(*s->xt));
	s->back = mem_alloc(want, sizeof(*s->back));
	s->capacity = s->xt && s->back ? want : 0;
	return s->capacity ? 0 : ERR_NOMEM;
}

/* xe += x * (e W), column by column. */
static void add_errors(struct gain_sums *s, const float *x, const float *e, const float *w, int64_t rows, int outputs)
{
	const size_t columns = (size_t)s->columns;
	for (int64_t t = 0; t < rows; t++) {
		float *back = s->back + (size_t)t * columns;
		const float *row = x + (size_t)t * columns;
		memset(back, 0, columns * sizeof(*back));
		for (int o = 0; o < outputs; o++) {
			const float v = e[t * outputs + o], *wo = w + (size_t)o * columns;
			for (size_t c = 0; c < columns; c++)
				back[c] += v * wo[c];
		}
		for (size_t c = 0; c < columns; c++)
			s->xe[c] += (double)(row[c] * back[c]);
	}
}

#define TILE 32 /* columns that are looked at together, so that they stay in the cache */

static void add_products(struct gain_sums *s, int64_t rows)
{
	const int n = s->columns;
	for (int i0 = 0; i0 < n; i0 += TILE)
		for (int j0 = i0; j0 < n; j0 += TILE)
			for (int i = i0; i < i0 + TILE && i < n; i++)
				for (int j = j0 > i ? j0 : i; j < j0 + TILE && j < n; j++)
					s->xx[(size_t)i * (size_t)n + (size_t)j] +=
					    prune_dot(s->xt + i * rows, s->xt + j * rows, rows);
}

int gain_sums_add(struct gain_sums *s, const float *x, const float *e, const float *w, int64_t rows, int outputs)
{
	int rc = make_room(s, rows);
	if (rc)
		return rc;
	add_errors(s, x, e, w, rows, outputs);
	for (int64_t t = 0; t < rows; t++)
		for (int c = 0; c < s->columns; c++)
			s->xt[c * rows + t] = x[t * s->columns + c];
	add_products(s, rows);
	return 0;
}

/* a (n, n) becomes its Cholesky factor in the lower triangle; false where it is not positive definite. */
static bool factorise(double *a, int n)
{
	for (int j = 0; j < n; j++) {
		double *row = a + (size_t)j * (size_t)n, d = row[j];
		for (int k = 0; k < j; k++)
			d -= row[k] * row[k];
		if (!(d > 0) || !isfinite(d))
			return false;
		row[j] = sqrt(d);
		for (int i = j + 1; i < n; i++) {
			double *other = a + (size_t)i * (size_t)n, v = other[j];
			for (int k = 0; k < j; k++)
				v -= other[k] * row[k];
			other[j] = v / row[j];
		}
	}
	return true;
}

static void substitute(const double *a, int n, double *x)
{
	for (int i = 0; i < n; i++) {
		for (int k = 0; k < i; k++)
			x[i] -= a[(size_t)i * (size_t)n + (size_t)k] * x[k];
		x[i] /= a[(size_t)i * (size_t)n + (size_t)i];
	}
	for (int i = n - 1; i >= 0; i--) {
		x[i] /= a[(size_t)i * (size_t)n + (size_t)i];
		for (int k = 0; k < i; k++)
			x[k] -= a[(size_t)i * (size_t)n + (size_t)k] * x[i];
	}
}

/* The products of the units' columns, in the lower triangle, and on the diagonal the damping. wt (columns, outputs). */
static void fill_normal(const struct gain_sums *s, const float *wt, int outputs, double *a)
{
	const int n = s->columns, units = s->units;
	for (int i = 0; i < n; i++)
		for (int j = i; j < n; j++) {
			const double v =
			    s->xx[(size_t)i * (size_t)n + (size_t)j] *
			    prune_dot(wt + (size_t)i * (size_t)outputs, wt + (size_t)j * (size_t)outputs, outputs);
			const int u = i / s->inner, v_unit = j / s->inner;
			/* within a unit's own square both triangles count */
			a[(size_t)v_unit * (size_t)units + (size_t)u] += u == v_unit && i != j ? 2 * v : v;
		}
	for (int u = 0; u < units; u++)
		a[(size_t)u * (size_t)units + (size_t)u] += DAMPING;
}

int gain_solve(const struct gain_sums *s, const float *w, int outputs, double *gain)
{
	const size_t units = (size_t)s->units, columns = (size_t)s->columns;
	double *a = mem_alloc(units * units, sizeof(*a));
	float *wt = mem_alloc(columns * (size_t)outputs, sizeof(*wt));
	int rc = a && wt ? 0 : ERR_NOMEM;
	if (!rc) {
		for (size_t o = 0; o < (size_t)outputs; o++)
			for (size_t c = 0; c < columns; c++)
				wt[c * (size_t)outputs + o] = w[o * columns + c];
		fill_normal(s, wt, outputs, a);
		memset(gain, 0, units * sizeof(*gain));
		for (size_t c = 0; c < columns; c++)
			gain[c / (size_t)s->inner] += s->xe[c];
		if (factorise(a, s->units))
			substitute(a, s->units, gain);
		else
			rc =
			    err_set(ERR_FAIL, "the least squares of the gains have no solution: values are not finite");
		for (size_t u = 0; u < units; u++)
			gain[u] += 1;
	}
	mem_free(a);
	mem_free(wt);
	return rc;
}
