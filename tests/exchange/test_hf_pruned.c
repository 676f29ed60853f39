/* Models that have lost heads and units, as folders of `transformers`: with zeros in their place, which every version
 * opens and which compute the same, or with `pruned_heads`. */
#include "exchange/folder.h"

#include <math.h>

#include "base/mem.h"
#include "cpu/cpu.h"
#include "graph/families.h"
#include "graph/pass.h"
#include "model/session.h"
#include "ref/ref.h"

enum { CLASSES = 3, TEXTS = 4 };
static const char *const names[] = {"bert", "distilbert"};
static const int full[] = {3, 2}, gone[] = {3, 1}; /* heads, of a row of 12 */

static struct checkpoint import(const char *dir)
{
	struct checkpoint c;
	struct str notes = {0};
	OK(hf_import(&c, dir, &(struct hf_import_options){0}, &notes));
	str_clear(&notes);
	return c;
}

static void keep_units(struct slice *s, int width, int n, const int *unit)
{
	s->keep[width] = mem_alloc((size_t)n, sizeof(int));
	memcpy(s->keep[width], unit, (size_t)n * sizeof(int));
	s->n_keep[width] = n;
}

/* A folder's model with one head in layer 0. Of three heads layer 1 has lost its second, and layer 0 has 7 units; of
 * two it keeps all, and layer 1 has 7 units. */
static struct checkpoint cut(const char *name)
{
	struct checkpoint c = import(folder(name));
	struct model_spec less = {0};
	struct tensor_file tensors = {0};
	struct graph from, to;
	struct slice keep;
	OK(slice_init(&keep, c.spec.n_width));
	keep_units(&keep, 0, 1, (int[]){1});
	keep_units(&keep, c.spec.width[2] == 3 ? 1 : 3, 7, (int[]){0, 2, 3, 7, 11, 18, 19});
	if (c.spec.width[2] == 3)
		keep_units(&keep, 2, 2, (int[]){0, 2});
	OK(slice_spec(&less, &c.spec, &keep));
	OK(spec_build(&from, &c.spec, &shape_one));
	OK(spec_build(&to, &less, &shape_one));
	for (int i = 0; i < from.n; i++) {
		if (from.node[i].op != OP_PARAM)
			continue;
		const struct named_tensor *old = tensor_file_find(&c.tensors, from.node[i].name);
		struct named_tensor *new = tensor_file_add(&tensors, to.node[i].name, DT_F32, to.node[i].shape);
		OK(slice_param(&from.node[i], &to.node[i], &keep, old->t.data, new->t.data, sizeof(float)));
	}
	graph_clear(&from);
	graph_clear(&to);
	slice_clear(&keep);
	tensor_file_clear(&c.tensors);
	spec_clear(&c.spec);
	c.tensors = tensors;
	c.spec = less;
	return c;
}

static const char *export_pruned(const char *name, bool pruned_heads, struct hf_export_report *report)
{
	static char dir[1024];
	static int n;
	struct checkpoint c = cut(name);
	snprintf(dir, sizeof(dir), "%s/pruned-%d", scratch, n++);
	OK(hf_export(&c, dir, &(struct hf_export_options){.pruned_heads = pruned_heads}, report));
	checkpoint_clear(&c);
	return dir;
}

/* Logits of the checkpoint, which is released. */
static void answer(struct checkpoint *c, const struct backend *backend, float out[TEXTS * CLASSES])
{
	static const char *const texts[TEXTS] = {
	    "The film is good.", "bad", "a long story of love and war", "unreal !"};
	struct device dev = {.backend = backend};
	struct sample_view views[TEXTS];
	const uint32_t index[TEXTS] = {0, 1, 2, 3};
	struct model m = {.ckpt = *c};
	struct session s;
	struct encoding e;
	struct graph g;
	OK(backend->open(&dev.ctx, &(struct open_options){.threads = 1}));
	params_init(&m.params, dev);
	OK(spec_build(&g, &m.ckpt.spec, &shape_one));
	OK(checkpoint_to_params(&m.ckpt, &g, &m.params));
	graph_clear(&g);
	for (int i = 0; i < TEXTS; i++)
		views[i] = (struct sample_view){.kind = SAMPLE_TEXT, .text = texts[i], .bytes = strlen(texts[i])};
	OK(encoding_of_samples(&e, &m.ckpt.adapter, views, TEXTS, "texts"));
	OK(session_open(&s, &m.params, CLASSES, model_build, &m, &(struct session_options){.batch = TEXTS}));
	OK(session_forward(&s, &e, index, TEXTS));
	memcpy(out, s.logits, TEXTS * CLASSES * sizeof(*out));
	session_close(&s);
	encoding_close(&e);
	model_clear(&m);
	backend->close(dev.ctx);
}

/* Sums in the order of the inputs have the zeros behind everything else, so the reference gives the same bits; a CPU
 * adds in an order that depends on the sizes. */
static void padded__models_compute_the_same(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++)
		for (int cpu = 0; cpu < 2; cpu++) {
			const struct backend *backend = cpu ? &cpu_backend : &ref_backend;
			struct hf_export_report report;
			float whole[TEXTS * CLASSES], before[TEXTS * CLASSES], after[TEXTS * CLASSES];
			struct checkpoint all = import(folder(names[i])), c = cut(names[i]);
			struct checkpoint again = import(export_pruned(names[i], false, &report));
			for (int w = 0; w < 4; w++)
				assert_int_equal(again.spec.width[w], w % 2 ? 20 : full[i]);
			const int size = 12 / full[i];
			/* of a head: rows and biases of queries, keys and values, and columns of what reads them */
			const int head = 3 * (size * 12 + size) + 12 * size, unit = 12 + 1 + 12;
			assert_int_equal(report.heads, gone[i]);
			assert_int_equal(report.units, 13);
			assert_int_equal(report.zeros, gone[i] * head + 13 * unit);
			answer(&all, backend, whole);
			answer(&c, backend, before);
			answer(&again, backend, after);
			if (!cpu)
				assert_memory_equal(before, after, sizeof(before));
			for (int k = 0; k < TEXTS * CLASSES; k++)
				assert_true(fabsf(before[k] - after[k]) <= 1e-6f);
			assert_true(fabsf(whole[0] - before[0]) > 1e-3f); /* what was cut counts */
		}
}

static void padded__config_names_no_heads_that_are_gone(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct hf_export_report report;
		struct fs_bytes b = {0};
		char path[1024];
		OK(fs_join(path, sizeof(path), export_pruned(names[i], false, &report), "config.json"));
		OK(fs_read(path, &b));
		assert_null(strstr((const char *)b.data, "pruned_heads"));
		fs_bytes_clear(&b);
	}
}

/* Heads that are left out come back like that; units are filled up, for no version has widths of their own for layers.
 */
static void compact__heads_come_back(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct hf_export_report report;
		struct checkpoint c = cut(names[i]), again = import(export_pruned(names[i], true, &report));
		assert_int_equal(report.heads, gone[i]);
		assert_int_equal(report.zeros, 13 * (12 + 1 + 12));
		const int want[] = {1, 20, 2, 20}; /* of both: one head of layer 1 is gone, or none */
		for (int w = 0; w < 4; w++)
			assert_int_equal(again.spec.width[w], want[w]);
		for (int k = 0; k < c.tensors.n; k++) {
			const struct named_tensor *t = &c.tensors.item[k],
						  *other = tensor_file_find(&again.tensors, t->name);
			if (strstr(t->name, ".intermediate.") || strstr(t->name, "0.output.dense") ||
			    strstr(t->name, "1.output.dense"))
				continue;
			assert_true(shape_equal(t->t.shape, other->t.shape));
			assert_memory_equal(t->t.data, other->t.data, tensor_bytes(&t->t));
		}
		checkpoint_clear(&c);
		checkpoint_clear(&again);
	}
}

static void whole__models_get_no_zeros(void **state)
{
	(void)state;
	for (int compact = 0; compact < 2; compact++) {
		char dir[1024];
		struct hf_export_report report;
		struct checkpoint c = import(folder("bert"));
		snprintf(dir, sizeof(dir), "%s/whole-%d", scratch, compact);
		OK(hf_export(&c, dir, &(struct hf_export_options){.pruned_heads = compact}, &report));
		assert_int_equal(report.heads + report.units + report.zeros, 0);
		checkpoint_clear(&c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(padded__models_compute_the_same),
	    cmocka_unit_test(padded__config_names_no_heads_that_are_gone),
	    cmocka_unit_test(compact__heads_come_back),
	    cmocka_unit_test(whole__models_get_no_zeros),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
