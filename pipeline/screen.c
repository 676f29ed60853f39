#include "pipeline/screen.h"

#include <stdlib.h>
#include <sys/ioctl.h>

int screen_width(int fd)
{
	enum { LEAST = 20, MOST = 10000 };
	const char *columns = getenv("COLUMNS");
	char *end = NULL;
	long n = columns ? strtol(columns, &end, 10) : 0;
	struct winsize size;
	if (columns && *columns && !*end && n >= LEAST && n <= MOST)
		return (int)n;
	if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col >= LEAST)
		return size.ws_col;
	return 0;
}
