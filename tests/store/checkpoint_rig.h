/* What the tests of checkpoints share: a folder, a device and a small model. */
#ifndef TESTS_STORE_CHECKPOINT_RIG_H
#define TESTS_STORE_CHECKPOINT_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "exec/executor.h"
#include "graph/families.h"
#include "graph/pass.h"
#include "ref/ref.h"
#include "store/checkpoint_impl.h"
#include "store/folder.h"

/* A CNN with batch norm on 6x6x2 images, odd widths. */
static const struct model_spec source = {.family = &family_cnn,
    .input = {.height = 6, .width = 6, .channels = 2},
    .classes = 4,
    .n_width = 3,
    .width = (int[]){3, 5, 7},
    .own = &(struct cnn_spec){.kernel = {2, (int[]){3, 3}},
	.pad = {2, (int[]){1, 1}},
	.pool = {2, (int[]){2, 1}},
	.batchnorm = true,
	.conv_bias = true}};
static struct model_spec small_spec(void)
{
	struct model_spec s;

	if (spec_copy(&s, &source) != 0)
		fail_msg("%s", err_message());
	return s;
}

/* Half of fc1.weight masked, every running variance 1 + i/8. */
static void fill_float(struct checkpoint *c, struct param_store *store)
{
	struct graph g;
	float var[5];
	uint8_t mask[4096];
	const struct param *w;

	*c = (struct checkpoint){.spec = small_spec(), .form = FORM_FLOAT};
	params_init(store, dev);
	assert_int_equal(checkpoint_graph(c, &shape_one, false, &g), 0);
	assert_int_equal(params_add_graph(store, &g, 5), 0);
	for (int i = 0; i < 5; i++)
		var[i] = 1 + (float)i / 8;
	assert_int_equal(params_write(store, "bn2.running_var", var), 0);
	w = params_find(store, "fc1.weight");
	for (int64_t i = 0; i < shape_count(w->value.shape); i++)
		mask[i] = i % 2 == 0;
	assert_int_equal(params_set_mask(store, "fc1.weight", mask), 0);
	if (checkpoint_from_params(c, &g, store) != 0)
		fail_msg("%s", err_message());
	graph_clear(&g);
	c->info = cJSON_CreateObject();
	cJSON_AddStringToObject(c->info, "model_name", "small");
	cJSON_AddStringToObject(c->info, "technique", "pruned");
	cJSON_AddNumberToObject(cJSON_AddObjectToObject(c->info, "hyperparameters"), "seed", 5);
	cJSON_AddNumberToObject(cJSON_AddObjectToObject(c->info, "parameters"), "removed", 12);
}

static void must_save(struct checkpoint *c, const char *where)
{
	if (checkpoint_save(c, where) != 0)
		fail_msg("%s", err_message());
}

static double number(const cJSON *info, const char *a, const char *b)
{
	const cJSON *item = cJSON_GetObjectItem(info, a);

	item = b ? cJSON_GetObjectItem(item, b) : item;
	if (!cJSON_IsNumber(item))
		fail_msg("no number %s %s", a, b ? b : "");
	return item->valuedouble;
}

#endif
