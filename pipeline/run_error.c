/* The record of a failure. */
#include "pipeline/run_error.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "pipeline/files.h"
#include "pipeline/run_folder.h"

static int write_record(const char *out, int status, const char *message, const char *stage)
{
	char utc[32];
	bool ok;
	cJSON *json;
	struct json_out root = json_out_begin(&ok);
	clock_utc(utc);
	json_out_number(root, "status", status);
	json_out_text(root, "message", message);
	json_out_text(root, "stage", stage);
	json_out_text(root, "time", utc);
	int rc = json_out_end(root, &json);
	if (!rc)
		rc = files_write_json(out, "error.json", json);
	cJSON_Delete(json);
	return rc;
}

int run_error_write_text(const char *out, int status, const char *message)
{
	return write_record(out, status, message, NULL);
}

void run_error_write(const char *out, int rc, const char *stage)
{
	char note[RUN_FOLDER_PATH + 256];
	int fd = -1;
	if (rc == ERR_INTERRUPTED)
		return;
	char *message = mem_strdup(err_message());
	if (run_folder_lock(out, &fd, note, sizeof(note)) == 0)
		write_record(out, err_exit_status(rc), message ? message : "out of memory", stage);
	if (fd >= 0)
		close(fd);
	err_set((enum err)rc, "%s", message ? message : "out of memory");
	mem_free(message);
}

void run_error_remove(const char *out)
{
	char path[RUN_FOLDER_PATH + 32];
	snprintf(path, sizeof(path), "%s/error.json", out);
	unlink(path);
}
