/* Both streams are replaced by ones of the C library whose bytes pass through show(); glibc lets a program do that. So
 * everything that is printed passes, by whichever function, the libraries' own warnings too. */
#define _GNU_SOURCE /* fopencookie */
#include "pipeline/output.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/err.h"

struct stream {
	int fd;
	int why;         /* errno of the first write that failed; 0: none */
	unsigned behind; /* bytes of a UTF-8 character that are still to come */
	bool held;       /* 0xc2 came last: the next byte tells whether it begins a control character */
};

static struct stream out = {.fd = STDOUT_FILENO}, err = {.fd = STDERR_FILENO};
static bool is_open, pipe_signal_ignored;

/* Room for one read of show(): the longest replacement of a byte has six. */
#define CHUNK 1024
struct shown {
	char text[6 * CHUNK + 2];
	size_t n;
};

static void add_control(struct shown *s, unsigned char c)
{
	int n = snprintf(s->text + s->n, 7, "\\u%04x", c);
	s->n += (size_t)n;
}

static unsigned bytes_behind(unsigned char c)
{
	return c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc2 ? 1 : 0;
}

/* Control characters are 0 to 0x1f, 0x7f, and U+0080 to U+009f: in UTF-8 0xc2 and that byte, in other encodings the
 * byte alone. In the other characters of UTF-8 such bytes are no control characters. */
static void show_byte(struct stream *s, unsigned char c, struct shown *to)
{
	bool continues = c >= 0x80 && c < 0xc0;
	if (s->held) {
		s->held = false;
		if (continues && c < 0xa0) {
			add_control(to, c);
			return;
		}
		to->text[to->n++] = (char)0xc2;
		s->behind = 1;
	}
	if (continues && s->behind > 0) {
		s->behind--;
		to->text[to->n++] = (char)c;
		return;
	}
	s->behind = 0;
	if (c == 0xc2)
		s->held = true;
	else if ((c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7f && c < 0xa0))
		add_control(to, c);
	else {
		s->behind = bytes_behind(c);
		to->text[to->n++] = (char)c;
	}
}

static bool write_all(struct stream *s, const char *text, size_t n)
{
	while (n > 0) {
		ssize_t written = write(s->fd, text, n);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0) {
			s->why = s->why ? s->why : errno;
			return false;
		}
		text += written;
		n -= (size_t)written;
	}
	return true;
}

/* What was not written is lost: `why` keeps it known. */
static ssize_t show(void *cookie, const char *text, size_t n)
{
	struct stream *s = cookie;
	for (size_t done = 0; done < n;) {
		struct shown shown = {.n = 0};
		size_t end = n - done > CHUNK ? done + CHUNK : n;
		for (; done < end; done++)
			show_byte(s, (unsigned char)text[done], &shown);
		if (!write_all(s, shown.text, shown.n))
			return 0;
	}
	return (ssize_t)n;
}

static void replace(FILE **stream, struct stream *s, int mode)
{
	FILE *f = fopencookie(s, "w", (cookie_io_functions_t){.write = show});
	if (!f)
		return; /* out of memory before anything was done; the old stream serves */
	setvbuf(f, NULL, mode, BUFSIZ);
	fflush(*stream);
	*stream = f;
}

/* The lowest free number is the one that open gives. */
static void fill_closed(void)
{
	for (int fd = 0; fd < 3; fd++) {
		if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
			continue;
		if (open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0)
			open("/", O_RDONLY | O_DIRECTORY);
	}
}

void output_open(void)
{
	struct sigaction before;
	fill_closed();
	pipe_signal_ignored = sigaction(SIGPIPE, NULL, &before) == 0 && before.sa_handler == SIG_IGN;
	signal(SIGPIPE, SIG_IGN);
	replace(&stdout, &out, isatty(STDOUT_FILENO) == 1 ? _IOLBF : _IOFBF);
	replace(&stderr, &err, _IONBF);
	is_open = true;
}

int output_check(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout) && !out.why)
		return 0;
	return err_set(ERR_IO, "standard output: %s", out.why ? strerror(out.why) : "write error");
}

bool output_unwanted(void)
{
	return out.why == EPIPE || out.why == EBADF;
}

void output_end_unread(void)
{
	if (out.why != EPIPE || pipe_signal_ignored)
		return;
	signal(SIGPIPE, SIG_DFL);
	raise(SIGPIPE);
}

void output_control(const char *text)
{
	fflush(stderr);
	if (is_open)
		write_all(&err, text, strlen(text));
	else
		fputs(text, stderr);
}
