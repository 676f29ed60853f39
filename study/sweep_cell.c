/* Looking at a cell, starting it and noting its end. */
#define _GNU_SOURCE /* O_DIRECTORY */
#include "study/sweep_cell.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/json_out.h"
#include "config/yaml.h"
#include "pipeline/files.h"
#include "pipeline/run_error.h"
#include "pipeline/stage_record.h"
#include "pipeline/version.h"

#define ROOM     (SWEEP_PATH + 128)
#define LOG_TAIL 4096

#define OTHER_DATA_STATUS 3 /* as of `run`: data */

const char *const cell_state_names[CELL_STATES] = {"not begun", "begun", "at work", "failed", "finished"};

enum record { RECORD_NONE, RECORD_OTHER_DATA, RECORD_DONE };

/* What the record of stage i is; one that was changed, or cannot be read, is none. */
static enum record look_at_stage(const struct sweep_cell *c, const char *dir, int i)
{
	char stage[ROOM];
	struct stage_record r;
	snprintf(stage, sizeof(stage), "%s/%02d-%s", dir, i + 1, c->stage[i].name);
	const bool is = stage_record_read(&r, stage) == 0 && r.json;
	const char *data = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(r.key_parts, "data"));
	const bool other = is && *c->data_key && data && strcmp(data, c->data_key) != 0;
	stage_record_clear(&r);
	err_clear();
	return other ? RECORD_OTHER_DATA : is ? RECORD_DONE : RECORD_NONE;
}

int cell_stages_done(const struct sweep *s, const struct sweep_cell *c, int before)
{
	char dir[SWEEP_PATH];
	sweep_cell_dir(s, c, dir);
	while (before < c->n_stage && look_at_stage(c, dir, before) == RECORD_DONE)
		before++;
	return before;
}

static bool has_other_data(const struct sweep *s, const struct sweep_cell *c)
{
	char dir[SWEEP_PATH];
	bool other = false;
	sweep_cell_dir(s, c, dir);
	for (int i = 0; *c->data_key && i < c->n_stage && !other; i++)
		other = look_at_stage(c, dir, i) == RECORD_OTHER_DATA;
	return other;
}

/* 1: it was there. */
static int forget(const struct sweep *s, const struct sweep_cell *c)
{
	char dir[SWEEP_PATH], path[ROOM];
	snprintf(path, sizeof(path), "%s/finished.json", sweep_cell_dir(s, c, dir));
	if (unlink(path) == 0)
		return 1;
	return errno == ENOENT || errno == ENOTDIR ? 0 : err_set(ERR_IO, "%s: %s", path, strerror(errno));
}

/* The cells that read the same as c, with another seed perhaps, which cuts the splits: not all of them were read. */
static int forget_like(const struct sweep *s, const struct sweep_cell *c)
{
	int n = 0, rc = 0;
	for (int i = 0; rc >= 0 && i < s->n; i++) {
		rc = strcmp(s->cell[i].data_sign, c->data_sign) == 0 ? forget(s, &s->cell[i]) : 0;
		n += rc > 0;
	}
	return rc < 0 ? rc : n;
}

int cells_forget_other_data(const struct sweep *s, int *n)
{
	*n = 0;
	for (int i = 0; i < s->n; i++) {
		const struct sweep_cell *c = &s->cell[i];
		char dir[SWEEP_PATH], path[ROOM];
		snprintf(path, sizeof(path), "%s/finished.json", sweep_cell_dir(s, c, dir));
		if (access(path, F_OK) != 0 || !has_other_data(s, c))
			continue;
		const int rc = forget_like(s, c);
		if (rc < 0)
			return rc;
		*n += rc;
	}
	return 0;
}

static const char *text_of(const cJSON *o, const char *key)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));
	return text ? text : "";
}

/* A shared lock for a moment; whoever wants the folder's for a run tries more than once. */
static bool is_locked(const char *dir)
{
	char path[ROOM];
	snprintf(path, sizeof(path), "%s/.lock", dir);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	bool locked = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
	if (fd >= 0)
		close(fd);
	return locked;
}

/* Of the config in the folder, with its threads; "": it cannot be read. */
static void hash_config(const char *dir, char hex[HASH_HEX])
{
	char path[ROOM];
	struct fs_bytes b = {0};
	snprintf(path, sizeof(path), "%s/config.yaml", dir);
	if (fs_read_regular(path, YAML_MAX_BYTES, &b) < 0 || hash_bytes(b.data, b.size, hex) < 0)
		hex[0] = '\0';
	fs_bytes_clear(&b);
}

/* finished.json of earlier programs does not say which text was run. */
static bool is_of_config(const cJSON *finished, const struct sweep_cell *c, const char *dir)
{
	char hex[HASH_HEX];
	const char *text = text_of(finished, "config_text_sha256");
	hash_config(dir, hex);
	return strcmp(text_of(finished, "config_sha256"), c->config_sha256) == 0 && (!*text || strcmp(text, hex) == 0);
}

static bool is_finished(const struct sweep_cell *c, const char *dir, struct cell_report *r)
{
	char results[ROOM];
	cJSON *json;
	snprintf(results, sizeof(results), "%s/results.json", dir);
	if (r->done < c->n_stage || access(results, F_OK) != 0 || files_read_json(dir, "finished.json", &json) < 0)
		return false;
	bool is = is_of_config(json, c, dir);
	r->other_program = is && (strcmp(text_of(json, "program_commit"), program_commit) != 0 ||
				     strcmp(text_of(json, "program_version"), program_version) != 0);
	cJSON_Delete(json);
	return is;
}

static bool has_failed(const char *dir, struct cell_report *r)
{
	cJSON *json;
	if (files_read_json(dir, "error.json", &json) < 0 || !json)
		return false;
	const cJSON *status = cJSON_GetObjectItemCaseSensitive(json, "status");
	r->status = cJSON_IsNumber(status) ? status->valueint : 1;
	snprintf(r->stage, sizeof(r->stage), "%s", text_of(json, "stage"));
	snprintf(r->message, sizeof(r->message), "%s", text_of(json, "message"));
	cJSON_Delete(json);
	return true;
}

/* Finished stages, or the state of a training. */
static bool has_begun(const struct sweep_cell *c, const char *dir, const struct cell_report *r)
{
	char path[ROOM];
	if (r->done > 0)
		return true;
	snprintf(path, sizeof(path), "%s/.01-%s.resume", dir, c->n_stage ? c->stage[0].name : "");
	return access(path, F_OK) == 0;
}

void cell_look(const struct sweep *s, const struct sweep_cell *c, struct cell_report *r)
{
	char dir[SWEEP_PATH];
	*r = (struct cell_report){0};
	sweep_cell_dir(s, c, dir);
	r->done = cell_stages_done(s, c, 0);
	if (is_locked(dir))
		r->state = CELL_RUNNING;
	else if (is_finished(c, dir, r))
		r->state = CELL_FINISHED;
	else if (has_failed(dir, r))
		r->state = CELL_FAILED;
	else
		r->state = has_begun(c, dir, r) ? CELL_BEGUN : CELL_NEW;
	err_clear();
}

/* In the new process: only what is safe after a fork. This very program is started, even if its file was replaced. */
static void become_run(const char *dir, int log, char **argv, pid_t parent)
{
	setpgid(0, 0); /* a key that interrupts the terminal's group reaches the sweep alone, which tells its cells */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(75);
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null >= 0)
		dup2(null, STDIN_FILENO);
	dup2(log, STDOUT_FILENO);
	dup2(log, STDERR_FILENO);
	execv("/proc/self/exe", argv);
	dprintf(STDERR_FILENO, "pipeline: %s: the program cannot be started: %s\n", dir, strerror(errno));
	_exit(1);
}

/* What a stranger's folder may hold in its place would be waited for (a FIFO) or written to (a link to another file).
 */
static int open_log(const char *path, int *fd)
{
	struct stat st;
	*fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
	if (*fd >= 0 && fstat(*fd, &st) == 0 && S_ISREG(st.st_mode))
		return 0;
	const int why = *fd < 0 ? errno : 0;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	if (why == ELOOP)
		return err_set(ERR_IO, "%s: is a link, which is not followed; remove it", path);
	if (!why || why == ENXIO)
		return err_set(ERR_IO, "%s: is not a file; remove it", path);
	return err_set(ERR_IO, "%s: %s", path, strerror(why));
}

int cell_start(const struct sweep *s, const struct sweep_cell *c, const char *until, pid_t *pid)
{
	char dir[SWEEP_PATH], config[ROOM], log[ROOM], stage[64];
	sweep_cell_dir(s, c, dir);
	snprintf(config, sizeof(config), "%s/config.yaml", dir);
	snprintf(log, sizeof(log), "%s/run.log", dir);
	snprintf(stage, sizeof(stage), "%s", until ? until : "");
	char *argv[] = {"pipeline", "run", config, "--out", dir, until ? "--until" : NULL, stage, NULL};
	run_error_remove(dir);
	int fd, rc = open_log(log, &fd);
	if (rc)
		return rc;
	pid_t parent = getpid();
	*pid = fork();
	if (*pid == 0)
		become_run(dir, fd, argv, parent);
	int why = errno;
	close(fd);
	return *pid < 0 ? err_set(ERR_FAIL, "a process cannot be started: %s", strerror(why)) : 0;
}

/* The last line of the log, which names the error of a run that could not begin. */
static void last_line(const char *dir, char *line, size_t cap)
{
	char path[ROOM], tail[LOG_TAIL + 1];
	snprintf(path, sizeof(path), "%s/run.log", dir);
	line[0] = '\0';
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	ssize_t n = size < 0 ? -1 : pread(fd, tail, LOG_TAIL, size > LOG_TAIL ? size - LOG_TAIL : 0);
	if (fd >= 0)
		close(fd);
	while (n > 0 && tail[n - 1] == '\n')
		n--;
	if (n <= 0)
		return;
	tail[n] = '\0';
	const char *start = strrchr(tail, '\n');
	start = start ? start + 1 : tail;
	if (strncmp(start, "pipeline: ", 10) == 0)
		start += 10;
	snprintf(line, cap, "%s", start);
}

static void write_finished(const struct sweep_cell *c, const char *dir)
{
	char utc[32], hex[HASH_HEX];
	bool ok;
	cJSON *json;
	struct json_out root = json_out_begin(&ok);
	clock_utc(utc);
	hash_config(dir, hex);
	json_out_text(root, "config_sha256", c->config_sha256);
	json_out_text(root, "config_text_sha256", hex);
	json_out_text(root, "program_version", program_version);
	json_out_text(root, "program_commit", program_commit);
	json_out_text(root, "time", utc);
	if (json_out_end(root, &json) == 0)
		files_write_json(dir, "finished.json", json); /* without it the cell is only looked at again */
	cJSON_Delete(json);
	err_clear();
}

/* On a full disk the reason is said where the sweep is looked at; nothing else is left of it. */
static void write_error(const char *dir, int status, const char *message)
{
	if (run_error_write_text(dir, status, message) == 0)
		return;
	fprintf(stderr, "warning: %s\n", err_message());
	err_clear();
}

int cell_end(const struct sweep *s, const struct sweep_cell *c, int wait_status, bool whole)
{
	char dir[SWEEP_PATH], path[ROOM], message[512];
	struct cell_report now;
	sweep_cell_dir(s, c, dir);
	snprintf(path, sizeof(path), "%s/error.json", dir);
	const int signal = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;
	const int status = signal ? 128 + signal : WEXITSTATUS(wait_status);
	if (status == 0 && whole && has_other_data(s, c)) {
		write_error(dir, OTHER_DATA_STATUS,
		    "its data have changed since this sweep was planned; the same sweep again goes by what they are "
		    "now");
		return OTHER_DATA_STATUS;
	}
	if (status == 0 && whole)
		write_finished(c, dir);
	if (status == 0 || status == 75 || access(path, F_OK) == 0)
		return status;
	/* Where another process has taken the cell, this one's end says nothing of it. */
	cell_look(s, c, &now);
	if (now.state == CELL_RUNNING || now.state == CELL_FINISHED)
		return status;
	if (signal)
		snprintf(message, sizeof(message), "the run was ended by signal %d (%s)%s", signal, strsignal(signal),
		    signal == SIGKILL ? ", as for want of memory" : "");
	else
		last_line(dir, message, sizeof(message));
	write_error(dir, status, message);
	return status;
}
