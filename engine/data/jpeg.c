/* JPEG by libjpeg. The library's own habits are switched off: errors do not end the program (setjmp), nothing is
 * printed, and a warning (truncated or corrupt data, which it would patch with grey) is an error. */
#include <setjmp.h>
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
};

static void on_error(j_common_ptr c)
{
	struct manager *m = (struct manager *)c->err;

	m->base.format_message(c, m->text);
	longjmp(m->jump, 1);
}

static void on_message(j_common_ptr c, int level)
{
	if (level < 0)
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
	jpeg_read_header(&x->d, TRUE);
}

static void read_pixels(struct decoder *x)
{
	read_header(x);
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
