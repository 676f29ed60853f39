/* JPEG by libjpeg. The library's own habits are switched off: errors do not end the program (setjmp), nothing is
 * printed, and a warning (truncated or corrupt data, which it would patch with grey) is an error, unless the pixels are
 * known to be as they were meant (is_harmless). */
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <jpeglib.h>
#include <jerror.h>

#include "base/err.h"
#include "data/image.h"

/* Progressive files may hold any number of scans over the whole image: a few bytes cost much time. */
#define MAX_SCANS 100

struct manager {
	struct jpeg_error_mgr base; /* first: libjpeg hands back a pointer to it */
	jmp_buf jump;
	char text[JMSG_LENGTH_MAX];
	bool in_header;
	bool skipped; /* bytes between the segments of the header */
};

static void on_error(j_common_ptr c)
{
	struct manager *m = (struct manager *)c->err;

	m->base.format_message(c, m->text);
	longjmp(m->jump, 1);
}

/* Bytes that fill up the room before a marker. What is left of damaged data is more than zeros. */
static bool is_padding(j_decompress_ptr d, int n)
{
	const JOCTET *end = d->src->next_input_byte;

	for (const JOCTET *p = end - n; p < end; p++)
		if (*p != 0)
			return false;
	return true;
}

/* Faults that cameras and editors make, and that change no pixel: the number of a version, parameters that sequential
 * files do not use, a transform that is read as the usual one, bytes between segments. */
static bool is_harmless(j_common_ptr c, struct manager *m)
{
	switch (c->err->msg_code) {
	case JWRN_JFIF_MAJOR:
	case JWRN_NOT_SEQUENTIAL:
	case JWRN_ADOBE_XFORM:
		return true;
	case JWRN_EXTRANEOUS_DATA:
		m->skipped = true;
		return m->in_header || is_padding((j_decompress_ptr)c, c->err->msg_parm.i[0]);
	default:
		return false;
	}
}

static void on_message(j_common_ptr c, int level)
{
	if (level < 0 && !is_harmless(c, (struct manager *)c->err))
		on_error(c);
}

static void on_progress(j_common_ptr c)
{
	struct manager *m = (struct manager *)c->err;

	if (((j_decompress_ptr)c)->input_scan_number <= MAX_SCANS)
		return;
	snprintf(m->text, sizeof(m->text), "more than %d scans", MAX_SCANS);
	longjmp(m->jump, 1);
}

struct decoder {
	struct jpeg_decompress_struct d;
	struct manager m;
	struct jpeg_progress_mgr progress;
	const unsigned char *bytes;
	size_t n;
	int channels;
	uint8_t *out;
};

/* Runs `work` so that a libjpeg error comes back here. The decoder lives in the caller's frame, so that the jump leaves
 * it as it was. */
static int guarded(struct decoder *x, const char *name, void (*work)(struct decoder *x))
{
	x->d.err = jpeg_std_error(&x->m.base);
	x->m.base.error_exit = on_error;
	x->m.base.emit_message = on_message;
	if (setjmp(x->m.jump) != 0)
		return err_set(ERR_DATA, "%s: %s", name, x->m.text);
	work(x);
	return 0;
}

static void read_header(struct decoder *x)
{
	jpeg_create_decompress(&x->d);
	x->progress.progress_monitor = on_progress;
	x->d.progress = &x->progress;
	jpeg_mem_src(&x->d, x->bytes, x->n);
	x->m.in_header = true;
	jpeg_read_header(&x->d, TRUE);
	x->m.in_header = false;
}

/* libjpeg puts the usual Huffman tables in place of missing ones. That is right for frames of a film, which leave them
 * out, but not where the bytes that were skipped in the header may have held them. */
static void check_tables(struct decoder *x)
{
	for (int i = 0; x->m.skipped && !x->d.arith_code && i < x->d.comps_in_scan; i++) {
		const jpeg_component_info *k = x->d.cur_comp_info[i];

		if (k->dc_tbl_no >= NUM_HUFF_TBLS || k->ac_tbl_no >= NUM_HUFF_TBLS)
			return; /* libjpeg's own error */
		if (x->d.dc_huff_tbl_ptrs[k->dc_tbl_no] &&
		    (x->d.progressive_mode || x->d.ac_huff_tbl_ptrs[k->ac_tbl_no]))
			continue;
		snprintf(
		    x->m.text, sizeof(x->m.text), "bytes between the segments of the header, and no Huffman table");
		longjmp(x->m.jump, 1);
	}
}

static void read_pixels(struct decoder *x)
{
	read_header(x);
	check_tables(x);
	x->d.out_color_space = x->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
	jpeg_start_decompress(&x->d);
	while (x->d.output_scanline < x->d.output_height) {
		JSAMPROW row = x->out + (size_t)x->d.output_scanline * x->d.output_width * (size_t)x->channels;

		jpeg_read_scanlines(&x->d, &row, 1);
	}
	jpeg_finish_decompress(&x->d);
}

int jpeg_info(const char *name, const unsigned char *bytes, size_t n, struct image_info *out)
{
	struct decoder x = {.bytes = bytes, .n = n};
	int rc = guarded(&x, name, read_header);

	if (!rc && x.d.num_components > 3)
		rc = err_set(
		    ERR_DATA, "%s: JPEG with %d components (CMYK?); grey and RGB are read", name, x.d.num_components);
	if (!rc) {
		out->height = (int)x.d.image_height;
		out->width = (int)x.d.image_width;
		out->channels = x.d.jpeg_color_space == JCS_GRAYSCALE ? 1 : 3;
	}
	jpeg_destroy_decompress(&x.d);
	return rc;
}

int jpeg_decode(const char *name, const unsigned char *bytes, size_t n, int channels, uint8_t *out)
{
	struct decoder x = {.bytes = bytes, .n = n, .channels = channels, .out = out};
	int rc = guarded(&x, name, read_pixels);

	jpeg_destroy_decompress(&x.d);
	return rc;
}
