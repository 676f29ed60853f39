/* Numbers that our headers share with the toolkit's: values.c is compiled against each. */
#ifndef SIMT_VALUES_H
#define SIMT_VALUES_H

#include <stddef.h>

struct value {
	const char *name;
	long long value;
};
extern const struct value own_values[], toolkit_values[]; /* ended by a NULL name */

/* The toolkit's conversions, compiled from its own headers (toolkit_half.cu). */
unsigned short toolkit_to_half(float f);
unsigned short toolkit_to_bfloat16(float f);
float toolkit_from_half(unsigned short h);

#endif
