/* Chains: which stages a change of the config reaches, and memory that runs out while one is made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "pipeline/config_text.h"
#include "pipeline/chain.h"

#define STAGES 5

static void keys_of(const char *set, const char *set2, char key[STAGES][HASH_HEX])
{
	const char *const sets[] = {set, set2};
	struct run_config config;
	struct chain c;
	if (run_config_load(&config, "t.yaml", sets, !!set + !!set2) != 0 || chain_open(&c, &config, "out", false) != 0)
		fail_msg("%s", err_message());
	assert_int_equal(c.n, STAGES);
	for (int i = 0; i < STAGES; i++) {
		memcpy(key[i], c.stage[i].key, HASH_HEX);
		assert_int_equal(c.stage[i].state, STAGE_TO_RUN);
	}
	chain_close(&c);
	run_config_clear(&config);
}

static void key__changes_reach_the_stages_that_they_decide(void **state)
{
	static const struct {
		const char *set, *set2;
		const char *changed; /* per stage: x or = */
	} cases[] = {{"seed=3", NULL, "====="}, {"seed=4", NULL, "xxxxx"}, {"threads=2", NULL, "xxxxx"},
	    {"data.mean=[0.31]", NULL, "xxxxx"}, {"data.augment.flip=true", NULL, "xxxxx"},
	    {"data.augment.erase=0.1", NULL, "xxxxx"}, {"data.augment.hue=0", NULL, "....."},
	    {"task.mixup=0.1", NULL, "xxxxx"}, {"models.big.hidden=[9, 6]", NULL, "xxxxx"},
	    {"models.small.hidden=[4]", NULL, "=xxxx"}, {"stages.teacher.lr=0.002", NULL, "xxxxx"},
	    {"stages.student.temperature=3", NULL, "=xxxx"}, {"stages.student.temperature=4", NULL, "====="},
	    {"stages.prune.sparsity=0.6", NULL, "==xxx"}, {"stages.quantize.observer=minmax", NULL, "===xx"},
	    {"stages.quantize.input=student", NULL, "===xx"}, {"stages.evaluate.latency_runs=7", NULL, "====x"},
	    {"stages.evaluate.inputs=[teacher]", NULL, "====x"}, {"out=elsewhere", NULL, "====="},
	    {"name=u", "device.train=cpu", "====="}};
	char base[STAGES][HASH_HEX], key[STAGES][HASH_HEX];
	(void)state;
	keys_of(NULL, NULL, base);
	for (size_t k = 0; k < sizeof(cases) / sizeof(*cases); k++) {
		keys_of(cases[k].set, cases[k].set2, key);
		for (int i = 0; i < STAGES; i++)
			if ((strcmp(key[i], base[i]) != 0) != (cases[k].changed[i] == 'x'))
				fail_msg("%s: stage %d %s", cases[k].set, i + 1,
				    cases[k].changed[i] == 'x' ? "keeps its key" : "has another key");
	}
}

static void chain__opening_writes_nothing(void **state)
{
	char key[STAGES][HASH_HEX];
	struct fs_list list;
	(void)state;
	keys_of(NULL, NULL, key);
	assert_int_equal(fs_list(".", &list), 0);
	assert_int_equal(list.n, 1); /* t.yaml */
	fs_list_clear(&list);
}

static void chain__survives_each_failing_allocation(void **state)
{
	const struct chain zero = {0};
	struct run_config config;
	struct chain c;
	int rc = ERR_NOMEM;
	uint64_t n = 1;
	(void)state;
	assert_int_equal(run_config_load(&config, "t.yaml", NULL, 0), 0);
	for (; rc != 0; n++) {
		mem_fail_at(n);
		rc = chain_open(&c, &config, "out", false);
		if (!rc && mem_count() >= n)
			fail_msg("allocation %d failed and nobody noticed", (int)n);
		mem_fail_at(0);
		if (rc != 0 && rc != ERR_NOMEM)
			fail_msg("allocation %d: %d %s", (int)n, rc, err_message());
		if (rc != 0)
			assert_memory_equal(&c, &zero, sizeof(c));
		assert_true(n < 20000);
	}
	assert_true(n > 100);
	chain_close(&c);
	run_config_clear(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(key__changes_reach_the_stages_that_they_decide),
	    cmocka_unit_test(chain__opening_writes_nothing), cmocka_unit_test(chain__survives_each_failing_allocation)};
	return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
