/* WordPiece over a file of texts: their ids, to be compared with another tokenizer's, or the time that it takes.
 *
 *   bench_tokenize VOCABULARY TEXTS [--ids] [--seconds S] [--cap N] [--cased] [--keep-accents] [--strip-accents]
 * [--no-clean]
 *                  [--no-cjk] [--special]
 * TEXTS: each text is its number of bytes (32 bits, the machine's order) and its bytes. With --ids every text becomes
 * the number of its ids and the ids on standard output (32 bits each); else one JSON line: texts, bytes, ids, load_ms
 * of the vocabulary, rounds (at least one, for S seconds) and mb_s, the best round. bench/peers_tokenize.py drives it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "text/wordpiece.h"

struct arguments {
	const char *vocabulary, *texts;
	struct wordpiece_options options;
	bool ids;
	int cap;
	double seconds;
};

static int parse_arguments(struct arguments *a, int argc, char **argv)
{
	*a = (struct arguments){.options = wordpiece_options_default(), .cap = 1 << 20};
	if (argc < 3)
		return err_set(ERR_CONFIG, "usage: bench_tokenize VOCABULARY TEXTS [options]");
	a->vocabulary = argv[1];
	a->texts = argv[2];
	for (int i = 3; i < argc; i++) {
		if (!strcmp(argv[i], "--ids"))
			a->ids = true;
		else if (!strcmp(argv[i], "--cased"))
			a->options.lowercase = false;
		else if (!strcmp(argv[i], "--keep-accents"))
			a->options.strip_accents = WORDPIECE_ACCENTS_KEEP;
		else if (!strcmp(argv[i], "--strip-accents"))
			a->options.strip_accents = WORDPIECE_ACCENTS_STRIP;
		else if (!strcmp(argv[i], "--no-clean"))
			a->options.clean_text = false;
		else if (!strcmp(argv[i], "--no-cjk"))
			a->options.handle_chinese_chars = false;
		else if (!strcmp(argv[i], "--special"))
			a->options.special_tokens = true;
		else if (!strcmp(argv[i], "--cap") && i + 1 < argc)
			a->cap = atoi(argv[++i]);
		else if (!strcmp(argv[i], "--seconds") && i + 1 < argc)
			a->seconds = atof(argv[++i]);
		else
			return err_set(ERR_CONFIG, "bench_tokenize: '%s'", argv[i]);
	}
	return a->cap >= 2 ? 0 : err_set(ERR_CONFIG, "bench_tokenize: --cap is at least 2");
}

struct totals {
	long texts;
	double bytes, ids;
};

/* One walk over all texts. */
static int walk(
    const struct arguments *a, const struct wordpiece *p, const struct fs_bytes *b, int32_t *ids, struct totals *t)
{
	*t = (struct totals){0};
	for (size_t at = 0; at < b->size;) {
		uint32_t size;
		int n;
		bool truncated;

		if (b->size - at < sizeof(size))
			return err_set(ERR_DATA, "%s: cut", a->texts);
		memcpy(&size, b->data + at, sizeof(size));
		at += sizeof(size);
		if (size > b->size - at)
			return err_set(ERR_DATA, "%s: cut", a->texts);
		wordpiece_encode(p, (const char *)b->data + at, size, ids, a->cap, &n, &truncated);
		at += size;
		t->texts++;
		t->bytes += size;
		t->ids += n;
		if (a->ids) {
			int32_t count = n;
			fwrite(&count, sizeof(count), 1, stdout);
			fwrite(ids, sizeof(*ids), (size_t)n, stdout);
		}
	}
	return 0;
}

static int measure(
    const struct arguments *a, const struct wordpiece *p, const struct fs_bytes *b, int32_t *ids, double load_seconds)
{
	double begin = clock_now(), best = 1e30;
	struct totals t;
	int rounds = 0, rc = 0;

	do {
		double before = clock_now();
		rc = walk(a, p, b, ids, &t);
		double taken = clock_now() - before;
		if (taken < best)
			best = taken;
		rounds++;
	} while (!rc && clock_now() - begin < a->seconds);
	if (!rc)
		printf("{\"texts\": %ld, \"bytes\": %.0f, \"ids\": %.0f, \"load_ms\": %.2f, \"rounds\": %d, \"mb_s\": "
		       "%.2f}\n",
		    t.texts, t.bytes, t.ids, 1e3 * load_seconds, rounds, t.bytes / best / 1e6);
	return rc;
}

int main(int argc, char **argv)
{
	struct arguments a;
	struct vocabulary v = {0};
	struct wordpiece p = {0};
	struct fs_bytes b = {0};
	struct totals t;
	int32_t *ids = NULL;
	int rc = parse_arguments(&a, argc, argv);

	if (!rc)
		rc = fs_read(a.texts, &b);
	double before = clock_now();
	if (!rc)
		rc = vocabulary_read(&v, a.vocabulary, VOCABULARY_FAULTS_KEPT);
	if (!rc)
		rc = wordpiece_init(&p, &v, &a.options);
	double load_seconds = clock_now() - before;
	if (!rc) {
		ids = mem_alloc((size_t)a.cap, sizeof(*ids));
		rc = ids ? 0 : ERR_NOMEM;
	}
	if (!rc)
		rc = a.ids ? walk(&a, &p, &b, ids, &t) : measure(&a, &p, &b, ids, load_seconds);
	if (rc)
		fprintf(stderr, "%s\n", err_message());
	mem_free(ids);
	wordpiece_clear(&p);
	vocabulary_clear(&v);
	fs_bytes_clear(&b);
	return rc ? 1 : 0;
}
