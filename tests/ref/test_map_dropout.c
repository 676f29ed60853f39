/* Dropout of attention maps on the reference, which other backends are compared with element by element: what stays, of
 * whom, and what PyTorch makes of the same mask. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "ref/known.h"

#include "base/mem.h"

#define RATE 0.4f

enum { T = 35, HEADS = 2, D = T, C = HEADS * D, ROWS = 50 };

/* The maps of a sequence of T rows that begins at row `first` of `rows`, whose probabilities are all 1/T: queries are
 * zeros, values the unit matrix. *dv: the gradient of the values where that of y is the unit matrix as well. */
static void maps(
    enum exec_mode mode, int64_t rows, int64_t first, uint64_t step, uint64_t sample, double *map, double *dv)
{
	static const float zeros[ROWS * C];
	static float unit[ROWS * C];
	static double all[ROWS * C];
	const int32_t starts[] = {0, (int32_t)first, (int32_t)(first + T)};
	struct known k;
	memset(unit, 0, sizeof(unit));
	for (int64_t i = 0; i < T; i++)
		for (int64_t h = 0; h < HEADS; h++)
			unit[(first + i) * C + h * D + i] = 1;
	begin(&k, OP_ATTENTION, mode, (struct attr){.heads = HEADS, .rate = RATE});
	give(&k, ATTENTION_Q, DT_F32, op_shape(2, rows, C, 0, 0), zeros);
	give(&k, ATTENTION_K, DT_F32, op_shape(2, rows, C, 0, 0), zeros);
	give(&k, ATTENTION_V, DT_F32, op_shape(2, rows, C, 0, 0), unit);
	give(&k, ATTENTION_STARTS, DT_S32, vec(3), starts);
	run(&k, unit);
	assert_int_equal(op_step_set_time(&k.o, step, sample), 0);
	assert_int_equal(op_step_forward(&k.o), 0);
	assert_int_equal(op_step_read(&k.o, &k.o.s.out, all), 0);
	memcpy(map, all + first * C, T * C * sizeof(*map));
	if (dv) {
		assert_int_equal(op_step_backward(&k.o, &k.h), 0);
		assert_int_equal(op_step_read(&k.o, &k.o.s.din[ATTENTION_V], all), 0);
		memcpy(dv, all + first * C, T * C * sizeof(*dv));
	}
	end(&k);
}

static void map__loses_the_rate_of_its_probabilities(void **state)
{
	static double map[T * C], sum[T * C];
	enum { STEPS = 60 };
	int64_t kept = 0;
	(void)state;
	for (uint64_t step = 0; step < STEPS; step++) {
		int64_t now = 0;
		maps(EXEC_TRAIN, T, 0, step, 11, map, NULL);
		for (int e = 0; e < T * C; e++) {
			assert_true(fabs(map[e]) < 1e-12 || fabs(map[e] - 1.0 / T / (1 - (double)RATE)) < 1e-7);
			now += map[e] > 0;
			sum[e] += map[e] / STEPS;
		}
		kept += now;
		assert_true(fabs((double)now - 0.6 * T * C) < 5 * sqrt(0.24 * T * C));
	}
	assert_true(fabs((double)kept - 0.6 * STEPS * T * C) < 4 * sqrt(0.24 * STEPS * T * C));
	/* What is expected of each is the probability: 1/T, give or take sqrt(0.4 / 0.6 / STEPS) of it. */
	for (int e = 0; e < T * C; e++)
		assert_true(fabs(sum[e] * T - 1) < 5 * sqrt(0.4 / 0.6 / STEPS));
}

static void map__is_whole_in_inference(void **state)
{
	static double map[T * C];
	(void)state;
	maps(EXEC_INFER, T, 0, 3, 11, map, NULL);
	for (int e = 0; e < T * C; e++)
		assert_true(fabs(map[e] - 1.0 / T) < 1e-7);
}

static int64_t differences(const double *a, const double *b)
{
	int64_t n = 0;
	for (int e = 0; e < T * C; e++)
		n += fabs(a[e] - b[e]) > 1e-12;
	return n;
}

static void map__of_a_sequence_depends_on_neither_rows_nor_neighbours(void **state)
{
	static double map[T * C], other[T * C];
	(void)state;
	maps(EXEC_TRAIN, T, 0, 3, 11, map, NULL); /* sequence 0 has no rows, ours is sequence 1 */
	maps(EXEC_TRAIN, ROWS, 13, 3, 11, other, NULL);
	assert_int_equal(differences(map, other), 0);
	maps(EXEC_TRAIN, T, 0, 4, 11, other, NULL);
	assert_true(differences(map, other) > T * C / 3);
	maps(EXEC_TRAIN, T, 0, 3, 12, other, NULL);
	assert_true(differences(map, other) > T * C / 3);
}

static void map__of_each_head_drops_on_its_own(void **state)
{
	static double map[T * C];
	int64_t apart = 0;
	(void)state;
	maps(EXEC_TRAIN, T, 0, 3, 11, map, NULL);
	for (int i = 0; i < T; i++)
		for (int j = 0; j < D; j++)
			apart += fabs(map[i * C + j] - map[i * C + D + j]) > 1e-12;
	assert_true(fabs((double)apart - 0.48 * T * D) < 5 * sqrt(0.25 * T * D));
}

/* dv_j = sum_i map_ij dy_i, and dy is the unit matrix. */
static void map__is_the_same_backward(void **state)
{
	static double map[T * C], dv[T * C];
	(void)state;
	maps(EXEC_TRAIN, ROWS, 13, 3, 11, map, dv);
	for (int h = 0; h < HEADS; h++)
		for (int i = 0; i < T; i++)
			for (int j = 0; j < T; j++)
				assert_true(fabs(map[i * C + h * D + j] - dv[j * C + h * D + i]) < 1e-7);
}

/* Made by make_map_dropout.py. */
static const double golden[4][32] = {
    /* y */ {0.431867583, 0.764288698, -0.214719421, -0.112157273, 0.264075866, 0.311210663, 0.147474817, -0.110696605,
	-0.390781043, -0.624328368, 0.0998007549, -0.192351, -0.0698606935, -0.440634884, -0.023889725, -0.0975435572,
	-0.0322455578, -0.293620969, -0.291625535, -0.30662626, -0.139004903, 0.109931137, 0.0987382073, -0.0433573987,
	-0.0620255621, -0.396545356, -0.0287644955, -0.0751709976, -0.0989327228, -0.0162855786, -0.389013981,
	-0.703113973},
    /* dq */
    {-0.00716696385, -0.272846895, -0.0799120381, -0.10111037, -0.366448797, 0.111735839, -0.323580944, 0.0850880243,
	0.0211248072, -0.0376362211, 0.646183836, -0.161651868, 0.190627421, 0.113681157, 0.0803705311, 0.0913164461,
	-0.144480717, 0.114009409, -0.181204317, 0.216252247, -0.60430374, 0.452805022, 0.0931189985, -0.0370365171,
	-0.280763822, -0.191324096, 0.0423167549, 0.0539093423, -0.19298533, -0.037166264, -0.112405841, 0.268969382},
    /* dk */
    {0.247005545, 0.529504284, 0.263601586, 0.947120727, -0.0848395558, -0.458937006, -0.153831337, -0.938493055,
	-0.162165989, -0.0705672782, -0.109770249, -0.00862767137, -0.225349631, -0.294977988, 0.11496526, 0.0773920499,
	0.118959408, 0.151335877, 0.123094367, 0.0347309061, 0.042060426, 0.0263355565, -0.77192027, -0.135251645,
	-0.89612654, -0.57459584, 0.591227686, 0.159232778, 0.960456337, 0.691902395, -0.0573670422, -0.136104088},
    /* dv */
    {0.0361957958, 0.1312839, -0.445013618, -0.224154582, 0.388541465, -0.155546639, -0.398486489, -0.457569647,
	0.528333104, 0.328417124, 0, 0, -1.12065906, -0.857738411, 0, 0, -0.401386655, -0.372608434, 0, 0, -0.025251936,
	0.0841510274, -0.637038003, -0.690275473, 0.695624791, 1.02921419, 0.0177932028, -0.260770372, 0.398862291,
	0.578441691, 0.425890608, -0.244688594}};

static void map__is_what_pytorch_makes_of_the_mask(void **state)
{
	struct known k;
	float q[32], key[32], v[32], dy[32];
	(void)state;
	for (int e = 0; e < 32; e++) {
		q[e] = (float)(1.5 * sin(e));
		key[e] = (float)(1.5 * cos(e * 1.3));
		v[e] = (float)sin(e * 0.7 + 1);
		dy[e] = (float)cos(e * 0.9);
	}
	begin(&k, OP_ATTENTION, EXEC_TRAIN, (struct attr){.heads = 2, .rate = RATE});
	give(&k, ATTENTION_Q, DT_F32, op_shape(2, 8, 4, 0, 0), q);
	give(&k, ATTENTION_K, DT_F32, op_shape(2, 8, 4, 0, 0), key);
	give(&k, ATTENTION_V, DT_F32, op_shape(2, 8, 4, 0, 0), v);
	give(&k, ATTENTION_STARTS, DT_S32, vec(3), (const int32_t[]){0, 3, 8});
	run(&k, dy);
	expect(&k, &k.o.s.out, golden[0], 1e-6);
	for (int i = ATTENTION_Q; i <= ATTENTION_V; i++)
		expect(&k, &k.o.s.din[i], golden[1 + i], 1e-6);
	end(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(map__loses_the_rate_of_its_probabilities),
	    cmocka_unit_test(map__is_whole_in_inference),
	    cmocka_unit_test(map__of_a_sequence_depends_on_neither_rows_nor_neighbours),
	    cmocka_unit_test(map__of_each_head_drops_on_its_own),
	    cmocka_unit_test(map__is_the_same_backward),
	    cmocka_unit_test(map__is_what_pytorch_makes_of_the_mask),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
