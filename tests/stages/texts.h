/* A small corpus as a CSV file: texts of 1 to 40 words, one class each or any of three labels. */
#ifndef TESTS_STAGES_TEXTS_H
#define TESTS_STAGES_TEXTS_H

#include "base/rng.h"
#include "base/str.h"
#include "stages/rig.h"

enum { TEXTS = 400 };

/* Every text ends with a word for each of its labels, of letters that no other word has, and with its number. */
static inline void texts_write(const char *path)
{
	static const char *const marks[] = {"zzzz", "wwww", "qqqq"};
	struct str csv = {0};
	str_add(&csv, "text,label,fruit,water,sky\n");
	for (int i = 0; i < TEXTS; i++) {
		struct rng r = rng_make(5, "texts", RNG_BENCH, "words");
		int words = 1 + (int)(rng_draw(r, 0, (uint64_t)i, 0).w[0] % 40), set = i % 7 + (i % 7 == 6);
		for (int w = 0; w < words; w++)
			str_addf(&csv, "%s%c%c", w ? " " : "",
			    'a' + (int)(rng_draw(r, 1, (uint64_t)i, (uint32_t)w).w[0] % 20),
			    'a' + (int)(rng_draw(r, 1, (uint64_t)i, (uint32_t)w).w[1] % 3));
		for (int c = 0; c < 3; c++)
			if (set >> c & 1 || set == 0)
				str_addf(&csv, " %s", marks[c]);
		str_addf(&csv, " n%d,%s,%d,%d,%d\n", i, set & 1 ? "odd" : "even", set == 0 || set & 1,
		    set == 0 || (set >> 1 & 1), set == 0 || (set >> 2 & 1));
	}
	RIG_OK(fs_write(path, str_text(&csv), csv.len));
	str_clear(&csv);
}

/* Opens the rig on the corpus; several: the three labels are the task. */
static inline void texts_open(struct rig *r, bool several)
{
	char path[] = "/tmp/pipeline-texts-XXXXXX", yaml[256];
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	texts_write(path);
	snprintf(yaml, sizeof(yaml), "{source: csv, path: %s, text: text, %s, val_fraction: 0.25}", path,
	    several ? "labels: [fruit, water, sky]" : "label: label");
	rig_open(r, yaml);
	remove(path);
}

#endif
