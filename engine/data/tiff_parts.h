/* The strips or tiles that a TIFF page is stored in, before libtiff decodes them. */
#ifndef ENGINE_DATA_TIFF_PARTS_H
#define ENGINE_DATA_TIFF_PARTS_H

#include <stddef.h>
#include <tiffio.h>

/* libtiff reads a part that the page's table lacks from the head of the file, and of a deflated one neither compares
 * the checksum nor the length where the damaged data holds more pixels than the part has.
 * ERR_DATA: a part lies nowhere, or its data is damaged or of another number of bytes than its pixels. ERR_NOMEM. */
int tiff_parts_check(const char *name, TIFF *t, const unsigned char *bytes, size_t n);

#endif
