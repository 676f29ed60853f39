/* A config on the embedded digits, and a folder to keep files in, for the tests of this folder. */
#ifndef TESTS_PIPELINE_CONFIG_TEXT_H
#define TESTS_PIPELINE_CONFIG_TEXT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"

#define CONFIG_TEXT                                                                                                    \
	"name: t\nseed: 3\nthreads: 1\n"                                                                               \
	"data: {source: digits, mean: [0.3], std: [0.35], augment: {crop_padding: 1}}\n"                               \
	"models:\n  big: {family: mlp, hidden: [9, 5]}\n  small: {family: mlp, hidden: [3]}\n"                         \
	"stages:\n  teacher: {kind: train, model: big, epochs: 1}\n"                                                   \
	"  student: {kind: distill, model: small, teacher: teacher, epochs: 2}\n"                                      \
	"  prune: {sparsity: 0.5, epochs: 0, exclude: [fc2]}\n"                                                        \
	"  quantize: {input: prune, method: static}\n  evaluate:\n"

static char folder[256];

static inline int folder_setup(void **state)
{
	const char *tmp = getenv("TMPDIR");
	(void)state;
	snprintf(folder, sizeof(folder), "%s/pipeline-test-XXXXXX", tmp ? tmp : "/tmp");
	return !mkdtemp(folder) || chdir(folder) != 0 || fs_write("t.yaml", CONFIG_TEXT, strlen(CONFIG_TEXT)) != 0;
}

static inline int folder_teardown(void **state)
{
	(void)state;
	return chdir("/") != 0 || fs_remove_tree(folder) != 0;
}

#endif
