#include "stages/seen.h"

#include <inttypes.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "data/prints.h"
#include "stages/common.h"

#define PRINTS_SEAL "data_prints_sha256"

static void clear(struct prints p[SPLIT_COUNT])
{
	for (int s = 0; s < SPLIT_COUNT; s++)
		prints_clear(&p[s]);
}

static const char *named_hash(const struct checkpoint *c)
{
	return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(c->info, PRINTS_SEAL));
}

int seen_read(const char *dir, const struct checkpoint *c, struct prints p[SPLIT_COUNT], bool *known)
{
	char folder[1024], path[1024], hex[HASH_HEX];
	const char *want = named_hash(c);
	for (int s = 0; s < SPLIT_COUNT; s++)
		p[s] = (struct prints){0};
	*known = false;
	int rc = checkpoint_folder(folder, sizeof(folder), dir);
	if (!rc)
		rc = fs_join(path, sizeof(path), folder, PRINTS_FILE);
	if (rc || !fs_exists(path))
		return rc;
	rc = prints_read(p, path, hex);
	if (rc == ERR_IO)
		rc = err_set(ERR_CHECKPOINT, "%s", err_message());
	if (!rc && want && strcmp(want, hex) != 0)
		rc =
		    err_set(ERR_CHECKPOINT, "%s: its SHA-256 is %s, but checkpoint_info.json says %s", path, hex, want);
	*known = !rc;
	if (rc)
		clear(p);
	return rc;
}

/* What a model was fine-tuned from, or begins with, has learned from its own samples, too. */
static int join_parent(const struct stage_run *run, const char *dir, struct prints p[SPLIT_COUNT])
{
	struct prints kept[SPLIT_COUNT] = {0};
	struct checkpoint parent;
	bool known;
	int rc = checkpoint_read_info(&parent, dir);
	if (!rc)
		rc = stage_check_planned(run, dir, &parent);
	if (!rc)
		rc = seen_read(dir, &parent, kept, &known);
	for (int s = 0; !rc && s < SPLIT_COUNT; s++)
		rc = prints_join(&p[s], &kept[s]);
	clear(kept);
	checkpoint_clear(&parent);
	return rc;
}

/* None of them is in another split: they were left out when they were read. */
static int join_transfer(const struct transfer *t, struct prints *p)
{
	struct prints own;
	int rc = transfer_prints(t, &own);
	if (!rc)
		rc = prints_join(p, &own);
	prints_clear(&own);
	return rc;
}

static int put_hash(const char *path, cJSON *info)
{
	char hex[HASH_HEX];
	int rc = hash_file(path, hex);
	cJSON_DeleteItemFromObjectCaseSensitive(info, PRINTS_SEAL);
	if (!rc && !cJSON_AddStringToObject(info, PRINTS_SEAL, hex))
		rc = err_set(ERR_NOMEM, "out of memory");
	return rc;
}

/* By them, evaluating finds samples that the model knows from its training. */
int seen_save(const struct stage_run *run, struct checkpoint *c)
{
	struct prints p[SPLIT_COUNT] = {0};
	char path[1024];
	int rc = fs_join(path, sizeof(path), run->out_dir, PRINTS_FILE);
	for (int s = SPLIT_TRAIN; !rc && s <= SPLIT_VAL; s++)
		rc = dataset_split_prints(run->data, (enum split)s, &p[s]);
	if (!rc && run->transfer)
		rc = join_transfer(run->transfer, &p[SPLIT_TRAIN]);
	if (!rc && run->input_dir)
		rc = join_parent(run, run->input_dir, p);
	if (!rc && run->pretrained_dir)
		rc = join_parent(run, run->pretrained_dir, p);
	if (!rc)
		rc = prints_write(path, p);
	if (!rc)
		rc = put_hash(path, c->info);
	clear(p);
	return rc;
}

static int compare(
    const struct stage_run *run, enum split mine, enum split theirs, const struct prints *kept, const char *dir)
{
	struct prints own = {0};
	if (!dataset_has(run->data, mine))
		return 0;
	int rc = dataset_split_prints(run->data, mine, &own);
	int64_t n = rc ? 0 : prints_overlap(&own, &kept[theirs]);
	if (n > 0)
		stage_line(run, "warning: %s: %" PRId64 " of the %" PRId64 " %s samples were in its %s split", dir, n,
		    own.n, split_names[mine], theirs == SPLIT_TRAIN ? "training" : split_names[theirs]);
	prints_clear(&own);
	return rc;
}

int seen_count(const struct stage_run *run, const struct checkpoint *c, const char *dir, int64_t n[SPLIT_COUNT])
{
	struct prints kept[SPLIT_COUNT], test = {0};
	bool known;
	for (int s = 0; s < SPLIT_COUNT; s++)
		n[s] = -1;
	int rc = seen_read(dir, c, kept, &known);
	if (rc)
		return rc;
	known &= dataset_has(run->data, SPLIT_TEST);
	if (known)
		rc = dataset_split_prints(run->data, SPLIT_TEST, &test);
	for (int s = SPLIT_TRAIN; known && !rc && s <= SPLIT_VAL; s++)
		n[s] = prints_overlap(&test, &kept[s]);
	prints_clear(&test);
	clear(kept);
	return rc;
}

int seen_warn(const struct stage_run *run, const struct checkpoint *c, const char *dir)
{
	struct prints kept[SPLIT_COUNT];
	bool known;
	int rc = seen_read(dir, c, kept, &known);
	if (rc)
		return rc;
	if (!known && named_hash(c))
		stage_line(
		    run, "warning: %s: " PRINTS_FILE " is missing: samples that it was trained on are not known", dir);
	rc = compare(run, SPLIT_VAL, SPLIT_TRAIN, kept, dir);
	if (!rc)
		rc = compare(run, SPLIT_TEST, SPLIT_TRAIN, kept, dir);
	if (!rc)
		rc = compare(run, SPLIT_TEST, SPLIT_VAL, kept, dir);
	clear(kept);
	return rc;
}
