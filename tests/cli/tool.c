/* Makes and checks files for the command-line tests, which are shell scripts and cannot do it themselves:
 *
 *   tool json FILE [PATH]...            FILE is JSON and has every PATH (stages.0.name)
 *   tool png FILE WIDTH HEIGHT          a grey image with a gradient
 *   tool jpeg FILE WIDTH HEIGHT RED     a colour image with a gradient and that much red
 *   tool idx PREFIX N SIDE CLASSES      PREFIX-images-idx3-ubyte and PREFIX-labels-idx1-ubyte
 *
 * Images depend on their arguments alone. */
#include <cjson/cJSON.h>
#include <spng.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

static int fail(const char *what, const char *name)
{
	fprintf(stderr, "tool: %s: %s\n", name, what);
	return 1;
}

static char *read_file(const char *path, size_t *size)
{
	FILE *f = fopen(path, "rb");
	char *bytes = malloc(1u << 22);
	*size = f && bytes ? fread(bytes, 1, 1u << 22, f) : 0;
	if (f)
		fclose(f);
	return bytes;
}

static const cJSON *walk(const cJSON *at, const char *path)
{
	char part[256];
	while (at && *path) {
		size_t n = strcspn(path, ".");
		snprintf(part, sizeof(part), "%.*s", (int)n, path);
		at =
		    cJSON_IsArray(at) ? cJSON_GetArrayItem(at, atoi(part)) : cJSON_GetObjectItemCaseSensitive(at, part);
		path += n + (path[n] == '.');
	}
	return at;
}

static int check_json(int argc, char **argv)
{
	size_t size;
	char *text = read_file(argv[0], &size);
	cJSON *json = text ? cJSON_ParseWithLengthOpts(text, size, NULL, 0) : NULL;
	int rc = json ? 0 : fail("is not JSON", argv[0]);
	for (int i = 1; i < argc && !rc; i++)
		rc = walk(json, argv[i]) ? 0 : fail("is missing", argv[i]);
	cJSON_Delete(json);
	free(text);
	return rc;
}

static unsigned char pixel(int x, int y, int width, int height)
{
	return (unsigned char)(255 * (x + y) / (width + height - 1));
}

static int write_png(const char *path, int width, int height)
{
	struct spng_ihdr head = {.width = (uint32_t)width,
	    .height = (uint32_t)height,
	    .bit_depth = 8,
	    .color_type = SPNG_COLOR_TYPE_GRAYSCALE};
	spng_ctx *ctx = spng_ctx_new(SPNG_CTX_ENCODER);
	unsigned char *pixels = malloc((size_t)width * (size_t)height);
	FILE *f = fopen(path, "wb");
	int rc = ctx && pixels && f ? 0 : 1;
	for (int i = 0; !rc && i < width * height; i++)
		pixels[i] = pixel(i % width, i / width, width, height);
	if (!rc)
		rc = spng_set_png_file(ctx, f) || spng_set_ihdr(ctx, &head) ||
		     spng_encode_image(ctx, pixels, (size_t)width * (size_t)height, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE);
	spng_ctx_free(ctx);
	free(pixels);
	if (f)
		fclose(f);
	return rc ? fail("cannot be written", path) : 0;
}

static int write_jpeg(const char *path, int width, int height, int red)
{
	struct jpeg_compress_struct j;
	struct jpeg_error_mgr errors;
	unsigned char row[3 * 1024];
	JSAMPROW rows[1] = {row};
	FILE *f = fopen(path, "wb");
	if (!f || width > 1024)
		return fail("cannot be written", path);
	j.err = jpeg_std_error(&errors);
	jpeg_create_compress(&j);
	jpeg_stdio_dest(&j, f);
	j.image_width = (JDIMENSION)width;
	j.image_height = (JDIMENSION)height;
	j.input_components = 3;
	j.in_color_space = JCS_RGB;
	jpeg_set_defaults(&j);
	jpeg_start_compress(&j, TRUE);
	for (int y = 0; y < height; y++) {
		for (int x = 0; x < width; x++) {
			row[3 * x] = (unsigned char)red;
			row[3 * x + 1] = row[3 * x + 2] = pixel(x, y, width, height);
		}
		jpeg_write_scanlines(&j, rows, 1);
	}
	jpeg_finish_compress(&j);
	jpeg_destroy_compress(&j);
	return fclose(f) ? fail("cannot be written", path) : 0;
}

static void put32(FILE *f, int v)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		fputc(v >> shift & 255, f);
}

/* Sample i is of class i % classes and brighter the higher its class; no two images are equal. */
static int write_idx(const char *prefix, int n, int side, int classes)
{
	char path[2][1024];
	snprintf(path[0], sizeof(path[0]), "%s-images-idx3-ubyte", prefix);
	snprintf(path[1], sizeof(path[1]), "%s-labels-idx1-ubyte", prefix);
	FILE *images = fopen(path[0], "wb"), *labels = fopen(path[1], "wb");
	if (!images || !labels)
		return fail("cannot be written", prefix);
	put32(images, 0x803);
	put32(images, n);
	put32(images, side);
	put32(images, side);
	put32(labels, 0x801);
	put32(labels, n);
	for (int i = 0; i < n; i++) {
		fputc(i % classes, labels);
		for (int p = 0; p < side * side; p++)
			fputc(p < 2 ? (p ? i >> 8 : i) & 255 : (i % classes * 20 + p * (i + 1)) % 251, images);
	}
	return fclose(images) || fclose(labels) ? fail("cannot be written", prefix) : 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";
	if (strcmp(what, "json") == 0)
		return check_json(argc - 2, argv + 2);
	if (strcmp(what, "png") == 0 && argc == 5)
		return write_png(argv[2], atoi(argv[3]), atoi(argv[4]));
	if (strcmp(what, "jpeg") == 0 && argc == 6)
		return write_jpeg(argv[2], atoi(argv[3]), atoi(argv[4]), atoi(argv[5]));
	if (strcmp(what, "idx") == 0 && argc == 6)
		return write_idx(argv[2], atoi(argv[3]), atoi(argv[4]), atoi(argv[5]));
	return fail("usage: see tool.c", "tool");
}
