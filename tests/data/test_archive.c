/* Archives to their last byte: what is damaged, joined, packed twice or far larger than it looks. */
#define _GNU_SOURCE /* newlocale */
#include <locale.h>
#include <unistd.h>

#include "data/archive.h"
#include "data/idx.h"
#include "data/tree.h"
#include "data/unpack.h"

static const char *const entries[] = {"set/cat/1.png", "set/cat/2.png", "set/dog/1.png", "set/dog/2.png", NULL};

struct sum {
	int files, links;
	uint64_t content; /* of all files and their names, in order */
};

static int add_up(const struct archive_member *m, void *user)
{
	struct sum *s = user;
	unsigned char *bytes;
	size_t n;
	int rc;

	s->links += m->kind == ARCHIVE_LINK;
	if (m->kind != ARCHIVE_FILE)
		return 0;
	rc = archive_member_read(m, 1 << 20, &bytes, &n);
	if (rc != 0)
		return rc;
	s->files++;
	for (size_t i = 0; i < n; i++)
		s->content = s->content * 31 + bytes[i];
	for (const char *p = m->name; *p; p++)
		s->content = s->content * 31 + (unsigned char)*p;
	mem_free(bytes);
	return 0;
}

static void must_refuse(const char *name, const char *part)
{
	struct sum s = {0};

	assert_int_equal(archive_walk(at(name), add_up, &s), ERR_DATA);
	if (!strstr(err_message(), part))
		fail_msg("message '%s' lacks '%s'", err_message(), part);
}

static struct sum must_walk(const char *name)
{
	struct sum s = {0};

	if (archive_walk(at(name), add_up, &s) != 0)
		fail_msg("%s", err_message());
	return s;
}

static struct fs_bytes load(const char *name)
{
	struct fs_bytes b;

	assert_int_equal(fs_read(at(name), &b), 0);
	return b;
}

/* Without waiting for the disk: the file is written a thousand times. */
static void overwrite(const char *name, const void *bytes, size_t n)
{
	FILE *f = fopen(at(name), "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

static void archive__every_flipped_bit_is_refused_or_changes_nothing(void **state)
{
	static const char *const names[] = {"a.tar.gz", "a.zip", "a.tar.bz2", "a.tar.xz"};

	(void)state;
	for (int k = 0; k < 4; k++) {
		struct sum good, s;
		struct fs_bytes b;
		int refused = 0;

		pack_tree(names[k], entries);
		good = must_walk(names[k]);
		assert_int_equal(good.files, 4);
		b = load(names[k]);
		for (size_t i = 0; i < b.size; i++) {
			b.data[i] ^= (unsigned char)(1 << i % 8);
			overwrite("flipped", b.data, b.size);
			b.data[i] ^= (unsigned char)(1 << i % 8);
			s = (struct sum){0};
			if (archive_walk(at("flipped"), add_up, &s) == 0)
				/* Times and permissions are not looked at; a .zip has no checksum of what is a file. */
				assert_true(s.content == good.content || (k == 1 && s.files < good.files));
			else
				refused++;
		}
		assert_true(refused > (int)b.size / 3);
		fs_bytes_clear(&b);
	}
}

static void archive__gzip_is_checked_to_its_end(void **state)
{
	struct fs_bytes b;
	unsigned char last;

	(void)state;
	pack_tree("a.tar.gz", entries);
	b = load("a.tar.gz");
	for (size_t i = b.size - 8; i < b.size; i++) {
		b.data[i] ^= 1;
		put("x.tar.gz", b.data, b.size);
		must_refuse("x.tar.gz", i < b.size - 4 ? "incorrect data check" : "incorrect length check");
		b.data[i] ^= 1;
		put("x.tar.gz", b.data, i);
		must_refuse("x.tar.gz", "truncated: the compressed data ends early");
	}
	last = b.data[b.size];
	b.data[b.size] = 'x';
	put("x.tar.gz", b.data, b.size + 1);
	must_refuse("x.tar.gz", "the gzip data ends, and other bytes follow it");
	b.data[b.size] = 0; /* blocks of tapes are filled up */
	put("x.tar.gz", b.data, b.size + 1);
	assert_int_equal(must_walk("x.tar.gz").files, 4);
	b.data[b.size] = last;
	fs_bytes_clear(&b);
}

static const char *const packed[] = {"a.tar.bz2", "a.tar.xz", "a.tar.zst"};

static void archive__other_filters_give_what_gzip_gives(void **state)
{
	struct sum plain;

	(void)state;
	pack_tree("a.tar.gz", entries);
	plain = must_walk("a.tar.gz");
	for (size_t k = 0; k < sizeof(packed) / sizeof(packed[0]); k++) {
		pack_tree(packed[k], entries);
		assert_int_equal(must_walk(packed[k]).content, plain.content);
	}
}

static void archive__other_filters_are_checked_to_their_end(void **state)
{
	(void)state;
	for (size_t k = 0; k < sizeof(packed) / sizeof(packed[0]); k++) {
		struct fs_bytes b;
		unsigned char *more;
		struct sum s;

		pack_tree(packed[k], entries);
		b = load(packed[k]);
		more = mem_alloc(b.size + 600, 1);
		assert_non_null(more);
		for (size_t i = 0; i < b.size; i += 1 + b.size / 50) {
			put("cut", b.data, i);
			s = (struct sum){0};
			assert_int_equal(archive_walk(at("cut"), add_up, &s), ERR_DATA);
		}
		put("cut", b.data, b.size - 1);
		s = (struct sum){0};
		assert_int_equal(archive_walk(at("cut"), add_up, &s), ERR_DATA);
		memcpy(more, b.data, b.size);
		put("x.tar", more, b.size + 600); /* blocks of tapes are filled up */
		s = (struct sum){0};
		if (archive_walk(at("x.tar"), add_up, &s) == 0)
			assert_int_equal(s.files, 4);
		else
			assert_string_equal(packed[k], "a.tar.zst"); /* to zstd they are no frame */
		more[b.size + 599] = 'x';
		put("x.tar", more, b.size + 600);
		s = (struct sum){0};
		assert_int_equal(archive_walk(at("x.tar"), add_up, &s), ERR_DATA);
		memcpy(more + b.size, "more", 4);
		put("x.tar", more, b.size + 4);
		s = (struct sum){0};
		assert_int_equal(archive_walk(at("x.tar"), add_up, &s), ERR_DATA);
		mem_free(more);
		fs_bytes_clear(&b);
	}
}

static void append(const char *to, const char *const *parts)
{
	FILE *f = fopen(at(to), "wb");

	assert_non_null(f);
	for (int i = 0; parts[i]; i++) {
		struct fs_bytes b = load(parts[i]);

		assert_int_equal(fwrite(b.data, 1, b.size, f), b.size);
		fs_bytes_clear(&b);
	}
	assert_int_equal(fclose(f), 0);
}

static void archive__joined_parts_are_all_read(void **state)
{
	static const char *const more[] = {"set/owl/1.png", NULL};
	struct fs_bytes b;

	(void)state;
	pack_tree("a.tar", entries);
	pack_tree("b.tar", more);
	append("ab.tar", (const char *const[]){"a.tar", "b.tar", NULL});
	assert_int_equal(must_walk("ab.tar").files, 5);
	/* One archive in two gzip members, and two archives. */
	b = load("a.tar");
	put_gz("1.gz", b.data, 1000);
	put_gz("2.gz", b.data + 1000, b.size - 1000);
	fs_bytes_clear(&b);
	append("split.tar.gz", (const char *const[]){"1.gz", "2.gz", NULL});
	assert_int_equal(must_walk("split.tar.gz").files, 4);
	pack_tree("b.tar.gz", more);
	append("joined.tar.gz", (const char *const[]){"split.tar.gz", "b.tar.gz", NULL});
	assert_int_equal(must_walk("joined.tar.gz").files, 5);
	put_text("text", "what is this?");
	append("garbage.tar", (const char *const[]){"a.tar", "text", NULL});
	must_refuse("garbage.tar", "garbage.tar: ");
}

/* Cut at any block: what lies in front of it is a valid archive, but for its end. */
static void archive__tar_without_its_end_is_refused(void **state)
{
	struct fs_bytes b;
	size_t end;

	(void)state;
	pack_tree("a.tar", entries);
	b = load("a.tar");
	for (end = b.size; end > 0 && b.data[end - 1] == 0; end--)
		;
	end += (512 - end % 512) % 512;
	for (size_t n = 512; n <= end; n += 512) {
		put("x.tar", b.data, n);
		must_refuse("x.tar", "x.tar:");
		put_gz("x.tar.gz", b.data, n);
		must_refuse("x.tar.gz", "x.tar.gz:");
	}
	put("x.tar", b.data, end);
	must_refuse("x.tar", "cut off: the blocks of zeros at the end of a .tar archive are not there");
	put("x.tar", b.data, end + 512); /* some programs write one only */
	assert_int_equal(must_walk("x.tar").files, 4);
	fs_bytes_clear(&b);
}

/* Only the last has a directory that is found, at its end. */
static void archive__joined_zips_are_refused(void **state)
{
	struct fs_bytes b;

	(void)state;
	pack_tree("a.zip", entries);
	pack_tree("b.zip", (const char *const[]){"set/owl/1.png", NULL});
	append("ab.zip", (const char *const[]){"a.zip", "b.zip", NULL});
	must_refuse("ab.zip", "several .zip archives in one file");
	b = load("b.zip");
	put("b.zip", b.data, b.size - 30);
	fs_bytes_clear(&b);
	append("ab.zip", (const char *const[]){"a.zip", "b.zip", NULL});
	must_refuse("ab.zip", "several .zip archives in one file");
	put_text("script", "#!/bin/sh\necho this unpacks itself\n");
	append("self.zip", (const char *const[]){"script", "a.zip", NULL});
	assert_int_equal(must_walk("self.zip").files, 4);
}

static size_t find_bytes(const struct fs_bytes *b, const char *sign, size_t from)
{
	while (memcmp(b->data + from, sign, 4) != 0)
		from++;
	return from;
}

/* A name that the directory and the member have in two ways, behind an entry with a comment. */
static void archive__zip_entries_follow_their_comments(void **state)
{
	static const char comment[] = "a comment";
	const size_t more = sizeof(comment) - 1;
	struct fs_bytes b;
	size_t first, second, end;
	unsigned char *x;

	(void)state;
	pack_tree("a.zip", entries);
	b = load("a.zip");
	first = find_bytes(&b, "PK\1\2", 0);
	second = find_bytes(&b, "PK\1\2", first + 4);
	end = find_bytes(&b, "PK\5\6", second) + more;
	x = malloc(b.size + more);
	memcpy(x, b.data, second);
	memcpy(x + second, comment, more);
	memcpy(x + second + more, b.data + second, b.size - second);
	x[first + 32] = (unsigned char)more;
	x[end + 12] = (unsigned char)(x[end + 12] + more); /* bytes of the directory; no carry */
	put("x.zip", x, b.size + more);
	assert_int_equal(must_walk("x.zip").files, 4);
	x[second + more + 46] ^= 1; /* the first letter of the second name */
	put("x.zip", x, b.size + more);
	must_refuse("x.zip", "the directory of the archive calls a member ");
	free(x);
	fs_bytes_clear(&b);
}

/* The comment is up to 65,535 bytes behind the last record; it may look like records itself. */
static void archive__zips_with_any_comment_are_read(void **state)
{
	static const size_t lengths[] = {1, 300, 16384, 16385, 60000, 65535};
	static const char *const begins[] = {"about this set", "PK\5\6 is what the record begins with", "PK\3\4"};

	(void)state;
	pack_tree("a.zip", entries);
	const struct sum good = must_walk("a.zip");
	struct fs_bytes b = load("a.zip");
	unsigned char *all = mem_alloc(b.size + 65535, 1);

	memcpy(all, b.data, b.size);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		const size_t n = lengths[i];

		memset(all + b.size, 'c', n);
		for (int k = 0; k < 3; k++) {
			memcpy(all + b.size, begins[k], n < strlen(begins[k]) ? n : strlen(begins[k]));
			all[b.size - 2] = (unsigned char)(n & 255);
			all[b.size - 1] = (unsigned char)(n >> 8);
			put("commented.zip", all, b.size + n);
			assert_true(must_walk("commented.zip").content == good.content);
		}
	}
	mem_free(all);
	fs_bytes_clear(&b);
}

/* Sparse files of a TiB, which take hours to be read. */
static void archive__zeros_are_not_read_to_their_end(void **state)
{
	static const struct {
		const char *name, *says;
	} cases[] = {{"empty", "it begins with 128 MiB of zeros"}, {"a.tar", "128 MiB of zeros in front of byte"},
	    {"a.zip", "a .zip archive without the directory at its end"},
	    {"a.tar.gz", "more than 128 MiB of zeros behind the gzip data"}};

	(void)state;
	put("empty", "", 0);
	pack_tree("a.tar", entries);
	pack_tree("a.zip", entries);
	pack_tree("a.tar.gz", entries);
	for (int i = 0; i < 4; i++) {
		if (truncate(at(cases[i].name), (off_t)1 << 40) < 0)
			skip(); /* such files cannot be here */
		must_refuse(cases[i].name, cases[i].says);
	}
}

static void archive__gzip_in_gzip_is_refused(void **state)
{
	struct fs_bytes b;
	struct idx x;

	(void)state;
	pack_tree("a.tar.gz", entries);
	b = load("a.tar.gz");
	put_gz("twice.tar.gz", b.data, b.size);
	fs_bytes_clear(&b);
	must_refuse("twice.tar.gz", "a gzip file inside a gzip file; unpack it once");
	assert_int_equal(idx_read(&x, at("twice.tar.gz"), 1, 4), ERR_DATA);
	assert_non_null(strstr(err_message(), "a gzip file inside a gzip file"));
}

/* A .tar.gz with a member of zeros: one compressed piece again and again. The limit is met before the end, where the
 * checksum would be wrong. */
static void put_bomb(const char *name, int mebibytes)
{
	static unsigned char zeros[1 << 20], head[4096], piece[1 << 14], block[512];
	struct archive *a = archive_write_new();
	struct archive_entry *e = archive_entry_new();
	FILE *f = fopen(at(name), "wb");
	size_t used = 0;
	z_stream z = {0};

	assert_non_null(f);
	archive_write_set_format_ustar(a);
	archive_write_set_bytes_per_block(a, 0);
	archive_write_open_memory(a, block, sizeof(block), &used);
	archive_entry_set_pathname(e, "set/readme.txt");
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_size(e, (la_int64_t)mebibytes << 20);
	assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
	assert_int_equal(used, sizeof(block));
	archive_entry_free(e);
	archive_write_free(a);

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = block;
	z.avail_in = sizeof(block);
	z.next_out = head;
	z.avail_out = sizeof(head);
	assert_int_equal(deflate(&z, Z_FULL_FLUSH), Z_OK);
	assert_int_equal(fwrite(head, 1, sizeof(head) - z.avail_out, f), sizeof(head) - z.avail_out);
	z.next_in = zeros;
	z.avail_in = sizeof(zeros);
	z.next_out = piece;
	z.avail_out = sizeof(piece);
	assert_int_equal(deflate(&z, Z_FULL_FLUSH), Z_OK);
	for (int i = 0; i < mebibytes; i++)
		assert_int_equal(fwrite(piece, 1, sizeof(piece) - z.avail_out, f), sizeof(piece) - z.avail_out);
	deflateEnd(&z);
	assert_int_equal(fclose(f), 0);
}

static void archive__what_unpacks_without_end_is_refused(void **state)
{
	(void)state;
	put_bomb("bomb.tar.gz", 320);
	must_refuse("bomb.tar.gz", "set/readme.txt: larger than 1048576 bytes");
	/* The same where nobody reads the member. */
	must_fail("{source: images, path: DIR, archives: bomb.tar.gz}", ERR_DATA, "bomb.tar.gz: unpacks to more than ");
}

/* A file of zeros, packed. */
static void put_zeros(const char *name, int (*add_filter)(struct archive *), int mebibytes)
{
	static unsigned char zeros[1 << 20];
	struct archive *a = archive_write_new();
	struct archive_entry *e = archive_entry_new();

	archive_write_set_format_ustar(a);
	assert_int_equal(add_filter(a), ARCHIVE_OK);
	assert_int_equal(archive_write_open_filename(a, at(name)), ARCHIVE_OK);
	archive_entry_set_pathname(e, "set/readme.txt");
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_size(e, (la_int64_t)mebibytes << 20);
	assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
	for (int i = 0; i < mebibytes; i++)
		assert_int_equal(archive_write_data(a, zeros, sizeof(zeros)), sizeof(zeros));
	archive_entry_free(e);
	assert_int_equal(archive_write_close(a), ARCHIVE_OK);
	archive_write_free(a);
}

static void archive__what_other_filters_unpack_without_end_is_refused(void **state)
{
	(void)state;
	put_zeros("bomb.tar.zst", archive_write_add_filter_zstd, 300);
	must_fail(
	    "{source: images, path: DIR, archives: bomb.tar.zst}", ERR_DATA, "bomb.tar.zst: unpacks to more than ");
}

static void archive__other_files_are_named(void **state)
{
	struct fs_bytes b;

	(void)state;
	pack_tree("a.zip", entries);
	b = load("a.zip");
	put("a.zip", b.data, b.size - 40);
	fs_bytes_clear(&b);
	must_refuse("a.zip", "a .zip archive without the directory at its end: it is cut off");
	put_text("a.tar.gz", "not an archive, but a text of some length");
	must_refuse("a.tar.gz", "neither a .tar (as it is, or packed as .gz, .bz2, .xz or .zst) nor a .zip archive");
	put_text("empty.zip", "");
	must_refuse("empty.zip", "empty.zip: ");
	must_refuse("none.zip", "none.zip: No such file");
	must_refuse(".", "is a folder, not a file");
}

static void archive__links_lead_through_links(void **state)
{
	(void)state;
	pack_tree("a.tar", (const char *const[]){"l1.png -> d/l2.png", "d/l2.png -> ../e/1.png", "e/1.png", "e -> f",
			       "f/1.png", "g/x.png -> /etc/passwd", "g/y.png -> ../../up.png", NULL});
	/* e is a file's folder and a link: the link has its way, as when the archive is unpacked. */
	struct sum s = must_walk("a.tar");

	assert_int_equal(s.links, 2);
	assert_true(s.files >= 4);
	pack_tree("out.tar", (const char *const[]){"../out/1.png", NULL});
	must_refuse("out.tar", "../out/1.png: this name leads out of the archive");
	/* An absolute target is outside, even where the archive has the same names inside. */
	pack_tree("a.tar", (const char *const[]){"g/x.png -> /etc/1.png", "g/etc/1.png", "etc/1.png", NULL});
	s = must_walk("a.tar");
	assert_int_equal(s.links, 1);
	assert_int_equal(s.files, 2);
}

static void archive__folders_have_a_depth(void **state)
{
	char deep[256] = "";
	const char *const names[] = {deep, NULL};

	(void)state;
	for (int i = 0; i < 64; i++)
		strcat(deep, "d/");
	strcat(deep, "1.png");
	pack_tree("a.tar", names);
	assert_int_equal(must_walk("a.tar").files, 1);
	memmove(deep + 2, deep, strlen(deep) + 1);
	memcpy(deep, "d/", 2);
	pack_tree("a.tar", names);
	must_refuse("a.tar", "more than 64 folders inside each other");
}

static void archive__names_in_utf8_are_read_in_any_locale(void **state)
{
	locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0), before;

	(void)state;
	assert_true(utf8 != (locale_t)0);
	before = uselocale(utf8);
	pack_tree("a.zip", (const char *const[]){"caf\xc3\xa9/1.png",
			       "L\xc3\xa9"
			       "ame.txt",
			       NULL});
	pack_tree("a.tar", (const char *const[]){"caf\xc3\xa9/1.png",
			       "L\xc3\xa9"
			       "ame.txt",
			       NULL});
	uselocale(before);
	freelocale(utf8);
	assert_int_equal(must_walk("a.zip").files, 2);
	assert_int_equal(must_walk("a.tar").files, 2);
}

static void unpack__reads_in_pieces_of_any_size(void **state)
{
	static const size_t pieces[] = {1, 7, 4096, 1 << 20};
	static unsigned char bytes[300000], back[300000];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * i >> 7);
	put_gz("a.gz", bytes, sizeof(bytes));
	for (size_t k = 0; k < sizeof(pieces) / sizeof(pieces[0]); k++) {
		struct unpack u;
		size_t n = 0, got = 1;

		assert_int_equal(unpack_open(&u, at("a.gz"), sizeof(bytes)), 0);
		while (got > 0) {
			size_t want = pieces[k] < sizeof(back) - n ? pieces[k] : sizeof(back) - n;

			assert_int_equal(unpack_read(&u, back + n, want ? want : 1, &got), 0);
			n += got;
		}
		assert_int_equal(n, sizeof(bytes));
		assert_memory_equal(back, bytes, n);
		unpack_close(&u);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(archive__every_flipped_bit_is_refused_or_changes_nothing),
	    TEST(archive__gzip_is_checked_to_its_end),
	    TEST(archive__other_filters_give_what_gzip_gives),
	    TEST(archive__other_filters_are_checked_to_their_end),
	    TEST(archive__what_other_filters_unpack_without_end_is_refused),
	    TEST(archive__joined_parts_are_all_read),
	    TEST(archive__tar_without_its_end_is_refused),
	    TEST(archive__joined_zips_are_refused),
	    TEST(archive__zip_entries_follow_their_comments),
	    TEST(archive__zips_with_any_comment_are_read),
	    TEST(archive__zeros_are_not_read_to_their_end),
	    TEST(archive__gzip_in_gzip_is_refused),
	    TEST(archive__what_unpacks_without_end_is_refused),
	    TEST(archive__other_files_are_named),
	    TEST(archive__links_lead_through_links),
	    TEST(archive__folders_have_a_depth),
	    TEST(archive__names_in_utf8_are_read_in_any_locale),
	    TEST(unpack__reads_in_pieces_of_any_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
