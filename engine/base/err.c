/* The current error of each thread. Formatting never allocates, so that running out of memory can be reported; a
 * message is always one line, because names from hostile files end up in it. Does not print. */
#include "base/err.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define MESSAGE_MAX 2048
#define TEXT_MAX    16384 /* before its middle is taken out */

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

/* Whether text[i] begins a character; what follows it then is not cut in two. */
static bool begins_character(const char *text, size_t i)
{
	return ((unsigned char)text[i] & 0xC0U) != 0x80U;
}

/* Takes out the middle of a text that is too long: names are long, and what is wrong stands behind them. */
static size_t shorten(char *text, size_t len)
{
	static const char gap[] = " ... ";
	size_t head = 2 * (size_t)MESSAGE_MAX / 3, tail = len - (MESSAGE_MAX - 1 - head - (sizeof(gap) - 1));
	if (len < MESSAGE_MAX)
		return len;
	while (head > 0 && !begins_character(text, head))
		head--;
	while (tail < len && !begins_character(text, tail))
		tail++;
	memcpy(text + head, gap, sizeof(gap) - 1);
	memmove(text + head + sizeof(gap) - 1, text + tail, len - tail);
	return head + sizeof(gap) - 1 + len - tail;
}

/* text: `wanted` characters, of which TEXT_MAX - 1 at most are there. */
static void keep(char *text, size_t wanted)
{
	size_t len = wanted < TEXT_MAX ? wanted : TEXT_MAX - 1;
	len = shorten(text, len);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		message[i] = (char)(c < 0x20 || c == 0x7F ? '?' : c);
	}
	message[len] = '\0';
	if (wanted >= TEXT_MAX)
		trim_partial_utf8(message, len);
}

int err_set(enum err code, const char *fmt, ...)
{
	char text[TEXT_MAX]; /* apart from `message`: the arguments may point into it */
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	keep(text, n < 0 ? 0 : (size_t)n);
	return code;
}

int err_context(int code, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* The context may be as long as it likes: there is room for what is wrong. */
	size_t len = n < 0 ? 0 : (size_t)n < TEXT_MAX - MESSAGE_MAX - 2 ? (size_t)n : TEXT_MAX - MESSAGE_MAX - 3;
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
