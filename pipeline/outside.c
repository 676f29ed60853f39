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

#define NOT_THERE 127

struct asked {
	pid_t pid;
	int fd[2]; /* its standard output and standard error */
	struct str *out, said;
	const char *name;
};

static void become(char *const argv[], int out, int err)
{
	setpgid(0, 0);
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null >= 0)
		dup2(null, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	signal(SIGPIPE, SIG_DFL);
	execvp(argv[0], argv);
	_exit(NOT_THERE);
}

static int start(struct asked *a, char *const argv[])
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
		become(argv, out[1], err[1]);
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
		struct str *to = i ? &a->said : a->out;
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
	const char *said = str_text(&a->said);
	int n = (int)strcspn(said, "\n");
	if (status == NOT_THERE && n == 0)
		return err_set(ERR_FAIL, "%s: is not there", a->name);
	return err_set(
	    ERR_FAIL, "%s: ended with status %d%s%.*s", a->name, status, n ? ": " : "", n < 300 ? n : 300, said);
}

int outside_ask(char *const argv[], double seconds, struct str *out)
{
	struct asked a = {.out = out, .name = argv[0]};
	int wait_status = 0, rc = start(&a, argv);
	if (rc)
		return rc;
	const double end = clock_now() + seconds;
	while (clock_now() < end && read_some(&a, 100))
		continue;
	bool late = false;
	while (waitpid(a.pid, &wait_status, late ? 0 : WNOHANG) != a.pid) {
		if (clock_now() >= end) {
			kill(-a.pid, SIGKILL);
			kill(a.pid, SIGKILL);
			late = true;
		}
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
	}
	for (int i = 0; i < 2; i++)
		if (a.fd[i] >= 0)
			close(a.fd[i]);
	const int status = WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
	if (late)
		rc = err_set(ERR_FAIL, "%s: no answer within %.0f s", a.name, seconds);
	else if (status)
		rc = failure(&a, status);
	else if (out->failed)
		rc = err_set(ERR_NOMEM, "out of memory");
	else if (out->len >= OUTSIDE_MAX)
		rc = err_set(ERR_FAIL, "%s: an answer of more than %u bytes", a.name, OUTSIDE_MAX);
	str_clear(&a.said);
	return rc;
}
