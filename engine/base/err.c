/* The current error of each thread. Formatting never allocates, so that running out of memory can be reported; a
 * message is always one line, because names from hostile files end up in it. Does not print. */
#include "base/err.h"

#include <stdio.h>
#include <string.h>

#define MESSAGE_MAX 2048

static _Thread_local char message[MESSAGE_MAX];

/* Cuts a character that the size limit split in the middle: a terminal would show garbage. */
static void trim_partial_utf8(char *text, size_t len)
{
	size_t start = len;
	while (start > 0 && len - start < 3 && ((unsigned char)text[start - 1] & 0xC0U) == 0x80U)
		start--;
	if (start > 0 && ((unsigned char)text[start - 1] & 0xC0U) == 0xC0U)
		text[start - 1] = '\0';
}

static void keep(const char *text, size_t wanted)
{
	size_t len = wanted < MESSAGE_MAX ? wanted : MESSAGE_MAX - 1;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		message[i] = (char)(c < 0x20 || c == 0x7F ? '?' : c);
	}
	message[len] = '\0';
	if (wanted >= MESSAGE_MAX)
		trim_partial_utf8(message, len);
}

int err_set(enum err code, const char *fmt, ...)
{
	char text[MESSAGE_MAX]; /* apart from `message`: the arguments may point into it */
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	keep(text, n < 0 ? 0 : (size_t)n);
	return code;
}

int err_context(int code, const char *fmt, ...)
{
	char text[MESSAGE_MAX];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	size_t len = n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
	int more = snprintf(text + len, sizeof(text) - len, ": %s", message);
	keep(text, len + (more < 0 ? 0 : (size_t)more));
	return code;
}

const char *err_message(void)
{
	return message;
}

void err_clear(void)
{
	message[0] = '\0';
}

int err_exit_status(int code)
{
	switch (code) {
	case 0:
		return 0;
	case ERR_CONFIG:
		return 2;
	case ERR_DATA:
		return 3;
	case ERR_CHECKPOINT:
		return 4;
	case ERR_DEVICE:
		return 5;
	case ERR_GATE:
		return 6;
	case ERR_INTERRUPTED:
		return 75;
	default:
		return 1;
	}
}
