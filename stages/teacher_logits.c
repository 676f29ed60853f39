#include "stages/teacher_logits.h"

#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/mem.h"
#include "data/prints.h"
#include "stages/common.h"
#include "stages/partial.h"

#define MAGIC       "LOGITS1\n"
#define WORD        8
#define AT_KEY      WORD
#define AT_COUNTS   (AT_KEY + HASH_DIGITS)
#define AT_ROWS     (AT_COUNTS + 2 * WORD)
#define HASH_DIGITS (HASH_HEX - 1)

static size_t rows_bytes(int64_t n, int outputs)
{
	return (size_t)n * (size_t)outputs * sizeof(float);
}

static size_t file_bytes(int64_t n, int outputs)
{
	return AT_ROWS + rows_bytes(n, outputs) + HASH_DIGITS;
}

static void put_word(unsigned char *p, uint64_t v)
{
	for (int k = 0; k < WORD; k++)
		p[k] = (unsigned char)(v >> (8 * k));
}

static void fill_head(unsigned char *p, const char *key, int64_t n, int outputs)
{
	memcpy(p, MAGIC, WORD);
	memcpy(p + AT_KEY, key, HASH_DIGITS);
	put_word(p + AT_COUNTS, (uint64_t)n);
	put_word(p + AT_COUNTS + WORD, (uint64_t)outputs);
}

/* The same machine with another program, or the same program on another machine, may round differently. */
static int hash_program(struct hash *h, const struct stage_run *run)
{
	static const char *const field[] = {"program_version", "program_commit"};
	cJSON *device = cJSON_CreateObject();
	int rc = device ? run->train_dev.backend->describe(run->train_dev.ctx, device) : ERR_NOMEM;
	cJSON_DeleteItemFromObjectCaseSensitive(device, "memory_free"); /* of a GPU: it is another every time */
	char *text = rc ? NULL : cJSON_PrintUnformatted(device);
	if (!rc)
		rc = text ? hash_add_str(h, text) : err_set(ERR_NOMEM, "out of memory");
	for (int i = 0; !rc && i < 2; i++) {
		const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(run->info, field[i]));
		rc = hash_add_str(h, value ? value : "");
	}
	cJSON_free(text);
	cJSON_Delete(device);
	return rc;
}

/* Prints in the order of the samples: with whom a sample shares its batch is part of it. */
static int hash_samples(struct hash *h, const struct dataset *d)
{
	int rc = 0;
	for (int64_t i = 0; !rc && i < d->n[SPLIT_TRAIN]; i++) {
		struct sample_view v;
		uint64_t print = d->split[SPLIT_TRAIN].print ? d->split[SPLIT_TRAIN].print[i] : 0;
		if (!d->split[SPLIT_TRAIN].print) {
			rc = dataset_sample(d, SPLIT_TRAIN, i, &v);
			if (!rc)
				rc = print_sample(&v, &print);
		}
		unsigned char bytes[WORD];
		put_word(bytes, print);
		if (!rc)
			rc = hash_add(h, bytes, sizeof(bytes));
	}
	return rc;
}

int teacher_logits_key(const struct stage_run *run, const struct checkpoint *teacher, const struct dataset *data,
    int outputs, char key[HASH_HEX])
{
	struct hash *h;
	char numbers[128], adapter[HASH_HEX];
	snprintf(numbers, sizeof(numbers), "teacher logits 1 batch %d outputs %d samples %" PRId64,
	    TEACHER_LOGITS_BATCH, outputs, data->n[SPLIT_TRAIN]);
	int rc = hash_open(&h);
	if (rc)
		return rc;
	rc = adapter_key(&teacher->adapter, adapter);
	const char *const texts[] = {numbers, teacher->info_sha256, teacher->sha256, adapter, teacher->task.kind->name};
	for (size_t i = 0; !rc && i < sizeof(texts) / sizeof(*texts); i++)
		rc = hash_add_str(h, texts[i]);
	if (!rc)
		rc = hash_program(h, run);
	if (!rc)
		rc = hash_samples(h, data);
	if (!rc)
		rc = hash_hex(h, key);
	hash_close(h);
	return rc;
}

static int check_file(const char *path, const struct fs_bytes *b, const char *key, int64_t n, int outputs)
{
	unsigned char head[AT_ROWS];
	char hex[HASH_HEX];
	fill_head(head, key, n, outputs);
	if (b->size != file_bytes(n, outputs))
		return err_set(ERR_CHECKPOINT, "%s: %zu bytes; the logits of these samples are %zu", path, b->size,
		    file_bytes(n, outputs));
	if (memcmp(b->data, head, sizeof(head)) != 0)
		return err_set(ERR_CHECKPOINT, "%s: holds other logits than those of its name", path);
	int rc = hash_bytes(b->data, b->size - HASH_DIGITS, hex);
	if (!rc && memcmp(b->data + b->size - HASH_DIGITS, hex, HASH_DIGITS) != 0)
		rc = err_set(ERR_CHECKPOINT, "%s: its hash does not fit its content", path);
	return rc;
}

static void take(struct teacher_logits *l, int64_t n, int outputs)
{
	l->row = (float *)(void *)(l->file.data + AT_ROWS);
	l->n = n;
	l->outputs = outputs;
}

int teacher_logits_find(struct teacher_logits *l, const struct stage_run *run, const char *key, int64_t n, int outputs)
{
	char path[1400];
	*l = (struct teacher_logits){0};
	if (!run->store)
		return 0;
	int rc = fs_join(path, sizeof(path), run->store, key);
	if (rc || !fs_exists(path))
		return rc;
	rc = fs_read_own(path, file_bytes(n, outputs), &l->file);
	if (!rc)
		rc = check_file(path, &l->file, key, n, outputs);
	if (!rc) {
		take(l, n, outputs);
		utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW); /* in use: `clean` goes by its age */
		return 1;
	}
	teacher_logits_clear(l);
	if (rc == ERR_NOMEM)
		return rc;
	stage_line(run, "warning: the teacher's logits are computed anew: %s", err_message());
	err_clear();
	return 0;
}

static int copy_batch(void *user, struct session *s, int64_t first, int count)
{
	const struct teacher_logits *l = user;
	float *to = l->row + first * l->outputs;
	memcpy(to, s->logits, rows_bytes(count, l->outputs));
	for (int64_t i = 0; i < (int64_t)count * l->outputs; i++)
		if (!isfinite(to[i]))
			return err_set(ERR_DATA, "the teacher's logits of training sample %" PRId64 " are not finite",
			    first + i / l->outputs);
	return 0;
}

int teacher_logits_compute(struct teacher_logits *l, const struct stage_run *run, struct session *s,
    const struct encoding *samples, const char *key)
{
	const int64_t n = samples->n;
	char hex[HASH_HEX];
	*l = (struct teacher_logits){.file = {.size = file_bytes(n, s->classes)}};
	l->file.data = mem_alloc(l->file.size + 1, 1);
	if (!l->file.data)
		return ERR_NOMEM;
	take(l, n, s->classes);
	fill_head(l->file.data, key, n, s->classes);
	int rc = partial_run(run, key, s, samples, copy_batch, l);
	if (rc == ERR_INTERRUPTED)
		rc = err_set(ERR_INTERRUPTED, "interrupted while computing the teacher's logits");
	if (!rc)
		rc = hash_bytes(l->file.data, l->file.size - HASH_DIGITS, hex);
	if (!rc)
		memcpy(l->file.data + l->file.size - HASH_DIGITS, hex, HASH_DIGITS);
	else
		teacher_logits_clear(l);
	return rc;
}

/* Written aside and renamed: who looks at the same time finds all of it or nothing. */
void teacher_logits_keep(struct teacher_logits *l, const struct stage_run *run, const char *key)
{
	char path[1400];
	struct fs_out out;
	if (!run->store)
		return;
	int rc = fs_join(path, sizeof(path), run->store, key);
	if (!rc)
		rc = fs_create_own(&out, path);
	if (!rc) {
		fwrite(l->file.data, 1, l->file.size, out.f); /* a failure stays in the stream */
		rc = fs_commit(&out);
	}
	if (rc)
		stage_line(run, "warning: the teacher's logits are not kept: %s", err_message());
	err_clear();
}

void teacher_logits_clear(struct teacher_logits *l)
{
	fs_bytes_clear(&l->file);
	*l = (struct teacher_logits){0};
}
