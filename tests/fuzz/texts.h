/* What the fuzz targets of texts share: the bytes become a data set through a file in memory. */
#ifndef TESTS_FUZZ_TEXTS_H
#define TESTS_FUZZ_TEXTS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "data/dataset.h"

static inline void require(bool holds)
{
	if (!holds)
		abort();
}

/* No text twice in different splits, each label in range, each text without blanks at its ends. */
static inline void check_samples(const struct dataset *d)
{
	for (int s = 0; s < SPLIT_COUNT; s++) {
		for (int64_t i = 0; i < d->n[s]; i++) {
			struct sample_view v;

			require(dataset_sample(d, (enum split)s, i, &v) == 0 && v.kind == SAMPLE_TEXT);
			require(v.bytes > 0 && strlen(v.text) == v.bytes && v.text[0] != ' ');
			require(v.text[v.bytes - 1] != '\n');
			require(d->pairs == (v.pair != NULL));
			require(!d->pairs || (v.pair_bytes > 0 && strlen(v.pair) == v.pair_bytes));
			for (int c = 0; d->target == TARGET_SET && c < d->classes; c++)
				require(d->split[s].label_set[i * d->classes + c] <= 1);
			if (d->target == TARGET_CLASS)
				require(d->split[s].label[i] >= 0 && d->split[s].label[i] < d->classes);
		}
	}
	/* Splits that a column names may share texts. */
	require(d->notes.of[NOTE_FOUND].n > 0 ||
		d->duplicates_train_val + d->duplicates_train_test + d->duplicates_val_test == 0);
	require(d->n[0] + d->n[1] + d->n[2] <= d->rows && d->distinct_texts <= d->rows);
}

static inline void fuzz_texts(const uint8_t *data, size_t size, struct data_options o)
{
	struct dataset d;
	char path[64];
	int fd = memfd_create("texts", 0), rc;

	require(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	o.path = path;
	rc = dataset_open(&d, &o, NULL, 1, true);
	if (!rc)
		check_samples(&d);
	else
		require(rc == ERR_DATA && strncmp(err_message(), path, strlen(path)) == 0);
	dataset_close(&d);
	close(fd);
}

#endif
