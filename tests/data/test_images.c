/* The source `images`: folders, archives, index files, and what is wrong with them. */
#include "data/fixture.h"

/* Three classes with 6, 7, 8 images of 4x3 in colour; every image is different. */
static const char *const classes[] = {"Alpha", "beta", "Gamma"};

static char names[21][64];
static const char *member[22];

static void put_images(void)
{
	int k = 0;

	for (int c = 0; c < 3; c++) {
		for (int i = 0; i < 6 + c; i++, k++) {
			snprintf(names[k], sizeof(names[k]), "set/%s/%s_%d.png", classes[c], classes[c], i);
			put_png(names[k], 4, 3, 3, k);
			member[k] = names[k];
		}
	}
	member[k] = NULL;
}

static struct dataset must_open(const char *yaml_text, bool with_test)
{
	struct data_options o = options(yaml_text);
	struct dataset d;

	if (dataset_open(&d, &o, NULL, 1, with_test) != 0)
		fail_msg("%s", err_message());
	option_clear(data_option_table, &o);
	return d;
}

/* Every image must have the label of its folder and its own pixels. */
static void check_contents(const struct dataset *d, int expected)
{
	int seen = 0;

	for (int s = 0; s < SPLIT_COUNT; s++) {
		for (int64_t i = 0; d->split[s].pixels && i < d->n[s]; i++, seen++) {
			const char *file = strstr(d->split[s].file[i], "set/");
			uint8_t want[36];
			int k = 0;

			assert_non_null(strstr(d->split[s].file[i], d->class_name[d->split[s].label[i]]));
			file = file ? file + 4 : d->split[s].file[i]; /* folders: the name is relative to path */
			while (strcmp(names[k] + 4, file) != 0)
				k++;
			ramp(want, sizeof(want), k);
			assert_memory_equal(pixels_of(d, s, i), want, sizeof(want));
		}
	}
	assert_int_equal(seen, expected);
}

static void images__come_from_class_folders(void **state)
{
	struct dataset d;

	(void)state;
	put_images();
	put_text("set/README.txt", "not a class");
	put_text("set/Alpha/notes.txt", "not an image");
	d = must_open("{source: images, path: DIR/set}", true);
	assert_int_equal(d.height, 4);
	assert_int_equal(d.width, 3);
	assert_int_equal(d.channels, 3);
	assert_int_equal(d.classes, 3);
	assert_string_equal(d.class_name[0], "Alpha"); /* strcmp order: capitals first */
	assert_string_equal(d.class_name[1], "Gamma");
	assert_string_equal(d.class_name[2], "beta");
	check_contents(&d, 21);
	dataset_close(&d);
}

static void images__archives_give_what_folders_give(void **state)
{
	struct dataset a, b, c;

	(void)state;
	put_images();
	pack("all.tar.gz", member);
	pack("all.zip", member);
	a = must_open("{source: images, path: DIR, archives: [all.tar.gz]}", true);
	b = must_open("{source: images, path: DIR, archives: all.zip}", true);
	c = must_open("{source: images, path: DIR/set}", true);
	check_contents(&a, 21);
	check_contents(&b, 21);
	for (int s = 0; s < SPLIT_COUNT; s++)
		assert_string_equal(a.hash[s], b.hash[s]);
	/* The archive lists beta before Gamma, folders are sorted: the same splits, another order of samples. */
	for (int s = 0; s < SPLIT_COUNT; s++) {
		struct prints x, y;

		assert_int_equal(dataset_split_prints(&a, (enum split)s, &x), 0);
		assert_int_equal(dataset_split_prints(&c, (enum split)s, &y), 0);
		assert_int_equal(x.n, y.n);
		assert_memory_equal(x.v, y.v, (size_t)x.n * sizeof(*x.v));
		prints_clear(&x);
		prints_clear(&y);
	}
	dataset_close(&a);
	dataset_close(&b);
	dataset_close(&c);
}

/* An index over the 21 images: in each class the first is for testing, the second for validation. */
static void put_index(const char *name, const char *archive_a, const char *archive_b)
{
	char text[8192] = "file,label,class,archive,split\r\n";
	int k = 0;

	for (int c = 0; c < 3; c++) {
		for (int i = 0; i < 6 + c; i++, k++) {
			char row[256];

			snprintf(row, sizeof(row), "%s,%d,%s,%s,%s\r\n", names[k], c, classes[c],
			    k % 2 ? archive_b : archive_a,
			    i < 2   ? "test"
			    : i < 4 ? "val"
				    : "train");
			strcat(text, row);
		}
	}
	put_text(name, text);
}

static void images__index_names_labels_and_splits(void **state)
{
	struct dataset d;

	(void)state;
	put_images();
	put_index("index.csv", "core", "rest");
	d = must_open(
	    "{source: images, path: DIR, index: index.csv}", true); /* folders: the archive column is not used */
	assert_string_equal(d.class_name[1], "beta");               /* by the label column, not the alphabet */
	assert_int_equal(d.n[SPLIT_TEST], 6);
	assert_int_equal(d.n[SPLIT_VAL], 6);
	assert_int_equal(d.n[SPLIT_TRAIN], 9);
	assert_int_equal(d.duplicates_train_test + d.duplicates_train_val + d.duplicates_val_test, 0);
	check_contents(&d, 21);
	dataset_close(&d);
	d = must_open("{source: images, path: DIR, index: index.csv}", false);
	check_contents(&d, 15);
	dataset_close(&d);
}

/* Folds of the table's own, and folds that are cut by content. */
static void images__are_cut_into_folds(void **state)
{
	char text[8192] = "file,class,fold\n";
	struct dataset d;
	int64_t in_test = 0;

	(void)state;
	put_images();
	for (int c = 0, k = 0; c < 3; c++)
		for (int i = 0; i < 6 + c; i++, k++)
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s,%s,%d\n", names[k], classes[c],
			    1 + i % 2);
	put_text("index.csv", text);
	d = must_open("{source: images, path: DIR, index: index.csv, folds: 2, fold: 1, fold_column: fold}", true);
	assert_int_equal(d.n[SPLIT_TEST], 3 + 3 + 4);
	for (int64_t i = 0; i < d.n[SPLIT_TEST]; i++) {
		const char *row = strstr(text, d.split[SPLIT_TEST].file[i]);

		assert_int_equal(strchr(row, '\n')[-1], '2');
	}
	check_contents(&d, 21);
	dataset_close(&d);
	d = must_open("{source: images, path: DIR, index: index.csv}", true);
	assert_int_equal(d.notes.of[NOTE_FOLD].n, 1);
	dataset_close(&d);
	for (int fold = 0; fold < 3; fold++) {
		char yaml[128];

		snprintf(yaml, sizeof(yaml), "{source: images, path: DIR, index: index.csv, folds: 3, fold: %d}", fold);
		d = must_open(yaml, true);
		assert_int_equal(d.n[SPLIT_TEST], 7);
		in_test += d.n[SPLIT_TEST];
		dataset_close(&d);
	}
	assert_int_equal(in_test, 21);
	const char *key;
	struct data_options o = options("{source: images, path: DIR, folds: 3, fold_column: fold}");
	assert_int_equal(data_options_check(&o, &key), ERR_CONFIG);
	assert_string_equal(key, "fold_column");
	option_clear(data_option_table, &o);
}

static void images__index_selects_by_archive(void **state)
{
	const char *even[12] = {NULL}, *odd[12] = {NULL};
	struct dataset d;

	(void)state;
	put_images();
	put_index("index.csv", "core", "rest.zip");
	for (int k = 0; k < 21; k++)
		*(k % 2 ? odd + k / 2 : even + k / 2) = member[k];
	pack("my_core.tar.gz", even);
	pack("rest.zip", odd);
	d = must_open("{source: images, path: DIR, index: index.csv, archives: [my_core.tar.gz, rest.zip]}", true);
	check_contents(&d, 21);
	dataset_close(&d);
	d = must_open("{source: images, path: DIR, index: index.csv, archives: [my_core.tar.gz]}", true);
	check_contents(&d, 11);
	assert_int_equal(d.notes.of[NOTE_ROW].n, 10);
	dataset_close(&d);
	pack("other.zip", odd);
	must_fail("{source: images, path: DIR, index: index.csv, archives: [my_core.tar.gz, other.zip]}", ERR_DATA,
	    "no row names the archive");
	/* Whole parts of a name, and one archive for each. */
	pack("encore.zip", odd);
	must_fail("{source: images, path: DIR, index: index.csv, archives: [my_core.tar.gz, encore.zip]}", ERR_DATA,
	    "no row names the archive");
	pack("your-core.zip", odd);
	must_fail("{source: images, path: DIR, index: index.csv, archives: [my_core.tar.gz, your-core.zip]}", ERR_DATA,
	    "index.csv:2: archive 'core' may be ");
	must_fail("{source: images, path: DIR, index: index.csv, archives: [rest.zip, rest.zip]}", ERR_CONFIG, "twice");
	pack("my_core.tar.gz", odd);
	must_fail("{source: images, path: DIR, index: index.csv, archives: [my_core.tar.gz]}", ERR_DATA,
	    "none of the listed files");
	pack("my_core.tar.gz", (const char *[]){even[0], even[1], even[0], NULL});
	must_fail("{source: images, path: DIR, index: index.csv, archives: [my_core.tar.gz]}", ERR_DATA,
	    "my_core.tar.gz:set/Alpha/Alpha_0.png: occurs twice");
	even[3] = NULL;
	pack("my_core.tar.gz", even);
	must_fail("{source: images, path: DIR, index: index.csv, archives: [my_core.tar.gz]}", ERR_DATA,
	    "set/beta/beta_0.png: listed, but not in");
}

static void bad_index(const char *text, const char *part)
{
	put_text("bad.csv", text);
	must_fail("{source: images, path: DIR, index: bad.csv}", ERR_DATA, part);
}

static void images__broken_indexes_name_the_line(void **state)
{
	(void)state;
	put_images();
	bad_index("title,label\nx,1\n", "bad.csv:1: the header must name 'file'");
	bad_index("file,split\nx,train\n", "bad.csv:1: the header must name 'file'");
	bad_index("file,label\n", "no rows");
	bad_index("file,label\na,0\nb,-1\n", "bad.csv:3: label '-1'");
	bad_index("file,label\na,0\nb,1x\n", "bad.csv:3: label '1x'");
	bad_index("file,label\na,0\nb,+1\n", "bad.csv:3: label '+1'");
	bad_index("file,label\na,0\nb, 1\n", "bad.csv:3: label ' 1'");
	bad_index("file,label\na,0\nb,99999999999\n", "bad.csv:3: label");
	bad_index("file,label\na,0\nb,2\n", "labels go from 0 up to 2, but no row has label 1");
	bad_index("file,label\na,1\nb,3\n", "labels go from 1 up to 3, but no row has label 2");
	bad_index("file,label\na,2\nb,3\n", "labels go from 2 up to 3, but no row has label 0");
	bad_index("file,label\na,cat\nb,3\n", "bad.csv:3: label '3' is a number, and 'cat' above is a name");
	bad_index("file,label,class\na,cat,x\nb,dog,y\n", "the columns label and class both hold names");
	bad_index(
	    "Image,path,label\na,b,0\n", "which column is the file? these may be: Image, path; data.file names it");
	bad_index("file,target,class_id\na,0,1\n",
	    "which column is the label? these may be: target, class_id; data.label names it");
	bad_index("file,label,class\na,0,x\nb,0,y\n", "bad.csv:3: label 0 is class 'y' here and 'x' above");
	bad_index("file,label,split\na,0,trained\n", "bad.csv:2: split 'trained' is not train or training,");
	bad_index("file,class\na,\n", "bad.csv:2: the class is empty");
	bad_index("file,label\n,0\n", "bad.csv:2: the file name is empty");
	bad_index("file,label\na,0\na,0\n", "a: listed twice");
	bad_index("file,label\nset/nothing.png,0\n", "set/nothing.png: No such file");
	must_fail("{source: images, path: DIR, index: no.csv}", ERR_DATA, "no.csv: no such file");
	must_fail("{source: images}", ERR_CONFIG, "data.path");
	must_fail("{source: images, path: DIR/nowhere}", ERR_DATA, "nowhere: no such file or folder");
}

/* An index of all 21 images, with their folder's name in front, and what was found out about it. */
static void check_index(const char *header, const char *front, const char *const label[3], const char *end,
    const char *options_text, const char *found)
{
	char text[8192], all[512];
	struct dataset d;

	snprintf(text, sizeof(text), "%s\n", header);
	for (int i = 0; i < 21; i++)
		snprintf(text + strlen(text), 512, "%s%s%s\n", front, names[i], label[i < 6 ? 0 : i < 13 ? 1 : 2]);
	strcat(text, end);
	put_text("table", text);
	snprintf(all, sizeof(all), "{source: images, path: DIR, index: table%s}", options_text);
	d = must_open(all, true);
	check_contents(&d, 21);
	if (strcmp(d.notes.of[NOTE_FOUND].n ? d.notes.of[NOTE_FOUND].name[0] : "", found) != 0)
		fail_msg("'%s' is not '%s'", d.notes.of[NOTE_FOUND].name[0], found);
	dataset_close(&d);
}

static void images__columns_of_an_index_have_usual_names(void **state)
{
	(void)state;
	put_images();
	check_index("file,class", "", (const char *[]){",Alpha", ",beta", ",Gamma"}, "", "", "");
	check_index("Image Path;Category", "./", (const char *[]){";Alpha", ";beta", ";Gamma"}, "\n \n", "",
	    "table (file: Image Path, class: Category, delimiter: ';')");
	check_index("filename\tlabel", "", (const char *[]){"\tAlpha", "\tbeta", "\tGamma"}, "\n", "",
	    "table (file: filename, class: label, delimiter: tab)");
	check_index("image,path,target", "x,", (const char *[]){",Alpha", ",beta", ",Gamma"}, "",
	    ", file: path, label: target", "");
	check_index("img,class_id,class_name,partition", "",
	    (const char *[]){",1,Alpha,training", ",2,beta,Training", ",3,Gamma,train"}, "", "",
	    "table (file: img, label: class_id, class: class_name, split: partition)");
}

static void images__labels_of_an_index_may_begin_at_1(void **state)
{
	struct data_options o;
	struct dataset d;

	(void)state;
	put_images();
	put_text("one.csv", "file,label\nset/Alpha/Alpha_0.png,1\nset/Alpha/Alpha_1.png,1\nset/Alpha/Alpha_2.png,1\n"
			    "set/beta/beta_0.png,2\nset/beta/beta_1.png,2\nset/beta/beta_2.png,2\n\n");
	o = options("{source: images, path: DIR, index: one.csv}");
	if (dataset_open(&d, &o, NULL, 1, true) != 0)
		fail_msg("%s", err_message());
	assert_int_equal(d.classes, 2);
	assert_string_equal(d.class_name[0], "1");
	assert_string_equal(d.class_name[1], "2");
	assert_string_equal(d.notes.of[NOTE_FOUND].name[0], "labels from 1 to 2, which are the classes 0 to 1");
	dataset_close(&d);
	option_clear(data_option_table, &o);
}

static void images__lie_outside_where_that_is_allowed(void **state)
{
	char text[1024];
	struct dataset d;

	(void)state;
	put_images();
	put_text("elsewhere/readme", "");
	strcpy(text, "file,class\n");
	for (int i = 0; i < 14; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s,%c\n", at(names[i]), i < 7 ? 'A' : 'B');
	put_text("elsewhere/i.csv", text);
	must_fail("{source: images, path: DIR/elsewhere, index: i.csv}", ERR_DATA,
	    "outside: true allows absolute names that lie elsewhere");
	d = must_open("{source: images, path: DIR/elsewhere, index: i.csv, outside: true}", true);
	assert_int_equal(d.n[0] + d.n[1] + d.n[2], 14);
	dataset_close(&d);
	/* All that is absolute lies below the root. */
	snprintf(text, sizeof(text), "{source: images, path: /, index: %s}", at("elsewhere/i.csv"));
	d = must_open(text, true);
	assert_int_equal(d.n[0] + d.n[1] + d.n[2], 14);
	dataset_close(&d);
	put_text("elsewhere/i.csv", "file,class\n../set/Alpha/Alpha_0.png,A\n");
	must_fail("{source: images, path: DIR/elsewhere, index: i.csv, outside: true}", ERR_DATA,
	    "'../set/Alpha/Alpha_0.png' is no name of a file below");
}

static void images__path_may_be_an_archive(void **state)
{
	struct dataset d;

	(void)state;
	put_images();
	pack("all.zip", member);
	d = must_open("{source: images, path: DIR/all.zip}", true);
	check_contents(&d, 21);
	dataset_close(&d);
}

static void images__names_in_an_index_are_paths(void **state)
{
	static const char *const sets[] = {"DIR/set", "DIR, archives: all.zip"};
	static const char *const start[] = {"./Alpha/../", "./set//"};
	char text[8192];

	(void)state;
	put_images();
	pack("all.zip", member);
	for (int k = 0; k < 3; k++) {
		const char *path = k < 2 ? sets[k] : "DIR/set";
		struct dataset d;

		strcpy(text, "file,class\n");
		for (int i = 0; i < 21; i++)
			snprintf(text + strlen(text), 512, "%s%s,%.*s\n", k < 2 ? start[k] : at("set/"), names[i] + 4,
			    (int)strcspn(names[i] + 4, "/"), names[i] + 4);
		strcat(text, "\n");
		put_text("index.csv", text);
		snprintf(text, sizeof(text), "{source: images, path: %s, index: %s}", path, at("index.csv"));
		/* `options` replaces the first DIR alone; the index has its whole path. */
		d = must_open(text, true);
		check_contents(&d, 21);
		assert_int_equal(d.notes.of[NOTE_ROW].n, 0);
		dataset_close(&d);
	}
	bad_index("file,class\nset/Alpha/Alpha_0.png,A\n./set/Alpha/Alpha_0.png,A\n", "Alpha_0.png: listed twice");
	bad_index("file,class\n../set/Alpha/Alpha_0.png,A\n",
	    "bad.csv:2: '../set/Alpha/Alpha_0.png' is no name of a file below");
	bad_index("file,class\n/etc/passwd,A\n", "bad.csv:2: the absolute name '/etc/passwd' is not below");
	bad_index("file,class\nset/..,A\n", "bad.csv:2: 'set/..' is no name of a file below");
	snprintf(text, sizeof(text), "file,class\n%s,A\n", at("settled/Alpha_0.png"));
	put_text("bad.csv", text);
	must_fail("{source: images, path: DIR/set, index: ../bad.csv}", ERR_DATA, "bad.csv:2: the absolute name '");
	bad_index("\xff\xfe"
		  "f,class\n",
	    "bad.csv:1:1: this is UTF-16; only UTF-8 is read");
	bad_index("file,class\nset/Alpha/Alpha_0.png,A\nset/beta/beta_0.png,\x1b[2J\n",
	    "the name of class '\\x1b[2J' has a control character (byte 0x1b)");
}

static void images__a_class_missing_from_a_split_is_named(void **state)
{
	(void)state;
	put_images();
	put_text("bad.csv", "file,class,split\nset/Alpha/Alpha_0.png,A,train\nset/Alpha/Alpha_1.png,A,val\n"
			    "set/beta/beta_0.png,B,train\n");
	must_fail("{source: images, path: DIR, index: bad.csv, test_fraction: 0}", ERR_DATA,
	    "class 'B' has no sample in the validation split");
}

static void images__bad_images_are_named(void **state)
{
	struct fs_bytes b;

	(void)state;
	put_images();
	put_png("set/beta/beta_3.png", 4, 4, 3, 1);
	must_fail("{source: images, path: DIR/set}", ERR_DATA,
	    "beta/beta_3.png: image of 4 x 4 (height x width), expected 4 x 3");
	pack("all.zip", member);
	must_fail(
	    "{source: images, path: DIR, archives: all.zip}", ERR_DATA, "all.zip:set/beta/beta_3.png: image of 4 x 4");
	put_text("set/beta/beta_3.png", "junk");
	must_fail("{source: images, path: DIR/set}", ERR_DATA, "beta_3.png: neither a JPEG, PNG");
	put_png("set/beta/beta_3.png", 4, 3, 3, 9);
	pack("cut.tar.gz", member);
	assert_int_equal(fs_read(at("cut.tar.gz"), &b), 0);
	put("cut.tar.gz", b.data, b.size / 2);
	must_fail("{source: images, path: DIR, archives: cut.tar.gz}", ERR_DATA, "cut.tar.gz: ");
	put("cut.tar.gz", "", 0);
	must_fail("{source: images, path: DIR, archives: cut.tar.gz}", ERR_DATA, "cut.tar.gz: ");
	fs_bytes_clear(&b);
	assert_int_equal(fs_mkdirs(at("hollow")), 0);
	must_fail("{source: images, path: DIR/hollow}", ERR_DATA, "holds no class folders");
}

static void images__bad_files_are_listed_in_their_order_whatever_the_threads_do(void **state)
{
	(void)state;
	put_images();
	/* Of two threads one has the first sixteen files, of which Gamma_7 is among the last, the other the last five.
	 */
	put_text("set/Gamma/Gamma_7.png", "junk");
	put_text("set/beta/beta_6.png", "junk");
	pack("two.tar.gz", member);
	for (int i = 0; i < 40; i++) {
		const char *gamma, *beta;

		must_fail(
		    i % 2 ? "{source: images, path: DIR, archives: two.tar.gz}" : "{source: images, path: DIR/set}",
		    ERR_DATA, "2 of 21 images cannot be used");
		gamma = strstr(err_message(), "Gamma_7.png");
		beta = strstr(err_message(), "beta_6.png");
		assert_true(gamma && beta && (i % 2 ? beta < gamma : gamma < beta)); /* as the archive has them */
	}
}

static struct dataset open_with(const char *more, bool with_test)
{
	char yaml[256];

	snprintf(yaml, sizeof(yaml), "{source: images, path: DIR/set, val_fraction: 0.2, test_fraction: 0.2%s}", more);
	return must_open(yaml, with_test);
}

/* Damaged, of another size, empty: all in one message, those for testing too. */
static void images__that_cannot_be_used_are_all_listed(void **state)
{
	static const char *const kinds[] = {"{source: images, path: DIR/set}",
	    "{source: images, path: DIR, archives: [all.tar.gz]}", "{source: images, path: DIR, index: index.csv}"};

	(void)state;
	put_images();
	put_index("index.csv", "core", "rest");
	put_text(names[0], "junk"); /* for testing, says the index */
	put_png(names[8], 5, 3, 3, 8);
	put_text(names[20], "");
	pack("all.tar.gz", member);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct data_options o = options(kinds[i]);
		struct dataset d;

		assert_int_equal(dataset_open(&d, &o, NULL, 1, false), ERR_DATA); /* nobody asks for the test split */
		assert_non_null(strstr(err_message(),
		    "3 of 21 images cannot be used, skip_bad allows 0; data.size: 3 resizes all images to one size: "));
		assert_non_null(strstr(err_message(), "Alpha_0.png: neither a JPEG, PNG, WebP, TIFF nor BMP image; "));
		assert_non_null(strstr(err_message(), "beta_2.png: image of 5 x 3 (height x width), expected 4 x 3"));
		assert_non_null(strstr(err_message(), "Gamma_7.png: empty file"));
		option_clear(data_option_table, &o);
	}
	must_fail("{source: images, path: DIR/set, skip_bad: 2}", ERR_DATA,
	    "3 of 21 images cannot be used, skip_bad allows 2; data.size: 3 resizes all images to one size: ");
	must_fail("{source: images, path: DIR/set, skip_bad: 1}", ERR_DATA, "skip_bad allows 1; data.size: 3 resizes");
	/* What was passed over is said of a data set that is refused, too. */
	put_text("set/Alpha/more.gif", "x");
	put_text("set/Alpha/.hidden", "x");
	must_fail(
	    "{source: images, path: DIR/set}", ERR_DATA, "; passed over: 1 file of another suffix (Alpha/more.gif)");
}

/* Neither is the size of the images that of the first file, nor need it be there. */
static void skip_bad__the_first_file_may_be_missing(void **state)
{
	struct dataset d;
	char text[4096] = "file,class\nset/Alpha/absent.png,Alpha\n";

	(void)state;
	put_images();
	for (int k = 0; k < 21; k++)
		snprintf(
		    text + strlen(text), 128, "%s,%.*s\n", names[k], (int)strcspn(names[k] + 4, "/"), names[k] + 4);
	put_text("index.csv", text);
	must_fail("{source: images, path: DIR, index: index.csv}", ERR_DATA, "set/Alpha/absent.png: ");
	d = must_open("{source: images, path: DIR, index: index.csv, skip_bad: 1}", true);
	assert_int_equal(d.height * 10 + d.width, 43);
	check_contents(&d, 21);
	dataset_close(&d);
}

static void images__more_than_a_message_holds_are_counted(void **state)
{
	(void)state;
	put_images();
	for (int k = 0; k < 21; k += 1 + (k == 3))
		put_text(names[k], "junk");
	put_png(names[4], 4, 3, 3, 4);
	must_fail("{source: images, path: DIR/set, skip_bad: 3}", ERR_DATA, "20 of 21 images cannot be used");
	for (int k = 0; k < 21; k++)
		assert_true(k == 4 || strstr(err_message(), names[k] + 4) || strstr(err_message(), "; and "));
}

static void skip_bad__goes_on_and_moves_no_other_image(void **state)
{
	struct dataset all, some;
	struct str words = {0};
	cJSON *j;

	(void)state;
	put_images();
	all = open_with("", true);
	put_text(names[20], "junk");
	some = open_with(", skip_bad: 4", true);
	assert_int_equal(some.skipped.n, 1);
	assert_non_null(strstr(some.skipped.reason[0], "Gamma_7.png: neither a JPEG, PNG, WebP, TIFF nor BMP image"));
	assert_null(some.skipped.reason[1]);
	assert_int_equal(all.n[0] + all.n[1] + all.n[2], some.n[0] + some.n[1] + some.n[2] + 1);
	for (int s = 0; s < SPLIT_COUNT; s++) {
		struct prints a, b;

		assert_int_equal(dataset_split_prints(&all, (enum split)s, &a), 0);
		assert_int_equal(dataset_split_prints(&some, (enum split)s, &b), 0);
		assert_int_equal(prints_overlap(&b, &a), b.n);
		prints_clear(&a);
		prints_clear(&b);
	}
	dataset_words(&words, &some);
	assert_non_null(strstr(str_text(&words), "warning: 1 image is left out that cannot be used (data.skip_bad): "));
	str_clear(&words);
	j = dataset_to_json(&some);
	assert_int_equal(cJSON_GetObjectItem(cJSON_GetObjectItem(j, "skipped_bad"), "images")->valueint, 1);
	cJSON_Delete(j);
	j = dataset_to_json(&all);
	assert_null(cJSON_GetObjectItem(j, "skipped_bad"));
	cJSON_Delete(j);
	dataset_close(&all);
	dataset_close(&some);
}

/* What is for testing alone may come and go: the key of what is trained stays. */
static void key__does_not_know_the_test_split(void **state)
{
	struct data_options o = options("{source: images, path: DIR, index: index.csv}");
	char before[HASH_HEX], after[HASH_HEX], test[HASH_HEX];
	struct dataset d;

	(void)state;
	put_images();
	put_index("index.csv", "core", "rest");
	assert_int_equal(dataset_open(&d, &o, NULL, 1, false), 0);
	assert_int_equal(dataset_key(&d, &o, before), 0);
	memcpy(test, d.hash[SPLIT_TEST], HASH_HEX);
	dataset_close(&d);
	put_text(names[0], "junk");
	o.skip_bad = 1;
	assert_int_equal(dataset_open(&d, &o, NULL, 1, false), 0);
	assert_int_equal(dataset_key(&d, &o, after), 0);
	assert_string_equal(before, after);
	assert_string_not_equal(test, d.hash[SPLIT_TEST]);
	dataset_close(&d);
	put_png(names[0], 4, 3, 3, 200);
	put_png(names[5], 4, 3, 3, 201); /* the index has it for training */
	assert_int_equal(dataset_open(&d, &o, NULL, 1, false), 0);
	assert_int_equal(dataset_key(&d, &o, after), 0);
	assert_string_not_equal(before, after);
	dataset_close(&d);
	option_clear(data_option_table, &o);
}

/* The same images in the same splits, two of them under each other's labels. */
static void hash__knows_labels(void **state)
{
	static const char *const rows[] = {"set/Alpha/Alpha_4.png,0,train\nset/beta/beta_4.png,1,train\n",
	    "set/Alpha/Alpha_4.png,1,train\nset/beta/beta_4.png,0,train\n"};
	char hash[2][HASH_HEX];

	(void)state;
	put_images();
	for (int i = 0; i < 2; i++) {
		struct dataset d;
		char text[1024];

		snprintf(text, sizeof(text),
		    "file,label,split\n%sset/Alpha/Alpha_0.png,0,val\nset/beta/beta_0.png,1,val\n", rows[i]);
		put_text("index.csv", text);
		d = must_open("{source: images, path: DIR, index: index.csv, test_fraction: 0}", false);
		memcpy(hash[i], d.hash[SPLIT_TRAIN], HASH_HEX);
		dataset_close(&d);
	}
	assert_string_not_equal(hash[0], hash[1]);
}

/* Grey images are taken into a set in colour wherever they stand in it. */
static void images__are_in_colour_if_any_is(void **state)
{
	struct dataset d;

	(void)state;
	put_images();
	put_png(names[0], 4, 3, 1, 0);
	put_png(names[20], 4, 3, 1, 20);
	d = must_open("{source: images, path: DIR/set}", true);
	assert_int_equal(d.channels, 3);
	dataset_close(&d);
	pack("all.zip", member);
	d = must_open("{source: images, path: DIR, archives: [all.zip]}", true);
	assert_int_equal(d.channels, 3);
	dataset_close(&d);
	put_text(names[0], "the first one cannot even be read");
	d = must_open("{source: images, path: DIR/set, skip_bad: 1}", true);
	assert_int_equal(d.channels * 100 + d.height * 10 + d.width, 343);
	dataset_close(&d);
	for (int k = 0; k < 21; k++)
		put_png(names[k], 4, 3, 1, k);
	d = must_open("{source: images, path: DIR/set}", true);
	assert_int_equal(d.channels, 1);
	dataset_close(&d);
}

static void images__duplicates_across_splits_are_counted(void **state)
{
	struct dataset d;

	(void)state;
	put_images();
	put_index("index.csv", "core", "rest");
	/* One test image becomes a copy of a train image and of a validation image. */
	put_png(names[0], 4, 3, 3, 4);
	put_png(names[2], 4, 3, 3, 4);
	d = must_open("{source: images, path: DIR, index: index.csv}", true);
	assert_int_equal(d.duplicates_train_test, 1);
	assert_int_equal(d.duplicates_train_val, 1);
	assert_int_equal(d.duplicates_val_test, 1);
	dataset_close(&d);
}

static void images__survive_each_failing_allocation(void **state)
{
	struct data_options o;
	struct dataset d;
	uint64_t n = 0;
	int rc;

	(void)state;
	put_images();
	put_index("index.csv", "core", "rest");
	pack("my_core.zip", member);
	o = options("{source: images, path: DIR, index: index.csv, archives: my_core.zip}");
	do {
		mem_fail_at(++n);
		rc = dataset_open(&d, &o, NULL, 1, true);
		mem_fail_at(0);
		dataset_close(&d);
	} while (rc == ERR_NOMEM);
	if (rc != 0)
		fail_msg("%s", err_message());
	option_clear(data_option_table, &o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(images__come_from_class_folders, setup, teardown),
	    cmocka_unit_test_setup_teardown(images__archives_give_what_folders_give, setup, teardown),
	    cmocka_unit_test_setup_teardown(images__index_names_labels_and_splits, setup, teardown),
	    cmocka_unit_test_setup_teardown(images__are_cut_into_folds, setup, teardown),
	    cmocka_unit_test_setup_teardown(images__index_selects_by_archive, setup, teardown),
	    cmocka_unit_test_setup_teardown(images__broken_indexes_name_the_line, setup, teardown),
	    cmocka_unit_test_setup_teardown(images__names_in_an_index_are_paths, setup, teardown),
	    cmocka_unit_test_setup_teardown(images__columns_of_an_index_have_usual_names, setup, teardown),
	    cmocka_unit_test_setup_teardown(images__labels_of_an_index_may_begin_at_1, setup, teardown),
	    cmocka_unit_test_setup_teardown(images__lie_outside_where_that_is_allowed, setup, teardown),
	    cmocka_unit_test_setup_teardown(images__path_may_be_an_archive, setup, teardown),
	    cmocka_unit_test_setup_teardown(images__a_class_missing_from_a_split_is_named, setup, teardown),
	    cmocka_unit_test_setup_teardown(images__bad_images_are_named, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		images__bad_files_are_listed_in_their_order_whatever_the_threads_do, setup, teardown),
	    cmocka_unit_test_setup_teardown(images__that_cannot_be_used_are_all_listed, setup, teardown),
	    cmocka_unit_test_setup_teardown(images__more_than_a_message_holds_are_counted, setup, teardown),
	    cmocka_unit_test_setup_teardown(skip_bad__the_first_file_may_be_missing, setup, teardown),
	    cmocka_unit_test_setup_teardown(skip_bad__goes_on_and_moves_no_other_image, setup, teardown),
	    cmocka_unit_test_setup_teardown(hash__knows_labels, setup, teardown),
	    cmocka_unit_test_setup_teardown(key__does_not_know_the_test_split, setup, teardown),
	    cmocka_unit_test_setup_teardown(images__are_in_colour_if_any_is, setup, teardown),
	    cmocka_unit_test_setup_teardown(images__duplicates_across_splits_are_counted, setup, teardown),
	    cmocka_unit_test_setup_teardown(images__survive_each_failing_allocation, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
