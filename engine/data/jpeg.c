/* JPEG by libjpeg. The library's own habits are switched off: errors do not end the program (setjmp), nothing is
 * printed, and a warning (truncated or corrupt data, which it would patch with grey) is an error, unless all pixels are
 * there (is_harmless): then the fault is said and the image taken. */
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
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
	bool fault;   /* a harmless one */
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

/* Bytes that belong to nothing: between the segments of the header; or behind a scan, of which every block was read
 * before. In front of a restart marker they are what is left of a damaged part. */
static bool is_surplus(j_decompress_ptr d, const struct manager *m)
{
	int marker = d->err->msg_parm.i[1];

	return m->in_header || marker < 0xd0 || marker > 0xd7 || is_padding(d, d->err->msg_parm.i[0]);
}

/* Whether the end of the file cuts nothing off but the closing marker. Where bits of a block are missing,
 * JWRN_HIT_MARKER comes next. Behind a scan of several, others may be missing; arithmetic coding does not notice. */
static bool is_whole_without_end(j_decompress_ptr d, const struct manager *m)
{
	return !m->in_header && !jpeg_has_multiple_scans(d) && !d->arith_code;
}

/* Faults that cameras, editors and networks make, and that change no pixel: the number of a version, parameters that
 * sequential files do not use, a transform that is read as the usual one, surplus bytes, no closing marker. */
static bool is_harmless(j_common_ptr c, struct manager *m)
{
	switch (c->err->msg_code) {
	case JWRN_JFIF_MAJOR:
	case JWRN_NOT_SEQUENTIAL:
	case JWRN_ADOBE_XFORM:
		return true;
	case JWRN_EXTRANEOUS_DATA:
		m->skipped = true;
		return is_surplus((j_decompress_ptr)c, m);
	case JWRN_JPEG_EOF:
		return is_whole_without_end((j_decompress_ptr)c, m);
	default:
		return false;
	}
}

static void on_message(j_common_ptr c, int level)
{
	struct manager *m = (struct manager *)c->err;

	if (level >= 0)
		return;
	if (!is_harmless(c, m))
		on_error(c);
	m->fault = true;
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
	bool wants_exif;
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
	if (x->wants_exif)
		jpeg_save_markers(&x->d, JPEG_APP0 + 1, 0xffff);
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

static bool is_cmyk(const struct jpeg_decompress_struct *d)
{
	return d->jpeg_color_space == JCS_CMYK || d->jpeg_color_space == JCS_YCCK;
}

/* An Adobe marker says that the values are those of light, not of ink. */
static void convert_cmyk(const uint8_t *cmyk, unsigned pixels, bool inverted, uint8_t *rgb)
{
	const unsigned flip = inverted ? 0 : 255;

	for (unsigned i = 0; i < pixels; i++, cmyk += 4, rgb += 3)
		for (int c = 0; c < 3; c++)
			rgb[c] = (uint8_t)(((cmyk[c] ^ flip) * (cmyk[3] ^ flip) + 127) / 255);
}

static void read_cmyk(struct decoder *x)
{
	const JDIMENSION width = x->d.image_width;
	JSAMPARRAY row = (x->d.mem->alloc_sarray)((j_common_ptr)&x->d, JPOOL_IMAGE, 4 * width, 1);

	x->d.out_color_space = JCS_CMYK;
	jpeg_start_decompress(&x->d);
	for (uint8_t *out = x->out; x->d.output_scanline < x->d.output_height; out += 3 * (size_t)width) {
		jpeg_read_scanlines(&x->d, row, 1);
		convert_cmyk(row[0], width, x->d.saw_Adobe_marker, out);
	}
}

static void read_pixels(struct decoder *x)
{
	read_header(x);
	check_tables(x);
	if (is_cmyk(&x->d)) {
		read_cmyk(x);
	} else {
		size_t channels = x->d.jpeg_color_space == JCS_GRAYSCALE ? 1 : 3;

		x->d.out_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
		jpeg_start_decompress(&x->d);
		while (x->d.output_scanline < x->d.output_height) {
			JSAMPROW row = x->out + (size_t)x->d.output_scanline * x->d.output_width * channels;

			jpeg_read_scanlines(&x->d, &row, 1);
		}
	}
	jpeg_finish_decompress(&x->d);
}

static int find_orientation(const struct jpeg_decompress_struct *d)
{
	static const unsigned char head[6] = {'E', 'x', 'i', 'f', 0, 0};

	for (jpeg_saved_marker_ptr k = d->marker_list; k; k = k->next)
		if (k->data_length > sizeof(head) && memcmp(k->data, head, sizeof(head)) == 0)
			return exif_orientation(k->data + sizeof(head), k->data_length - sizeof(head));
	return 1;
}

static bool is_jpeg(const unsigned char *b, size_t n)
{
	return n >= 3 && b[0] == 0xff && b[1] == 0xd8 && b[2] == 0xff;
}

static int jpeg_info(const char *name, const unsigned char *bytes, size_t n, struct image_info *out)
{
	struct decoder x = {.bytes = bytes, .n = n, .wants_exif = true};
	int rc = guarded(&x, name, read_header);

	if (!rc) {
		out->height = (int)x.d.image_height;
		out->width = (int)x.d.image_width;
		out->channels = x.d.jpeg_color_space == JCS_GRAYSCALE ? 1 : 3;
		out->orientation = find_orientation(&x.d);
		out->changes = is_cmyk(&x.d) ? CHANGE_BIT(CHANGE_CMYK) : 0;
	}
	jpeg_destroy_decompress(&x.d);
	return rc;
}

static int jpeg_decode(const char *name, const unsigned char *bytes, size_t n, const struct image_info *info,
    uint8_t *out, unsigned *changes)
{
	struct decoder x = {.bytes = bytes, .n = n, .out = out};
	int rc = guarded(&x, name, read_pixels);

	(void)info;
	if (x.m.fault)
		*changes |= CHANGE_BIT(CHANGE_FAULT);
	jpeg_destroy_decompress(&x.d);
	return rc;
}

const struct image_format image_jpeg = {"JPEG", is_jpeg, jpeg_info, jpeg_decode};
