/* Another program's answer, with a limit of time and size. */
#define _GNU_SOURCE /* pipe2 */
#include "pipeline/outside.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"

#define NOT_BEGUN 126
#define NOT_THERE 127

struct asked {
	pid_t pid;
	int fd[2]; /* its standard output and standard error */
	struct str *out, *said;
	const char *name;
};

static void become(const char *dir, char *const argv[], int out, int err)
{
	setpgid(0, 0);
	if (dir && chdir(dir) < 0)
		_exit(NOT_BEGUN);
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null >= 0)
		dup2(null, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	signal(SIGPIPE, SIG_DFL);
	execvp(argv[0], argv);
	_exit(errno == ENOENT || errno == ENOTDIR ? NOT_THERE : NOT_BEGUN);
}

static int start(struct asked *a, const char *dir, char *const argv[])
{
	int out[2], err[2];
	if (pipe2(out, O_CLOEXEC) < 0)
		return err_set(ERR_FAIL, "%s: %s", argv[0], strerror(errno));
	if (pipe2(err, O_CLOEXEC) < 0) {
		close(out[0]);
		close(out[1]);
		return err_set(ERR_FAIL, "%s: %s", argv[0], strerror(errno));
	}
	a->pid = fork();
	if (a->pid == 0)
		become(dir, argv, out[1], err[1]);
	close(out[1]);
	close(err[1]);
	a->fd[0] = out[0];
	a->fd[1] = err[0];
	if (a->pid > 0)
		return 0;
	close(out[0]);
	close(err[0]);
	return err_set(ERR_FAIL, "%s: %s", argv[0], strerror(errno));
}

/* false: both streams have ended, or the answer is too long. */
static bool read_some(struct asked *a, int wait_ms)
{
	struct pollfd p[2] = {{.fd = a->fd[0], .events = POLLIN}, {.fd = a->fd[1], .events = POLLIN}};
	char bytes[4096];
	if (a->fd[0] < 0 && a->fd[1] < 0)
		return false;
	if (poll(p, 2, wait_ms) <= 0)
		return true;
	for (int i = 0; i < 2; i++) {
		if (a->fd[i] < 0 || !p[i].revents)
			continue;
		ssize_t n = read(a->fd[i], bytes, sizeof(bytes));
		struct str *to = i ? a->said : a->out;
		if (n > 0 && to->len < OUTSIDE_MAX)
			str_addn(to, bytes, (size_t)n);
		else if (n > 0)
			return false;
		else if (n == 0 || errno != EINTR) {
			close(a->fd[i]);
			a->fd[i] = -1;
		}
	}
	return true;
}

/* The first line of what it said on standard error. */
static int failure(const struct asked *a, int status)
{
	const char *said = str_text(a->said);
	int n = (int)strcspn(said, "\n");
	if (n == 0 && status == NOT_THERE)
		return err_set(ERR_FAIL, "%s: is not there", a->name);
	if (n == 0 && status == NOT_BEGUN)
		return err_set(ERR_FAIL, "%s: cannot be started", a->name);
	return err_set(
	    ERR_FAIL, "%s: ended with status %d%s%.*s", a->name, status, n ? ": " : "", n < 300 ? n : 300, said);
}

/* Its status as of a shell, or -1 and the end of its whole group if the time is up. */
static int wait_for(const struct asked *a, double end)
{
	bool late = false;
	int status = 0;
	while (waitpid(a->pid, &status, late ? 0 : WNOHANG) != a->pid) {
		if (clock_now() >= end) {
			kill(-a->pid, SIGKILL);
			kill(a->pid, SIGKILL);
			late = true;
		}
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
	}
	return late ? -1 : WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int outside_run(const char *dir, char *const argv[], double seconds, struct str *out, struct str *said, bool *is_absent)
{
	struct asked a = {.out = out, .said = said, .name = argv[0]};
	*is_absent = false;
	int rc = start(&a, dir, argv);
	if (rc)
		return rc;
	const double end = clock_now() + seconds;
	while (clock_now() < end && read_some(&a, 100))
		continue;
	const int status = wait_for(&a, end);
	for (int i = 0; i < 2; i++)
		if (a.fd[i] >= 0)
			close(a.fd[i]);
	*is_absent = status == NOT_THERE && !said->len;
	if (status < 0)
		return err_set(ERR_FAIL, "%s: no answer within %.0f s", a.name, seconds);
	if (status)
		return failure(&a, status);
	if (out->failed || said->failed)
		return err_set(ERR_NOMEM, "out of memory");
	if (out->len >= OUTSIDE_MAX)
		return err_set(ERR_FAIL, "%s: an answer of more than %u bytes", a.name, OUTSIDE_MAX);
	return 0;
}

int outside_ask(char *const argv[], double seconds, struct str *out)
{
	struct str said = {0};
	bool is_absent;
	int rc = outside_run(NULL, argv, seconds, out, &said, &is_absent);
	str_clear(&said);
	return rc;
}
