/* Checkpoints as a person could edit them who does not know of the seal, or knows how to get around it. */
#ifndef TESTS_STORE_SEAL_H
#define TESTS_STORE_SEAL_H

#include <string.h>

/* Takes the seal out of the text of a checkpoint_info.json: what is left is the file of an older program. */
static inline void drop_seal(char *text)
{
	char *at = strstr(text, ",\n\t\"info_sha256\"");
	char *end = at ? strchr(at + 2, '\n') : NULL;
	if (end)
		memmove(at, end, strlen(end) + 1);
}

#endif
