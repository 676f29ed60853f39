#include <stdbool.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#if PIPELINE_TIFF
#include <zlib.h>

#include "data/tiff_parts.h"

/* One part of the page, as it lies in the file. */
struct part {
	const char *name;        /* of the file */
	uint32_t i, n;           /* which of how many */
	uint64_t least, most;    /* bytes of pixels */
	const unsigned char *at; /* compressed */
	size_t size;
	const char *word;
};

static int damaged(const struct part *p, const char *what)
{
	return err_set(ERR_DATA, "%s: %s %u of %u %s", p->name, p->word, p->i + 1, p->n, what);
}

/* *total: bytes that the stream holds; its checksum is compared. */
static int inflate_part(const struct part *p, uint64_t *total)
{
	unsigned char out[16384];
	z_stream z = {.next_in = (unsigned char *)p->at, .avail_in = (uInt)p->size};
	int state = inflateInit(&z);

	*total = 0;
	if (state != Z_OK)
		return err_set(ERR_NOMEM, "%s: out of memory", p->name);
	do {
		z.next_out = out;
		z.avail_out = sizeof(out);
		state = inflate(&z, Z_NO_FLUSH);
		*total += sizeof(out) - z.avail_out;
	} while (state == Z_OK && *total <= p->most);
	inflateEnd(&z);
	if (state == Z_MEM_ERROR)
		return err_set(ERR_NOMEM, "%s: out of memory", p->name);
	if (state == Z_BUF_ERROR)
		return damaged(p, "is cut off");
	return state == Z_OK || state == Z_STREAM_END ? 0 : damaged(p, "is damaged (deflate)");
}

static int check_deflated(TIFF *t, struct part *p)
{
	unsigned char *turned = NULL;
	uint16_t order = FILLORDER_MSB2LSB;
	uint64_t total = 0;

	TIFFGetFieldDefaulted(t, TIFFTAG_FILLORDER, &order);
	if (order == FILLORDER_LSB2MSB) {
		turned = mem_alloc(p->size, 1);
		if (!turned)
			return ERR_NOMEM;
		memcpy(turned, p->at, p->size);
		TIFFReverseBits(turned, (tmsize_t)p->size);
		p->at = turned;
	}
	int rc = inflate_part(p, &total);
	mem_free(turned);
	if (!rc && (total < p->least || total > p->most))
		rc = damaged(p, "has another number of bytes than its pixels");
	return rc;
}

/* The last strip of a plane may hold rows below the page, as some programs write it. */
static void measure_part(TIFF *t, struct part *p)
{
	uint32_t height = 0, rows = 0;

	if (TIFFIsTiled(t)) {
		p->least = p->most = TIFFTileSize64(t);
		return;
	}
	TIFFGetField(t, TIFFTAG_IMAGELENGTH, &height);
	TIFFGetFieldDefaulted(t, TIFFTAG_ROWSPERSTRIP, &rows);
	rows = rows < height ? rows : height;
	const uint32_t strips = rows ? (height - 1) / rows + 1 : 1, first = p->i % strips * rows;
	p->least = TIFFVStripSize64(t, height - first < rows ? height - first : rows);
	TIFFGetFieldDefaulted(t, TIFFTAG_ROWSPERSTRIP, &rows);
	p->most = height - first < rows && rows < 65536 ? TIFFVStripSize64(t, rows) : p->least;
}

int tiff_parts_check(const char *name, TIFF *t, const unsigned char *bytes, size_t n)
{
	const bool tiled = TIFFIsTiled(t);
	struct part p = {
	    .name = name, .n = tiled ? TIFFNumberOfTiles(t) : TIFFNumberOfStrips(t), .word = tiled ? "tile" : "strip"};
	uint16_t compression = COMPRESSION_NONE;
	int rc = 0;

	TIFFGetFieldDefaulted(t, TIFFTAG_COMPRESSION, &compression);
	const bool deflated = compression == COMPRESSION_DEFLATE || compression == COMPRESSION_ADOBE_DEFLATE;
	for (p.i = 0; p.i < p.n && !rc; p.i++) {
		const uint64_t at = TIFFGetStrileOffset(t, p.i), size = TIFFGetStrileByteCount(t, p.i);

		if (at == 0 || at >= n || size == 0)
			rc = damaged(&p, "lies nowhere in the file");
		if (rc || !deflated)
			continue;
		p.at = bytes + at;
		p.size = (size_t)(size < n - at ? size : n - at);
		measure_part(t, &p);
		rc = check_deflated(t, &p);
	}
	return rc;
}
#endif
