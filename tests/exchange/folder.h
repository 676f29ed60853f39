/* Small folders of `transformers` (make_folders.py), and changed copies of them. */
#ifndef TESTS_EXCHANGE_FOLDER_H
#define TESTS_EXCHANGE_FOLDER_H

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "exchange/hf.h"

#define FOLDERS  TEST_SOURCE_DIR "/exchange/folders"
#define OK(call) assert_ok_at((call), #call, __LINE__)

static inline void assert_ok_at(int rc, const char *call, int line)
{
	if (rc)
		fail_msg("line %d: %s: %d, %s", line, call, rc, err_message());
}

static char scratch[] = "/tmp/pipeline-hf-XXXXXX";

static inline int set_up(void **state)
{
	(void)state;
	return mkdtemp(scratch) ? 0 : -1;
}

static inline int tear_down(void **state)
{
	(void)state;
	return fs_remove_tree(scratch);
}

static inline const char *folder(const char *name)
{
	static char path[1024];
	OK(fs_join(path, sizeof(path), FOLDERS, name));
	return path;
}

static inline void copy_folder(const char *name, const char *to)
{
	struct fs_list list;
	char from[1024], path[1024];
	struct fs_bytes b = {0};
	OK(fs_mkdirs(to));
	OK(fs_list(folder(name), &list));
	for (int i = 0; i < list.n; i++) {
		OK(fs_join(from, sizeof(from), folder(name), list.name[i]));
		OK(fs_join(path, sizeof(path), to, list.name[i]));
		if (fs_is_dir(from))
			continue;
		OK(fs_read(from, &b));
		OK(fs_write(path, b.data, b.size));
		fs_bytes_clear(&b);
	}
	fs_list_clear(&list);
}

/* The text of a file with the first `find` replaced. */
static inline void edit(const char *dir, const char *file, const char *find, const char *replace)
{
	struct fs_bytes b = {0};
	struct str s = {0};
	char path[1024];
	OK(fs_join(path, sizeof(path), dir, file));
	OK(fs_read(path, &b));
	char *at = strstr((char *)b.data, find);
	assert_non_null(at);
	str_addn(&s, (char *)b.data, (size_t)(at - (char *)b.data));
	str_add(&s, replace);
	str_add(&s, at + strlen(find));
	OK(fs_write(path, s.text, s.len));
	str_clear(&s);
	fs_bytes_clear(&b);
}

/* As a folder that every version opens. */
static inline int export(const struct checkpoint *c, const char *dir)
{
	struct hf_export_report report;
	return hf_export(c, dir, &(struct hf_export_options){0}, &report);
}

static inline void refused(const char *dir, const char *says)
{
	struct checkpoint c;
	struct str notes = {0};
	const int rc = hf_import(&c, dir, &(struct hf_import_options){0}, &notes);
	if (rc != ERR_CHECKPOINT || !strstr(err_message(), says))
		fail_msg("%d, '%s' instead of '%s'", rc, rc ? err_message() : "no error", says);
	str_clear(&notes);
}

#endif
