/* Reads numbers strictly. strtod alone would take "inf", "0x1p3" and "12abc". */
#include "config/number.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *digits(const char *p)
{
	while (*p >= '0' && *p <= '9')
		p++;
	return p;
}

const char *number_int(const char *text, int64_t *out)
{
	const char *first = text + (*text == '-' || *text == '+'), *last = digits(first);
	if (last == first || *last != '\0')
		return "";
	if (*first == '0' && last > first + 1)
		return "leading zeros"; /* octal in YAML 1.1, decimal in 1.2 */
	errno = 0;
	long long v = strtoll(text, NULL, 10);
	if (errno == ERANGE)
		return *text == '-' ? "too small" : "too large";
	*out = v;
	return NULL;
}

/* [-+] digits [. digits] [e [-+] digits], with a digit before or behind the point. */
static int is_decimal(const char *p)
{
	p += *p == '-' || *p == '+';
	const char *whole = p;
	p = digits(p);
	int n = p > whole;
	if (*p == '.') {
		const char *part = p + 1;
		p = digits(part);
		n += p > part;
	}
	if (n == 0)
		return 0;
	if (*p == 'e' || *p == 'E') {
		p++;
		p += *p == '-' || *p == '+';
		const char *exponent = p;
		p = digits(p);
		if (p == exponent)
			return 0;
	}
	return *p == '\0';
}

const char *number_float(const char *text, double *out)
{
	const char *first = text + (*text == '-' || *text == '+');
	if (!is_decimal(text))
		return "";
	if (*first == '0' && digits(first) > first + 1)
		return "leading zeros"; /* as for whole numbers */
	double v = strtod(text, NULL);
	if (!isfinite(v))
		return "too large";
	/* A number that silently became zero would not be the one that was asked for. */
	if (v == 0.0 && text[strcspn(text, "123456789eE")] >= '1' && text[strcspn(text, "123456789eE")] <= '9')
		return "too near to zero";
	*out = v;
	return NULL;
}
