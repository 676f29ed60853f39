/* Family encoder: a transformer encoder as in BERT (Devlin et al. 2019) and its relatives DistilBERT and MiniLM. Rows
 * of tokens get the embedding of their token and of their position; each layer is an attention over the tokens of one
 * text and a feed-forward network over each token, both with a residual and a layer norm; one row per text is pooled
 * and classified. Params are named as in BERT's published checkpoints.
 *
 * Heads and feed-forward units are widths of each layer on their own, so that pruning may take them away one by one.
 * The width of the rows between the layers (`hidden`) is fixed: layer norm sees all of it. */
#include <stdio.h>

#include "graph/families.h"

#define MAX_LAYERS 256
#define INIT_STD                                                                                                       \
	0.02f /* of all weights, as BERT begins; layer norms follow, so the scale of a layer matters little            \
	       */

static const char *const norms[] = {"post", "pre", NULL};
static const char *const activations[] = {"gelu", "gelu_tanh", "relu", NULL};
static const char *const poolings[] = {"cls", "mean", NULL};
static const char *const poolers[] = {"none", "tanh", "relu", NULL};

struct encoder_options {
	int64_t layers, hidden, head_size, positions, token_types;
	struct option_ints heads, ffn;
	int norm, activation, pooling, pooler;
	double eps, dropout, attention_dropout;
};

#define AT(m) offsetof(struct encoder_options, m)
static const struct option options[] = {
    {.key = "layers",
	.type = OPT_INT,
	.offset = AT(layers),
	.required = true,
	.min = 1,
	.max = MAX_LAYERS,
	.help = "layers, each of an attention and a feed-forward network"},
    {.key = "hidden",
	.type = OPT_INT,
	.offset = AT(hidden),
	.required = true,
	.min = 1,
	.max = SPEC_MAX_SIZE,
	.help = "numbers in the row of a token between the layers"},
    {.key = "heads",
	.type = OPT_INTS,
	.offset = AT(heads),
	.required = true,
	.min = 1,
	.max = 1024,
	.help = "heads of the attentions, one number per layer or one for all"},
    {.key = "head_size",
	.type = OPT_INT,
	.offset = AT(head_size),
	.def = "0",
	.min = 0,
	.max = 1024,
	.help = "numbers of a head; 0: hidden / heads of the first layer"},
    {.key = "ffn",
	.type = OPT_INTS,
	.offset = AT(ffn),
	.required = true,
	.min = 1,
	.max = SPEC_MAX_SIZE,
	.help = "units of the feed-forward networks, one number per layer or one for all"},
    {.key = "positions",
	.type = OPT_INT,
	.offset = AT(positions),
	.def = "512",
	.min = 1,
	.max = SPEC_MAX_TEXT,
	.help = "rows of the table of positions: no text may have more tokens"},
    {.key = "token_types",
	.type = OPT_INT,
	.offset = AT(token_types),
	.def = "0",
	.min = 0,
	.max = 1024,
	.help =
	    "rows of a table of types, as published BERTs have it: the first is added to every token of a text, or of "
	    "a pair's first text, the second to those of its second one; 0: no table"},
    {.key = "norm",
	.type = OPT_CHOICE,
	.offset = AT(norm),
	.def = "post",
	.choices = norms,
	.help = "layer norm after each residual (BERT), or before each branch and once at the end"},
    {.key = "activation",
	.type = OPT_CHOICE,
	.offset = AT(activation),
	.def = "gelu",
	.choices = activations,
	.help = "of the feed-forward units; gelu_tanh is the approximation by tanh"},
    {.key = "pooling",
	.type = OPT_CHOICE,
	.offset = AT(pooling),
	.def = "cls",
	.choices = poolings,
	.help = "the row of a text: that of its first token, or the mean of all"},
    {.key = "pooler",
	.type = OPT_CHOICE,
	.offset = AT(pooler),
	.def = "tanh",
	.choices = poolers,
	.help = "a linear layer and this function between pooling and classifier; none: no such layer"},
    {.key = "eps",
	.type = OPT_FLOAT,
	.offset = AT(eps),
	.def = "1e-12",
	.min = 1e-20,
	.max = 0.1,
	.help = "added to the variance by layer norm"},
    {.key = "dropout",
	.type = OPT_FLOAT,
	.offset = AT(dropout),
	.def = "0.1",
	.min = 0,
	.max = FAMILY_MOST_DROPOUT,
	.help = "share of the embeddings, of each branch's and of the pooled numbers that is dropped in training"},
    {.key = "attention_dropout",
	.type = OPT_FLOAT,
	.offset = AT(attention_dropout),
	.def = "0",
	.min = 0,
	.max = FAMILY_MOST_DROPOUT,
	.help = "share of each attention map, behind its softmax, that is dropped in training; published BERTs are "
		"trained with 0.1"},
    OPTION_END,
};

#define OF(m) offsetof(struct encoder_spec, m)
static const struct spec_field fields[] = {{"hidden", FIELD_INT, OF(hidden), NULL},
    {"head_size", FIELD_INT, OF(head_size), NULL}, {"positions", FIELD_INT, OF(positions), NULL},
    {"token_types", FIELD_INT, OF(token_types), NULL}, {"norm", FIELD_CHOICE, OF(norm), norms},
    {"activation", FIELD_CHOICE, OF(activation), activations}, {"pooling", FIELD_CHOICE, OF(pooling), poolings},
    {"pooler", FIELD_CHOICE, OF(pooler), poolers}, {"eps", FIELD_FLOAT, OF(eps), NULL},
    {"dropout", FIELD_FLOAT, OF(dropout), NULL}, {"attention_dropout", FIELD_RATE, OF(attention_dropout), NULL}, {0}};

static int check_list(const char *key, const struct option_ints *list, int64_t layers)
{
	if (list->n != 1 && list->n != layers)
		return err_set(ERR_CONFIG, "'%s' has %d elements for %lld layers (one each, or one for all)", key,
		    list->n, (long long)layers);
	return 0;
}

static struct option_ints element(const struct option_ints *list, int layer)
{
	return (struct option_ints){.v = &list->v[list->n == 1 ? 0 : layer], .n = 1};
}

/* ERR_CONFIG unless the heads of the first layer divide the row. */
static int choose_head_size(const struct encoder_options *o, int *out)
{
	*out = (int)o->head_size;
	if (*out > 0)
		return 0;
	if (o->hidden % o->heads.v[0] != 0)
		return err_set(ERR_CONFIG, "hidden %lld is no multiple of %lld heads; give head_size",
		    (long long)o->hidden, (long long)o->heads.v[0]);
	*out = (int)(o->hidden / o->heads.v[0]);
	return 0;
}

static int from_options(struct model_spec *s, const void *given)
{
	const struct encoder_options *o = given;
	struct encoder_spec *own = s->own;
	int rc = check_list("heads", &o->heads, o->layers);
	if (!rc)
		rc = check_list("ffn", &o->ffn, o->layers);
	if (!rc)
		rc = choose_head_size(o, &own->head_size);
	for (int i = 0; !rc && i < o->layers; i++) {
		rc = family_widths(s, "heads", element(&o->heads, i));
		if (!rc)
			rc = family_widths(s, "ffn", element(&o->ffn, i));
	}
	own->hidden = (int)o->hidden;
	own->positions = (int)o->positions;
	own->token_types = (int)o->token_types;
	own->norm = o->norm;
	own->activation = o->activation;
	own->pooling = o->pooling;
	own->pooler = o->pooler;
	own->eps = (float)o->eps;
	own->dropout = (float)o->dropout;
	own->attention_dropout = (float)o->attention_dropout;
	return rc;
}

static int check(const struct model_spec *s, enum err code)
{
	const struct encoder_spec *own = s->own;
	int rc;
	if (s->n_width < 2 || s->n_width % 2 != 0 || s->n_width > 2 * MAX_LAYERS)
		return err_set(
		    code, "%d widths, must be two per layer (heads, ffn) of 1 to %d layers", s->n_width, MAX_LAYERS);
	if ((rc = family_range(code, "hidden", -1, own->hidden, 1, SPEC_MAX_SIZE)) < 0 ||
	    (rc = family_range(code, "head_size", -1, own->head_size, 1, 1024)) < 0 ||
	    (rc = family_range(code, "token_types", -1, own->token_types, 0, 1024)) < 0 ||
	    (rc = family_range(code, "positions", -1, own->positions, 1, SPEC_MAX_TEXT)) < 0)
		return rc;
	for (int i = 0; i < s->n_width; i += 2)
		if ((rc = family_range(code, "heads", i / 2, s->width[i], 1, 1024)) < 0)
			return rc;
	if (s->input.longest > own->positions)
		return err_set(code, "texts may have up to %d tokens (input.longest), the model has %d positions",
		    s->input.longest, own->positions);
	if (s->input.pairs && own->token_types == 1)
		return err_set(code,
		    "token_types is 1, pairs of texts need 2 (or 0: no table, their texts are told apart by [SEP])");
	if (!(own->eps > 0) || !(own->eps <= 0.1f))
		return err_set(code, "eps is %g, must be above 0 and at most 0.1", (double)own->eps);
	rc = family_dropout(code, "dropout", own->dropout);
	return rc ? rc : family_dropout(code, "attention_dropout", own->attention_dropout);
}

/* ---- the graph ---- */

static const struct param_axis fixed = {.width = -1, .outer = 1, .inner = 1};

/* A layer of a prefix and a name, "encoder.layer.0." and "output.dense". */
static const char *join(char buf[NODE_NAME], const char *prefix, const char *name)
{
	snprintf(buf, NODE_NAME, "%s%s", prefix, name);
	return buf;
}

static int add_table(struct builder *b, const char *name, int64_t rows)
{
	const struct encoder_spec *own = b->s->own;
	const struct param_attr a = {.init = INIT_NORMAL, .init_value = INIT_STD, .decay = true};
	return build_param(b, name, "weight", (struct shape){.ndim = 2, .dim = {rows, own->hidden}}, &a);
}

static void linear(struct builder *b, const char *name, int64_t out, struct param_axis units, bool relu)
{
	build_linear_units(b, name, out, units, relu, INIT_NORMAL, INIT_STD);
}

/* Of b->x, or of b->x + residual. */
static void layer_norm(struct builder *b, const char *name, int residual)
{
	const struct encoder_spec *own = b->s->own;
	const struct shape units = {.ndim = 1, .dim = {own->hidden}};
	int in[LAYERNORM_R + 1];
	in[LAYERNORM_X] = b->x;
	in[LAYERNORM_GAMMA] =
	    build_param(b, name, "weight", units, &(struct param_attr){.init = INIT_CONSTANT, .init_value = 1});
	in[LAYERNORM_BETA] = build_param(b, name, "bias", units, &(struct param_attr){.init = INIT_CONSTANT});
	in[LAYERNORM_R] = residual;
	build_node(b, OP_LAYERNORM, name, in, residual == NODE_NONE ? LAYERNORM_R : LAYERNORM_R + 1,
	    &(struct attr){.eps = own->eps});
}

/* starts NODE_NONE: of pooled rows, one per text. */
static void dropout(struct builder *b, const char *name, int starts)
{
	const struct encoder_spec *own = b->s->own;
	int in[2];
	in[DROPOUT_X] = b->x;
	in[DROPOUT_STARTS] = starts;
	if (own->dropout > 0)
		build_node(b, OP_DROPOUT, name, in, starts == NODE_NONE ? 1 : 2, &(struct attr){.rate = own->dropout});
}

static void embed(struct builder *b, int starts)
{
	const struct encoder_spec *own = b->s->own;
	static const char words[] = "embeddings.word_embeddings", positions[] = "embeddings.position_embeddings",
			  types[] = "embeddings.token_type_embeddings";
	const bool typed = own->token_types > 0, pairs = typed && b->s->input.pairs;
	int in[POSITION_SECOND + 1];
	in[EMBEDDING_IDS] = b->x;
	in[EMBEDDING_TABLE] = add_table(b, words, b->s->input.vocabulary);
	build_node(b, OP_EMBEDDING, words, in, 2, NULL);
	in[POSITION_X] = b->x;
	in[POSITION_TABLE] = add_table(b, positions, own->positions);
	in[POSITION_STARTS] = starts;
	in[POSITION_TYPE] = typed ? add_table(b, types, own->token_types) : NODE_NONE;
	in[POSITION_SECOND] = pairs ? build_second(b) : NODE_NONE;
	build_node(b, OP_POSITION, positions, in,
	    pairs   ? 5
	    : typed ? 4
		    : 3,
	    &(struct attr){.longest = b->shape.longest});
	layer_norm(b, "embeddings.LayerNorm", NODE_NONE);
	dropout(b, "embeddings.dropout", starts);
	b->channels = fixed;
}

/* The branch of b->x, without residual and norm. */
static void attention(struct builder *b, const char *prefix, int layer, int starts)
{
	static const char *const names[] = {
	    "attention.self.query", "attention.self.key", "attention.self.value"}; /* in the order of the op's inputs */
	const struct encoder_spec *own = b->s->own;
	const int heads = b->s->width[2 * layer], from = b->x;
	const struct param_axis units = {.width = 2 * layer, .outer = 1, .inner = own->head_size};
	char name[NODE_NAME];
	int in[ATTENTION_STARTS + 1];
	for (int i = 0; i < 3; i++) {
		b->x = from;
		b->channels = fixed;
		linear(b, join(name, prefix, names[i]), (int64_t)heads * own->head_size, units, false);
		in[ATTENTION_Q + i] = b->x;
	}
	in[ATTENTION_STARTS] = starts;
	build_node(b, OP_ATTENTION, join(name, prefix, "attention.self"), in, ATTENTION_STARTS + 1,
	    &(struct attr){.heads = heads, .longest = b->shape.longest, .rate = own->attention_dropout});
	linear(b, join(name, prefix, "attention.output.dense"), own->hidden, fixed, false);
	dropout(b, join(name, prefix, "attention.output.dropout"), starts);
}

static void feed_forward(struct builder *b, const char *prefix, int layer, int starts)
{
	const struct encoder_spec *own = b->s->own;
	const struct param_axis units = {.width = 2 * layer + 1, .outer = 1, .inner = 1};
	char name[NODE_NAME];
	linear(b, join(name, prefix, "intermediate.dense"), b->s->width[2 * layer + 1], units,
	    own->activation == ENCODER_RELU);
	if (own->activation != ENCODER_RELU)
		build_unary(b, OP_GELU, join(name, prefix, "intermediate.activation"),
		    &(struct attr){.gelu_tanh = own->activation == ENCODER_GELU_TANH});
	linear(b, join(name, prefix, "output.dense"), own->hidden, fixed, false);
	dropout(b, join(name, prefix, "output.dropout"), starts);
}

/* b->x + residual. The branch is the later operand, which quantization fuses into the addition. */
static void add(struct builder *b, const char *name, int residual)
{
	int in[2];
	in[ADD_A] = residual;
	in[ADD_B] = b->x;
	build_node(b, OP_ADD, name, in, 2, NULL);
}

/* A branch between its residual and its norm: "attention" or "output" are where BERT's names have both. */
static void branch(struct builder *b, const char *prefix, int layer, int starts, bool attends)
{
	const struct encoder_spec *own = b->s->own;
	char norm[NODE_NAME], sum[NODE_NAME];
	int residual = b->x;
	join(norm, prefix, attends ? "attention.output.LayerNorm" : "output.LayerNorm");
	if (own->norm == ENCODER_NORM_PRE)
		layer_norm(b, norm, NODE_NONE);
	if (attends)
		attention(b, prefix, layer, starts);
	else
		feed_forward(b, prefix, layer, starts);
	if (own->norm == ENCODER_NORM_PRE)
		add(b, join(sum, prefix, attends ? "attention.output.add" : "output.add"), residual);
	else
		layer_norm(b, norm, residual);
}

static void pool(struct builder *b, int starts)
{
	const struct encoder_spec *own = b->s->own;
	int in[2];
	in[SEGMENT_X] = b->x;
	in[SEGMENT_STARTS] = starts;
	build_node(
	    b, own->pooling == ENCODER_POOLING_MEAN ? OP_SEGMENT_MEAN : OP_SEGMENT_FIRST, "pooling", in, 2, NULL);
	if (own->pooler == ENCODER_POOLER_NONE)
		return;
	linear(b, "pooler.dense", own->hidden, fixed, own->pooler == ENCODER_POOLER_RELU);
	if (own->pooler == ENCODER_POOLER_TANH)
		build_unary(b, OP_TANH, "pooler.activation", NULL);
}

static void build(struct builder *b)
{
	const struct encoder_spec *own = b->s->own;
	char prefix[NODE_NAME];
	int starts;
	build_texts(b, &starts);
	embed(b, starts);
	for (int i = 0; i < b->s->n_width / 2; i++) {
		snprintf(prefix, sizeof(prefix), "encoder.layer.%d.", i);
		branch(b, prefix, i, starts, true);
		branch(b, prefix, i, starts, false);
	}
	if (own->norm == ENCODER_NORM_PRE)
		layer_norm(b, "encoder.LayerNorm", NODE_NONE);
	pool(b, starts);
	if (b->s->classes == 0)
		return;
	dropout(b, "pooler.dropout", NODE_NONE);
	linear(b, "classifier", b->s->classes, fixed, false);
}

static int layers(const struct model_spec *s)
{
	return s->n_width / 2;
}

static void layer_source(const char *param, const int *layer, char source[NODE_NAME])
{
	int i, rest = 0;
	if (sscanf(param, "encoder.layer.%d.%n", &i, &rest) == 1 && rest > 0)
		snprintf(source, NODE_NAME, "encoder.layer.%d.%s", layer[i], param + rest);
	else
		snprintf(source, NODE_NAME, "%s", param);
}

static int layer_source_width(int width, const int *layer)
{
	return 2 * layer[width / 2] + width % 2;
}

static void layer_tap(const struct model_spec *s, int layer, enum layer_tap tap, char node[NODE_NAME])
{
	static const char *const name[] = {[TAP_QUERY] = "attention.self.query",
	    [TAP_KEY] = "attention.self.key",
	    [TAP_VALUE] = "attention.self.value"};
	const struct encoder_spec *own = s->own;
	const char *last = own->norm == ENCODER_NORM_PRE ? "output.add" : "output.LayerNorm";
	snprintf(node, NODE_NAME, "encoder.layer.%d.%s", layer, tap == TAP_HIDDEN ? last : name[tap]);
}

static void width_name(const struct model_spec *s, int i, char buf[64])
{
	(void)s;
	snprintf(buf, 64, "layer%d.%s", i / 2, i % 2 == 0 ? "heads" : "ffn");
}

const struct family_row family_encoder = {.name = "encoder",
    .help = "transformer encoder, as BERT",
    .input = INPUT_TEXT,
    .option = options,
    .option_size = sizeof(struct encoder_options),
    .field = fields,
    .own_size = sizeof(struct encoder_spec),
    .without_classes = true,
    .from_options = from_options,
    .check = check,
    .build = build,
    .width_name = width_name,
    .layers = layers,
    .layer_source = layer_source,
    .layer_source_width = layer_source_width,
    .layer_tap = layer_tap};
