/* The list that the tables of cases append to. */
#include "ops/op_cases.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

void op_list_clear(struct op_list *l)
{
	mem_free(l->item);
	memset(l, 0, sizeof(*l));
}

struct op_case *op_list_add(struct op_list *l, enum op op, enum exec_mode mode, const char *fmt, ...)
{
	va_list args;
	struct op_case *c;
	int used;
	if (l->n == l->cap) {
		size_t cap = l->cap ? (size_t)l->cap * 2 : 64;
		void *grown = mem_grow(l->item, (size_t)l->cap, cap, sizeof(*l->item));
		if (!grown) {
			l->failed = true;
			return NULL;
		}
		l->item = grown;
		l->cap = (int)cap;
	}
	c = &l->item[l->n++];
	memset(c, 0, sizeof(*c));
	c->op = op;
	c->mode = mode;
	used = snprintf(c->name, sizeof(c->name), "%s/%s ", op_info(op)->name, mode == EXEC_TRAIN ? "train" : "infer");
	va_start(args, fmt);
	vsnprintf(c->name + used, sizeof(c->name) - (size_t)used, fmt, args);
	va_end(args);
	return c;
}

struct op_input *op_case_in(struct op_case *c, int i, enum dtype t, struct shape shape, double lo, double hi)
{
	c->in[i] = (struct op_input){.dtype = t, .shape = shape, .lo = lo, .hi = hi, .present = true};
	if (i >= c->n_in)
		c->n_in = i + 1;
	return &c->in[i];
}

struct shape op_shape(int ndim, int64_t a, int64_t b, int64_t c, int64_t d)
{
	return (struct shape){.ndim = ndim, .dim = {a, b, c, d}};
}
