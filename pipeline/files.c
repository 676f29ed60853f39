/* Files of a run's folder. */
#include "pipeline/files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/json_out.h"
#include "base/mem.h"

#define FILES_PATH     1200
#define FILES_JSON_MAX (64 << 20)

static bool holds(const char *path, const char *text)
{
	struct fs_bytes have = {0};
	bool same = fs_exists(path) && fs_read(path, &have) == 0 && have.size == strlen(text) &&
		    memcmp(have.data, text, have.size) == 0;
	fs_bytes_clear(&have);
	return same;
}

int files_write_text(const char *dir, const char *name, const char *text)
{
	char path[FILES_PATH];
	int rc = fs_join(path, sizeof(path), dir, name);
	if (rc || holds(path, text))
		return rc;
	return fs_write(path, text, strlen(text));
}

int files_write_json(const char *dir, const char *name, const cJSON *json)
{
	char *text = json_print(json, true);
	int rc = text ? files_write_text(dir, name, text) : err_set(ERR_NOMEM, "out of memory");
	cJSON_free(text);
	return rc;
}

int files_read_json(const char *dir, const char *name, cJSON **out)
{
	char path[FILES_PATH];
	struct fs_bytes bytes = {0};
	*out = NULL;
	int rc = fs_join(path, sizeof(path), dir, name);
	if (!rc && fs_exists(path))
		rc = fs_read_regular(path, FILES_JSON_MAX, &bytes);
	if (!rc && bytes.data)
		*out = cJSON_ParseWithLength((const char *)bytes.data, bytes.size);
	fs_bytes_clear(&bytes);
	if (!rc)
		err_clear();
	return rc;
}

int files_temporary(char *folder, size_t cap)
{
	const char *tmp = getenv("TMPDIR");
	int rc = fs_join(folder, cap, tmp && *tmp ? tmp : "/tmp", "pipeline-XXXXXX");
	if (!rc && !mkdtemp(folder))
		rc = err_set(ERR_IO, "%s: %s", folder, strerror(errno));
	return rc;
}

int files_clear_away(const char *path, int rc)
{
	char *message = rc ? mem_strdup(err_message()) : NULL;
	fs_remove_tree(path);
	if (rc)
		err_set((enum err)rc, "%s", message ? message : "out of memory");
	else
		err_clear();
	mem_free(message);
	return rc;
}
