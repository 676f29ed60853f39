#include "stages/seen.h"

#include <inttypes.h>

#include "base/fs.h"
#include "data/prints.h"
#include "stages/common.h"

/* What a model was fine-tuned from has learned from its own samples, too. */
static int join_parent(const struct stage_run *run, struct prints p[SPLIT_COUNT])
{
	struct prints parent[SPLIT_COUNT] = {0};
	char path[1024];
	int rc = fs_join(path, sizeof(path), run->input_dir, PRINTS_FILE);
	if (rc || !fs_exists(path))
		return rc;
	rc = prints_read(parent, path);
	for (int s = 0; !rc && s < SPLIT_COUNT; s++)
		rc = prints_join(&p[s], &parent[s]);
	for (int s = 0; s < SPLIT_COUNT; s++)
		prints_clear(&parent[s]);
	return rc;
}

/* By them, evaluating finds samples that the model knows from its training. */
int seen_save(const struct stage_run *run)
{
	struct prints p[SPLIT_COUNT] = {0};
	char path[1024];
	int rc = fs_join(path, sizeof(path), run->out_dir, PRINTS_FILE);
	for (int s = SPLIT_TRAIN; !rc && s <= SPLIT_VAL; s++)
		rc = dataset_split_prints(run->data, (enum split)s, &p[s]);
	if (!rc && run->input_dir)
		rc = join_parent(run, p);
	if (!rc)
		rc = prints_write(path, p);
	for (int s = 0; s < SPLIT_COUNT; s++)
		prints_clear(&p[s]);
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

int seen_warn(const struct stage_run *run, const char *dir)
{
	struct prints kept[SPLIT_COUNT] = {0};
	char path[1024];
	if (!fs_is_dir(dir))
		return 0;
	int rc = fs_join(path, sizeof(path), dir, PRINTS_FILE);
	if (rc || !fs_exists(path))
		return rc;
	rc = prints_read(kept, path);
	if (!rc)
		rc = compare(run, SPLIT_VAL, SPLIT_TRAIN, kept, dir);
	if (!rc)
		rc = compare(run, SPLIT_TEST, SPLIT_TRAIN, kept, dir);
	if (!rc)
		rc = compare(run, SPLIT_TEST, SPLIT_VAL, kept, dir);
	for (int s = 0; s < SPLIT_COUNT; s++)
		prints_clear(&kept[s]);
	return rc;
}
