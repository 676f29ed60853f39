#include "pipeline/seen.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "stages/seen.h"

/* Whether the checkpoint was made with this very split as its split s. */
static bool same_split(const cJSON *info, enum split s, const char *sha256)
{
	const cJSON *data = cJSON_GetObjectItemCaseSensitive(info, "data");
	const cJSON *splits = cJSON_GetObjectItemCaseSensitive(data, "splits");
	const cJSON *split = cJSON_GetObjectItemCaseSensitive(splits, split_names[s]);
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(split, "sha256"));
	return text && !strcmp(text, sha256);
}

static void compare_split(const char *dir, const cJSON *info, enum split s, const struct prints *kept,
    const struct dataset *d, const struct prints *test, struct json_out seen)
{
	int64_t n = -1;
	if (kept)
		n = prints_overlap(test, kept);
	if (same_split(info, s, d->hash[SPLIT_TEST]))
		n = test->n;
	if (n > 0 && !kept) /* else the stage has said it */
		fprintf(stderr, "warning: %s: %" PRId64 " of the %" PRId64 " test samples were in its %s split\n", dir,
		    n, test->n, s == SPLIT_TRAIN ? "training" : split_names[s]);
	if (n < 0)
		json_out_null(seen, split_names[s]);
	else
		json_out_number(seen, split_names[s], (double)n);
}

int seen_samples(const char *dir, const struct dataset *d, const struct prints *test, struct json_out model)
{
	struct prints kept[SPLIT_COUNT] = {0};
	struct checkpoint c;
	bool known = false;
	int rc = checkpoint_read_info(&c, dir);
	if (!rc)
		rc = seen_read(dir, &c, kept, &known);
	struct json_out seen = json_out_object(model, "seen");
	for (int s = SPLIT_TRAIN; !rc && s <= SPLIT_VAL; s++)
		compare_split(dir, c.info, (enum split)s, known ? &kept[s] : NULL, d, test, seen);
	for (int s = 0; s < SPLIT_COUNT; s++)
		prints_clear(&kept[s]);
	checkpoint_clear(&c);
	return rc;
}
