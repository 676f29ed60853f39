/* federate: who has which samples, what is sent, that it comes to plain training with one client, that it goes on after
 * an interruption, and what it refuses. */
#include "stages/federate.h"
#include "stages/small_models.h"
#include "stages/texts.h"

#include <math.h>

#include "base/json.h"
#include "clock.h"

static struct rig images;

static int set_up(void **state)
{
	(void)state;
	rig_open(&images, "{source: digits, augment: {crop_padding: 1}}");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rig_close(&images);
	return 0;
}

static int federate(const char *folder, const char *options)
{
	return rig_run(&images, &stage_federate,
	    &(struct rig_case){.name = "net", .folder = folder, .options = options, .spec = &small_cnn});
}

static bool same_weights(const char *a, const char *b)
{
	struct checkpoint x, y;
	RIG_OK(checkpoint_load(&x, rig_path(&images, a)));
	RIG_OK(checkpoint_load(&y, rig_path(&images, b)));
	const bool same = strcmp(x.sha256, y.sha256) == 0;
	checkpoint_clear(&x);
	checkpoint_clear(&y);
	return same;
}

static cJSON *read_json(const char *folder, const char *name)
{
	struct fs_bytes b = {0};
	char path[600];
	cJSON *o;
	snprintf(path, sizeof(path), "%s/%s", rig_path(&images, folder), name);
	RIG_OK(fs_read(path, &b));
	RIG_OK(json_parse(path, (const char *)b.data, b.size, &o));
	fs_bytes_clear(&b);
	return o;
}

/* --- one client ----------------------------------------------------------------------------------------------------
 */

/* Without momentum nothing is forgotten between two rounds: schedule, order, shifts of pixels and statistics go on. */
static void federate__with_one_client_is_plain_training(void **state)
{
	static const char *const steps[] = {
	    "optimizer: sgd, momentum: 0, lr: 0.1, batch_size: 48, accumulate: 2, schedule: cosine",
	    "optimizer: adamw, lr: 0.01, batch_size: 64"};
	char options[256];
	(void)state;
	for (int k = 0; k < 2; k++) { /* adamw has moments, which begin anew: one round */
		snprintf(options, sizeof(options), "{epochs: %d, %s}", k ? 1 : 5, steps[k]);
		RIG_OK(rig_run(&images, &stage_train,
		    &(struct rig_case){.name = "net", .folder = "plain", .options = options, .spec = &small_cnn}));
		snprintf(
		    options, sizeof(options), "{clients: 1, rounds: %d, local_epochs: 1, %s}", k ? 1 : 5, steps[k]);
		RIG_OK(federate("one", options));
		assert_true(same_weights("plain", "one"));
	}
	RIG_OK(federate("two", "{clients: 2, rounds: 1, local_epochs: 1, batch_size: 64, lr: 0.01}"));
	assert_false(same_weights("plain", "two"));
}

/* Of 311 samples each: as one batch, or as the three micro-batches of 100 that they fill. */
static void federate__of_few_samples_makes_smaller_batches(void **state)
{
	static const char *const same[][2] = {{"batch_size: 400", "batch_size: 311"},
	    {"batch_size: 400, accumulate: 4", "batch_size: 300, accumulate: 3"}};
	char options[256];
	(void)state;
	for (int k = 0; k < 2; k++) {
		for (int i = 0; i < 2; i++) {
			snprintf(options, sizeof(options), "{clients: 4, rounds: 2, lr: 0.01, %s}", same[k][i]);
			RIG_OK(federate(i ? "small" : "large", options));
		}
		assert_true(same_weights("large", "small"));
	}
}

static void federate__clients_draw_from_streams_of_their_own(void **state)
{
	char a[FEDERATE_STREAM], b[FEDERATE_STREAM], name[FEDERATE_STREAM];
	(void)state;
	RIG_OK(federate_stream("net", 0, a));
	assert_string_equal(a, "net");
	RIG_OK(federate_stream("net", 1, a));
	RIG_OK(federate_stream("net", 11, b));
	assert_string_not_equal(a, "net");
	assert_string_not_equal(a, b);
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	RIG_OK(federate_stream(name, 0, a));
	assert_int_equal(federate_stream(name, 1, a), ERR_CONFIG);
}

/* --- samples -------------------------------------------------------------------------------------------------------
 */

static struct federate_split split_of(const struct federate_options *o, uint64_t seed)
{
	struct federate_split s;
	RIG_OK(federate_split_make(&s, o, &images.data, seed, "net", NULL));
	return s;
}

/* Every sample once, ascending within each client. */
static void check_all_there(const struct federate_split *s)
{
	const int64_t n = images.data.n[SPLIT_TRAIN];
	bool *seen = mem_alloc((size_t)n, sizeof(*seen));
	assert_int_equal(s->start[0], 0);
	assert_int_equal(s->start[s->clients], n);
	for (int k = 0; k < s->clients; k++)
		for (int64_t i = s->start[k]; i < s->start[k + 1]; i++) {
			assert_true(i == s->start[k] || s->sample[i] > s->sample[i - 1]);
			assert_true(s->sample[i] < n && !seen[s->sample[i]]);
			seen[s->sample[i]] = true;
		}
	mem_free(seen);
}

/* Mean over the clients of the share of their most frequent class. */
static double skew(const struct federate_split *s)
{
	double sum = 0;
	for (int k = 0; k < s->clients; k++) {
		int64_t count[10] = {0}, most = 0, n = s->start[k + 1] - s->start[k];
		for (int64_t i = s->start[k]; i < s->start[k + 1]; i++) {
			int64_t *c = &count[images.data.split[SPLIT_TRAIN].label[s->sample[i]]];
			most = ++*c > most ? *c : most;
		}
		sum += n ? (double)most / (double)n : 1;
	}
	return sum / s->clients;
}

static void split__deals_every_sample_once(void **state)
{
	struct federate_options o = {.clients = 7};
	const int64_t n = images.data.n[SPLIT_TRAIN];
	(void)state;
	struct federate_split s = split_of(&o, 1), other = split_of(&o, 2);
	check_all_there(&s);
	for (int k = 0; k < 7; k++) {
		const int64_t has = s.start[k + 1] - s.start[k];
		assert_true(has == n / 7 || has == n / 7 + 1);
	}
	assert_int_equal(s.able, 7);
	assert_memory_not_equal(s.sample, other.sample, (size_t)n * sizeof(*s.sample));
	assert_true(skew(&s) < 0.25);
	federate_split_clear(&s);
	federate_split_clear(&other);
}

static void split__by_class_is_as_uneven_as_alpha_says(void **state)
{
	static const double alpha[] = {0.05, 0.5, 100, 1e6};
	double before = 2;
	(void)state;
	for (int k = 0; k < 4; k++) {
		struct federate_options o = {.clients = 8, .division = DIVISION_DIRICHLET, .alpha = alpha[k]};
		double sum = 0;
		for (uint64_t seed = 0; seed < 6; seed++) {
			struct federate_split s = split_of(&o, seed);
			check_all_there(&s);
			sum += skew(&s) / 6;
			for (int c = 0; k == 3 && c < 8; c++) /* shares are equal, each class is rounded */
				assert_true(llabs(s.start[c + 1] - s.start[c] - images.data.n[SPLIT_TRAIN] / 8) <= 10);
			federate_split_clear(&s);
		}
		assert_true(sum < before);
		before = sum;
		assert_true(k > 0 || sum > 0.6);
	}
	assert_true(before < 0.14); /* all classes everywhere: a tenth each */
	struct federate_options o = {.clients = 40, .division = DIVISION_DIRICHLET, .alpha = 0.001};
	struct federate_split s = split_of(&o, 3); /* ten classes, each at one client */
	check_all_there(&s);
	assert_true(s.able >= 1 && s.able <= 14);
	federate_split_clear(&s);
}

static void round__takes_its_share_of_the_clients(void **state)
{
	struct federate_options o = {.clients = 10};
	struct federate_split s = split_of(&o, 1);
	int chosen[10], again[10], count[10] = {0};
	(void)state;
	for (int64_t round = 0; round < 1000; round++) {
		assert_int_equal(federate_choose(&s, 0.3, 5, "net", round, chosen), 3);
		for (int i = 0; i < 3; i++) {
			assert_true(chosen[i] >= 0 && chosen[i] < 10 && (i == 0 || chosen[i] > chosen[i - 1]));
			count[chosen[i]]++;
		}
		assert_int_equal(federate_choose(&s, 0.3, 5, "net", round, again), 3);
		assert_memory_equal(chosen, again, 3 * sizeof(*chosen));
	}
	for (int k = 0; k < 10; k++)
		assert_true(count[k] > 240 && count[k] < 360);
	assert_int_equal(federate_choose(&s, 0.01, 5, "net", 0, chosen), 1);
	assert_int_equal(federate_choose(&s, 1, 5, "net", 0, chosen), 10);
	for (int k = 0; k < 10; k++)
		assert_int_equal(chosen[k], k);
	s.start[4] = s.start[3] + 1; /* one sample is too few */
	s.able = 9;
	for (int64_t round = 0; round < 50; round++) {
		assert_int_equal(federate_choose(&s, 1, 5, "net", round, chosen), 9);
		for (int i = 0; i < 9; i++)
			assert_int_not_equal(chosen[i], 3);
	}
	federate_split_clear(&s);
}

/* --- what is sent --------------------------------------------------------------------------------------------------
 */

enum { N = 501 };

static void random_update(int round, float *u)
{
	const struct rng r = rng_make(3, "update", RNG_BENCH, "");
	for (int i = 0; i < N; i++) {
		float z[2];
		const struct rng_words w = rng_draw(r, (uint64_t)round, (uint64_t)i, 0);
		rng_normal2(w.w[0], w.w[1], z);
		u[i] = 0.01f * z[0] + 0.003f;
	}
}

/* What was sent and what is left make what there was; so the sum of many updates is off by the last error alone. */
static void update__errors_are_fed_back_until_sums_agree(void **state)
{
	static const int bits[] = {1, 2, 3, 4, 8, 16};
	(void)state;
	for (size_t b = 0; b < sizeof(bits) / sizeof(*bits); b++) {
		float error[N] = {0}, u[N];
		double sent[N] = {0}, all[N] = {0}, worst = 0, drift = 0;
		for (int round = 0; round < 50; round++) {
			random_update(round, u);
			for (int i = 0; i < N; i++) {
				all[i] += (double)u[i];
				error[i] += u[i];
			}
			federate_quantize(error, N, bits[b], NULL, 1, sent);
		}
		for (int i = 0; i < N; i++) {
			assert_true(fabs(all[i] - sent[i] - (double)error[i]) < 1e-6);
			worst = fmax(worst, fabs((double)error[i]));
			drift += (all[i] - sent[i]) / N;
		}
		assert_true(worst < (bits[b] == 1 ? 0.2 : bits[b] == 2 ? 0.1 : 0.02));
		assert_true(fabs(drift) < 0.02); /* 50 updates of 0.003 are 0.15 */
	}
}

static void update__has_as_many_values_as_bits_can_say(void **state)
{
	(void)state;
	for (int bits = 1; bits <= 5; bits++) {
		float u[N], before[N];
		double sum[N] = {0}, values[64];
		int n = 0;
		random_update(7, u);
		memcpy(before, u, sizeof(u));
		federate_quantize(u, N, bits, NULL, 0.5, sum);
		for (int i = 0; i < N; i++) {
			int k = 0;
			while (k < n && values[k] != sum[i])
				k++;
			if (k == n) {
				assert_true(n < 64);
				values[n++] = sum[i];
			}
			assert_true(fabs((double)before[i] - 2 * sum[i] - (double)u[i]) < 1e-8);
		}
		assert_true(n <= 1 << bits && n >= bits);
	}
	float none[3] = {0}, one[3] = {-1, 3, 5};
	double sum[3] = {0};
	const uint8_t mask[3] = {1, 0, 1};
	federate_quantize(none, 3, 4, NULL, 1, sum);
	assert_true(sum[0] == 0 && sum[1] == 0 && none[2] == 0);
	federate_quantize(one, 3, 1, mask, 1, sum); /* the mean of 1 and 5 */
	assert_true(sum[0] == -3 && sum[1] == 0 && sum[2] == 3);
	assert_true(one[0] == 2 && one[1] == 3 && one[2] == 2);
}

/* Two clients with three and one sample of four; the last param is a statistic. */
static void average__weighs_clients_by_their_samples(void **state)
{
	static const float of[2][4] = {{1, 2, -4, 8}, {5, 6, 4, 16}};
	struct federate_param items[] = {
	    {.name = "w", .at = 0, .n = 3, .trained = true}, {.name = "m", .at = 3, .n = 1}};
	(void)state;
	for (int bits = FLOAT_BITS; bits >= BITS_MOST; bits -= FLOAT_BITS - BITS_MOST) {
		const struct federate_options o = {.clients = 2, .bits = bits};
		float global[4] = {1, 1, 1, 1}, client[4], error[6] = {0};
		double sum[4] = {0};
		uint8_t mask[3] = {1, 1, 0};
		struct federation f = {.o = &o,
		    .params = {.item = items, .n = 2, .values = 4, .trained = 3},
		    .global = global,
		    .client = client,
		    .sum = sum,
		    .mask = mask,
		    .error = bits < FLOAT_BITS ? error : NULL};
		for (int k = 0; k < 2; k++) {
			memcpy(client, of[k], sizeof(client));
			federate_add(&f, k, f.client, k ? 0.25 : 0.75);
		}
		federate_average(&f);
		assert_true(fabsf(global[0] - 2) < 1e-3f && fabsf(global[1] - 3) < 1e-3f);
		assert_true(global[2] == 0); /* masked */
		assert_true(global[3] == 10);
		assert_true(sum[0] == 0 && sum[3] == 0);
		assert_true(bits == FLOAT_BITS || fabsf(error[1]) < 5.0f / 32767);
	}
	const struct federate_params p = {.item = items, .n = 2, .values = 4, .trained = 3};
	assert_int_equal(federate_bytes_up(&p, 32), 16);
	assert_int_equal(federate_bytes_up(&p, 3), 2 + 4 + 4); /* 9 bits, the step, the statistic */
	assert_int_equal(federate_bytes_down(&p), 16);
}

/* --- the stage -----------------------------------------------------------------------------------------------------
 */

static void federate__says_what_it_is(void **state)
{
	cJSON *summary;
	(void)state;
	RIG_OK(rig_run(&images, &stage_federate,
	    &(struct rig_case){.name = "net",
		.folder = "said",
		.spec = &small_cnn,
		.summary = &summary,
		.options = "{clients: 6, rounds: 4, local_epochs: 2, fraction: 0.5, split: dirichlet, "
			   "dirichlet_alpha: 1, update_bits: 6, batch_size: 32, lr: 0.01}"}));
	assert_true(rig_val(summary, "accuracy") > 0.3);
	cJSON_Delete(summary);
	cJSON *o = read_json("said", "training_results.json"), *info = read_json("said", "checkpoint_info.json");
	const cJSON *rounds = cJSON_GetObjectItem(o, "results_per_round"), *row;
	const cJSON *f = cJSON_GetObjectItem(info, "federation"),
		    *bytes = cJSON_GetObjectItem(o, "compression_metrics");
	assert_true(rig_number(o, "bit_width") == 6 && rig_number(o, "num_rounds") == 4 &&
		    rig_number(o, "fraction_train") == 0.5 && rig_number(o, "local_epochs") == 2 &&
		    rig_number(o, "batch_size") == 32 && rig_number(o, "learning_rate") == 0.01);
	assert_true(rig_number(o, "training_time_seconds") > 0 && cJSON_IsString(cJSON_GetObjectItem(o, "timestamp")));
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(o, "test_split")), "validation");
	assert_int_equal(cJSON_GetArraySize(rounds), 4);
	double up = 0;
	int i = 0;
	cJSON_ArrayForEach(row, rounds)
	{
		assert_true(rig_number(row, "round") == ++i && rig_number(row, "clients") == 3);
		assert_true(rig_number(row, "train_loss") > 0 && rig_number(row, "test_loss") > 0);
		assert_true(rig_number(row, "train_accuracy") <= 1 && rig_number(row, "test_accuracy") <= 1);
		up += rig_number(row, "bytes_up");
		assert_true(rig_number(row, "bytes_up") == 3 * rig_number(bytes, "update_bytes"));
	}
	row = cJSON_GetArrayItem(rounds, 3);
	assert_true(rig_number(o, "final_test_loss") == rig_number(row, "test_loss"));
	assert_true(rig_number(o, "final_test_accuracy") == rig_number(row, "test_accuracy"));
	assert_true(rig_number(bytes, "total_bytes_up") == up && rig_number(bytes, "compression_ratio") > 4.5);
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(info, "technique")), "fedavg");
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(f, "split")), "dirichlet");
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(f, "batch_norm_statistics")), "averaged");
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(f, "samples")), 6);
	assert_true(rig_number(f, "rounds_run") == 4 && rig_number(f, "best_round") >= 1);
	const cJSON *training = cJSON_GetObjectItem(info, "training");
	assert_true(rig_number(training, "epochs_run") == 8);
	cJSON_Delete(o);
	cJSON_Delete(info);
}

/* Steps that are too long make some round worse than one before; what is saved answers as the best one did. */
static void federate__keeps_the_best_round(void **state)
{
	int right = 0, n = (int)images.data.n[SPLIT_VAL];
	(void)state;
	RIG_OK(federate("best", "{clients: 3, rounds: 8, local_epochs: 1, batch_size: 32, lr: 0.2, schedule: constant, "
				"warmup: 0}"));
	cJSON *o = read_json("best", "training_results.json");
	const cJSON *rounds = cJSON_GetObjectItem(o, "results_per_round");
	const int best = (int)rig_number(o, "best_round");
	const double accuracy = rig_number(cJSON_GetArrayItem(rounds, best - 1), "test_accuracy");
	assert_true(best < 8);
	assert_true(rig_number(cJSON_GetArrayItem(rounds, 7), "test_accuracy") < accuracy);
	float *z = rig_logits(&images, "best", n);
	for (int i = 0; i < n; i++) {
		int top = 0;
		for (int c = 1; c < 10; c++)
			top = z[i * 10 + c] > z[i * 10 + top] ? c : top;
		right += top == images.data.split[SPLIT_VAL].label[i];
	}
	assert_true(fabs((double)right / n - accuracy) < 1e-9);
	mem_free(z);
	cJSON_Delete(o);
}

static volatile sig_atomic_t stop_now;
static int lines;

/* The second round takes long enough for its state to be kept; the next one is interrupted, or the first that follows
 * a new start is not. */
static void stop_later(struct progress *p, const char *text)
{
	(void)p;
	if (strncmp(text, "round ", 6) != 0)
		return;
	if (++lines == 2)
		clock_us += 1000000 * RESUME_END_SECONDS;
	stop_now = lines == 3;
}

static void federate__goes_on_between_rounds_with_the_same_bytes(void **state)
{
	struct progress progress = {.line = stop_later};
	struct rig_case c = {.name = "net",
	    .folder = "whole",
	    .spec = &small_cnn,
	    .resume = "state",
	    .options =
		"{clients: 5, rounds: 6, local_epochs: 1, fraction: 0.6, update_bits: 2, batch_size: 64, lr: 0.01}"};
	(void)state;
	RIG_OK(rig_run(&images, &stage_federate, &c));
	assert_false(fs_exists(rig_path(&images, "state")));
	c.folder = "parts";
	c.progress = &progress;
	c.stop = &stop_now;
	assert_int_equal(rig_run(&images, &stage_federate, &c), ERR_INTERRUPTED);
	assert_non_null(strstr(err_message(), "interrupted in round 4; the same run goes on after round 2"));
	assert_true(fs_exists(rig_path(&images, "state")));
	lines = 100;
	stop_now = 0;
	RIG_OK(rig_run(&images, &stage_federate, &c));
	assert_int_equal(lines, 104); /* from the third on */
	assert_true(same_weights("whole", "parts"));
	cJSON *whole = read_json("whole", "training_results.json"),
	      *parts = read_json("parts", "training_results.json");
	const cJSON *a = cJSON_GetObjectItem(whole, "results_per_round"),
		    *b = cJSON_GetObjectItem(parts, "results_per_round");
	for (int i = 0; i < 6; i++) {
		cJSON *x = cJSON_GetArrayItem(a, i), *y = cJSON_GetArrayItem(b, i);
		cJSON_DeleteItemFromObject(x, "seconds");
		cJSON_DeleteItemFromObject(y, "seconds");
		assert_true(cJSON_Compare(x, y, true));
	}
	cJSON_Delete(whole);
	cJSON_Delete(parts);
	/* A state that is none. */
	RIG_OK(fs_write(rig_path(&images, "state"), "x", 1));
	assert_int_equal(rig_run(&images, &stage_federate, &c), ERR_CHECKPOINT);
}

static void refuse(const char *options, const char *key, const char *part)
{
	struct federate_options o = {0};
	const char *at = "";
	struct federate_split s;
	RIG_OK(rig_options(stage_federate.table, &o, options));
	int rc = stage_federate.check(&o, &small_cnn, &at);
	if (!rc)
		rc = federate_split_make(&s, &o, &images.data, 1, "net", &at);
	assert_int_equal(rc, ERR_CONFIG);
	assert_string_equal(at, key);
	if (!strstr(err_message(), part))
		fail_msg("'%s' is not in '%s'", part, err_message());
	option_clear(stage_federate.table, &o);
}

static void federate__what_makes_no_sense_is_refused(void **state)
{
	struct federate_options o = {0};
	(void)state;
	refuse("{update_bits: 20}", "update_bits", "update_bits is 20; it is 1 to 16, or 32 for floats");
	refuse("{clients: 1, fraction: 0.5}", "fraction", "fraction has no effect with one client");
	refuse("{clients: 1, split: dirichlet}", "split", "split has no effect with one client");
	refuse("{clients: 1000}", "clients", "clients is 1000; of 1244 training samples at most 622 can have 2 each");
	refuse("{accumulate: 3}", "accumulate", "must divide batch_size");
	assert_int_equal(rig_options(stage_federate.table, &o, "{dirichlet_alpha: 1}"), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "dirichlet_alpha has no effect with split iid"));
	assert_int_equal(rig_options(stage_federate.table, &o, "{epochs: 3}"), ERR_CONFIG);
	assert_int_equal(rig_options(stage_federate.table, &o, "{update_bits: 0}"), ERR_CONFIG);
	assert_int_equal(rig_options(stage_federate.table, &o, "{fraction: 0}"), ERR_CONFIG);
}

/* Samples with several labels have no class to be dealt by; of texts nothing else is different. */
static void federate__of_label_sets_deals_them_without_looking(void **state)
{
	static struct rig texts;
	struct federate_options o = {.clients = 3, .division = DIVISION_DIRICHLET, .alpha = 1};
	struct federate_split s;
	const char *key;
	(void)state;
	texts_open(&texts, true);
	assert_int_equal(federate_split_make(&s, &o, &texts.data, 1, "net", &key), ERR_CONFIG);
	assert_string_equal(key, "split");
	const struct model_spec bag = small_bag(&texts);
	cJSON *summary;
	RIG_OK(rig_run(&texts, &stage_federate,
	    &(struct rig_case){.name = "net",
		.spec = &bag,
		.summary = &summary,
		.options = "{clients: 3, rounds: 3, batch_size: 16, lr: 0.02, update_bits: 8, schedule: constant}"}));
	assert_true(rig_val(summary, "f1_macro") > 0.5);
	cJSON_Delete(summary);
	rig_close(&texts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(federate__with_one_client_is_plain_training),
	    cmocka_unit_test(federate__of_few_samples_makes_smaller_batches),
	    cmocka_unit_test(federate__clients_draw_from_streams_of_their_own),
	    cmocka_unit_test(federate__keeps_the_best_round),
	    cmocka_unit_test(split__deals_every_sample_once),
	    cmocka_unit_test(split__by_class_is_as_uneven_as_alpha_says),
	    cmocka_unit_test(round__takes_its_share_of_the_clients),
	    cmocka_unit_test(update__errors_are_fed_back_until_sums_agree),
	    cmocka_unit_test(update__has_as_many_values_as_bits_can_say),
	    cmocka_unit_test(average__weighs_clients_by_their_samples),
	    cmocka_unit_test(federate__says_what_it_is),
	    cmocka_unit_test(federate__goes_on_between_rounds_with_the_same_bytes),
	    cmocka_unit_test(federate__what_makes_no_sense_is_refused),
	    cmocka_unit_test(federate__of_label_sets_deals_them_without_looking),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
