/* The orientation of an image, from its EXIF block: a file in small of the TIFF format. Whatever is not as it should be
 * says nothing about the orientation, and nothing else of the block is looked at. */
#include <string.h>

#include "data/image.h"

#define TAG_ORIENTATION 0x112
#define TYPE_SHORT      3
#define TYPE_LONG       4

struct exif {
	const unsigned char *p;
	size_t n;
	bool big; /* the highest byte first */
};

static unsigned long number(const struct exif *x, size_t at, int bytes)
{
	unsigned long v = 0;

	for (int i = 0; i < bytes; i++)
		v |= (unsigned long)x->p[at + (size_t)i] << 8 * (x->big ? bytes - 1 - i : i);
	return v;
}

int exif_orientation(const unsigned char *bytes, size_t n)
{
	struct exif x = {bytes, n, n >= 8 && bytes[0] == 'M'};
	size_t at, entries;

	if (n < 8 || (memcmp(bytes, "II*\0", 4) != 0 && memcmp(bytes, "MM\0*", 4) != 0))
		return 1;
	at = number(&x, 4, 4);
	if (at < 8 || at > n - 2)
		return 1;
	entries = number(&x, at, 2);
	at += 2;
	for (size_t i = 0; i < entries && at + 12 <= n; i++, at += 12) {
		unsigned long type = number(&x, at + 2, 2), v;

		if (number(&x, at, 2) != TAG_ORIENTATION)
			continue;
		if ((type != TYPE_SHORT && type != TYPE_LONG) || number(&x, at + 4, 4) != 1)
			return 1;
		v = number(&x, at + 8, type == TYPE_SHORT ? 2 : 4);
		return v >= 1 && v <= 8 ? (int)v : 1;
	}
	return 1;
}

/* The steps in `from` when `to` is filled row by row: orientations say where its rows and columns begin. */
void image_turn(const uint8_t *from, int height, int width, int c, int orientation, uint8_t *to)
{
	const bool exchanged = orientation >= 5;
	/* Whether the first row of what is shown is the last row, or column, of what is stored; and the same of its
	 * first column. */
	const bool from_bottom = orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
	const bool from_right = orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
	const int rows = exchanged ? width : height, columns = exchanged ? height : width;

	for (int y = 0; y < rows; y++) {
		for (int x = 0; x < columns; x++, to += c) {
			int row = from_bottom ? rows - 1 - y : y, column = from_right ? columns - 1 - x : x;
			const uint8_t *p =
			    from + ((ptrdiff_t)(exchanged ? column : row) * width + (exchanged ? row : column)) * c;

			memcpy(to, p, (size_t)c);
		}
	}
}
