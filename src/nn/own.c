/* A network of one's own: the layers of its file, by the builder's calls. What follows a convolution or a linear layer
 * directly and can be computed with it becomes part of it, so that a network written out computes what the built-in one
 * of the same layers does. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config/architecture.h"
#include "nn/model.h"

/* Where the reading of a block stands. */
typedef struct own {
  pp_builder builder;
  bool many_convs, many_linears;                   /* then they are numbered */
  int convs, linears, projections, squeezes, part; /* so far, in the block */
} own;

/* The first error sticks. */
static PP_PRINTF(3, 4) void refuse(own *o, const pp_node *node, const char *format, ...) {
  char why[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(why, sizeof why, format, arguments);
  va_end(arguments);
  if (o->builder.status == NULL)
    o->builder.status = pp_fail_at(node, node->kind == PP_NODE_SCALAR ? node->text : NULL, "%s", why);
}

/* What the builder itself refuses gets its place. */
static void give_place(own *o, const pp_node *node, bool was_well) {
  char place[PP_SHOWN_PLACE];
  if (was_well)
    o->builder.status = pp_fail_in(o->builder.status, "%s", pp_node_place(node, place));
}
#define PLACED(o, node, call)                                                                                          \
  do {                                                                                                                 \
    bool was_well_ = (o)->builder.status == NULL;                                                                      \
    call;                                                                                                              \
    give_place(o, node, was_well_);                                                                                    \
  } while (0)

static pp_activation activation_of(pp_own_kind kind) {
  return kind == PP_OWN_RELU           ? PP_ACT_RELU
         : kind == PP_OWN_HARD_SWISH   ? PP_ACT_HARD_SWISH
         : kind == PP_OWN_HARD_SIGMOID ? PP_ACT_HARD_SIGMOID
                                       : PP_ACT_NONE;
}

/* The activation at *at, which it moves on; none where another layer stands there. */
static pp_activation take_activation(const pp_own_layers *list, int *at) {
  pp_activation act = *at < list->count ? activation_of(list->layers[*at].kind) : PP_ACT_NONE;
  *at += act != PP_ACT_NONE;
  return act;
}

static bool fits(own *o, const pp_own_layer *layer, pp_shape in, int padding) {
  if (in.height + 2 * padding >= layer->kernel && in.width + 2 * padding >= layer->kernel)
    return true;
  refuse(o, layer->node, "a kernel of %d with a padding of %d leaves nothing of a map of %dx%d", layer->kernel, padding,
         in.height, in.width);
  return false;
}

static void number(char *out, size_t size, const char *name, bool many, int which) {
  if (many)
    snprintf(out, size, "%s%d", name, which);
  else
    snprintf(out, size, "%s", name);
}

static bool is_plain_pool(const pp_own_layers *list, int at) {
  const pp_own_layer *next = at < list->count ? &list->layers[at] : NULL;
  return next != NULL && next->kind == PP_OWN_MAX_POOL && next->kernel == 2 && next->padding == 0 &&
         (next->stride == 0 || next->stride == 2);
}

static int add_conv(own *o, int from, const pp_own_layers *list, int *at, bool shortcut) {
  const pp_own_layer *layer = &list->layers[(*at)++];
  pp_shape in = pp_builder_shape(&o->builder, from);
  char name[24], norm_name[24];
  int padding = layer->padding < 0 ? layer->kernel / 2 : layer->padding, end = 0;
  if (in.channels % layer->groups != 0 || layer->channels % layer->groups != 0) {
    refuse(o, layer->node, "%d groups do not divide %d input and %d output channels", layer->groups, in.channels,
           layer->channels);
    return 0;
  }
  if (!fits(o, layer, in, padding))
    return 0;
  if (shortcut) {
    int index = 2 * o->projections++;
    snprintf(name, sizeof name, "downsample.%d", index);
    snprintf(norm_name, sizeof norm_name, "downsample.%d", index + 1);
  } else {
    number(name, sizeof name, "conv", o->many_convs, ++o->convs);
    number(norm_name, sizeof norm_name, "bn", o->many_convs, o->convs);
  }
  bool depthwise = layer->groups > 1 && layer->groups == in.channels && layer->channels == in.channels;
  pp_conv_spec spec = {.channels = layer->channels,
                       .kernel = layer->kernel,
                       .stride = layer->stride,
                       .padding = padding,
                       .groups = depthwise ? 1 : layer->groups,
                       .depthwise = depthwise,
                       .biased = layer->bias,
                       .plain = true,
                       .name = name,
                       .norm_name = norm_name};
  if (*at < list->count && list->layers[*at].kind == PP_OWN_BATCH_NORM) {
    spec.plain = false;
    (*at)++;
  }
  spec.act = take_activation(list, at);
  int height = (in.height + 2 * padding - layer->kernel) / layer->stride + 1;
  int width = (in.width + 2 * padding - layer->kernel) / layer->stride + 1;
  if (spec.act == PP_ACT_RELU && is_plain_pool(list, *at) && height > 1 && width > 1) {
    spec.pool = true;
    (*at)++;
  }
  PLACED(o, layer->node, end = pp_builder_conv(&o->builder, from, &spec));
  return end;
}

static int add_linear(own *o, int from, const pp_own_layers *list, int *at) {
  const pp_own_layer *layer = &list->layers[(*at)++];
  char name[24];
  int features = layer->channels > 0 ? layer->channels : o->builder.model->classes, end = 0;
  pp_activation act = take_activation(list, at);
  int64_t weights = pp_shape_elements(pp_builder_shape(&o->builder, from)) * features;
  if (weights > INT32_MAX) {
    refuse(o, layer->node, "%lld weights: allowed are at most %d", (long long)weights, INT32_MAX);
    return 0;
  }
  number(name, sizeof name, "linear", o->many_linears, ++o->linears);
  PLACED(o, layer->node, end = pp_builder_linear(&o->builder, from, features, act, name));
  return end;
}

static int add_pool(own *o, int from, const pp_own_layer *layer) {
  int stride = layer->stride > 0 ? layer->stride : layer->kernel, end = 0;
  if (!fits(o, layer, pp_builder_shape(&o->builder, from), layer->padding))
    return 0;
  if (layer->kind == PP_OWN_MAX_POOL)
    PLACED(o, layer->node, end = pp_builder_maxpool(&o->builder, from, layer->kernel, stride, layer->padding));
  else
    PLACED(o, layer->node, end = pp_builder_average_pool(&o->builder, from, layer->kernel, stride));
  return end;
}

static int add_layers(own *o, int from, const pp_own_layers *list, bool shortcut);

static bool is_same(pp_shape a, pp_shape b) {
  return a.channels == b.channels && a.height == b.height && a.width == b.width;
}

/* The stride that takes a 1x1 convolution from one shape to the other; 0: none does. */
static int stride_between(pp_shape from, pp_shape to) {
  for (int stride = 1; stride <= from.height || stride <= from.width; stride++)
    if ((from.height - 1) / stride + 1 == to.height && (from.width - 1) / stride + 1 == to.width)
      return stride;
  return 0;
}

/* The other way from a residual block's input to its sum, whose shape it has to have. */
static int add_shortcut(own *o, int from, pp_shape wanted, const pp_own_layer *layer) {
  pp_shape in = pp_builder_shape(&o->builder, from), got = in;
  int end = from;
  if (layer->shortcut_kind == PP_OWN_SHORTCUT_LAYERS) {
    end = add_layers(o, from, &layer->shortcut, true);
    if (o->builder.status != NULL)
      return 0;
    got = pp_builder_shape(&o->builder, end);
  } else if (layer->shortcut_kind == PP_OWN_SHORTCUT_AUTO && !is_same(in, wanted) && stride_between(in, wanted) > 0) {
    char name[24], norm_name[24];
    int index = 2 * o->projections++;
    snprintf(name, sizeof name, "downsample.%d", index);
    snprintf(norm_name, sizeof norm_name, "downsample.%d", index + 1);
    pp_conv_spec spec = {.channels = wanted.channels,
                         .kernel = 1,
                         .stride = stride_between(in, wanted),
                         .name = name,
                         .norm_name = norm_name};
    PLACED(o, layer->node, end = pp_builder_conv(&o->builder, from, &spec));
    got = wanted;
  }
  if (!is_same(got, wanted))
    refuse(o, layer->shortcut_node, "%dx%dx%d cannot be added to the %dx%dx%d of the residual block's layers",
           got.channels, got.height, got.width, wanted.channels, wanted.height, wanted.width);
  return end;
}

static int add_residual(own *o, int from, const pp_own_layers *list, int *at) {
  const pp_own_layer *layer = &list->layers[(*at)++];
  int end = add_layers(o, from, &layer->body, false), sum = 0;
  if (o->builder.status != NULL)
    return 0;
  int way = add_shortcut(o, from, pp_builder_shape(&o->builder, end), layer);
  pp_activation act = PP_ACT_NONE;
  if (*at < list->count && list->layers[*at].kind == PP_OWN_RELU)
    act = take_activation(list, at);
  PLACED(o, layer->node, sum = pp_builder_add(&o->builder, end, way, act));
  return sum;
}

static int add_inverted(own *o, int from, const pp_own_layer *layer) {
  pp_inverted shape = {.kernel = layer->kernel,
                       .expanded = layer->expanded,
                       .channels = layer->channels,
                       .squeeze = layer->squeeze,
                       .swish = layer->activation == PP_OWN_HARD_SWISH,
                       .stride = layer->stride};
  int end = 0;
  if (!fits(o, layer, pp_builder_shape(&o->builder, from), layer->kernel / 2))
    return 0;
  PLACED(o, layer->node, end = pp_builder_inverted(&o->builder, from, &shape, &o->part));
  return end;
}

static int add_squeeze(own *o, int from, const pp_own_layer *layer) {
  char first[24] = "fc1", second[24] = "fc2";
  int end = 0, which = ++o->squeezes;
  if (which > 1) {
    snprintf(first, sizeof first, "squeeze%d.fc1", which);
    snprintf(second, sizeof second, "squeeze%d.fc2", which);
  }
  PLACED(o, layer->node, end = pp_builder_squeeze_excite(&o->builder, from, layer->channels, first, second));
  return end;
}

static int add_layer(own *o, int from, const pp_own_layers *list, int *at, bool shortcut) {
  const pp_own_layer *layer = &list->layers[*at];
  int end = 0;
  switch (layer->kind) {
  case PP_OWN_CONV:
    return add_conv(o, from, list, at, shortcut);
  case PP_OWN_LINEAR:
    return add_linear(o, from, list, at);
  case PP_OWN_RESIDUAL:
    return add_residual(o, from, list, at);
  default:
    break;
  }
  ++*at;
  switch (layer->kind) {
  case PP_OWN_BATCH_NORM:
    refuse(o, layer->node, "a batch norm stands directly behind a conv, or is not built");
    break;
  case PP_OWN_MAX_POOL:
  case PP_OWN_AVERAGE_POOL:
    return add_pool(o, from, layer);
  case PP_OWN_GLOBAL_AVERAGE:
    PLACED(o, layer->node, end = pp_builder_average(&o->builder, from));
    break;
  case PP_OWN_SQUEEZE:
    return add_squeeze(o, from, layer);
  case PP_OWN_INVERTED:
    return add_inverted(o, from, layer);
  case PP_OWN_DROPOUT:
    PLACED(o, layer->node, end = pp_builder_dropout(&o->builder, from, layer->rate));
    break;
  default:
    PLACED(o, layer->node, end = pp_builder_activation(&o->builder, from, activation_of(layer->kind)));
  }
  return end;
}

static int add_layers(own *o, int from, const pp_own_layers *list, bool shortcut) {
  for (int at = 0; at < list->count && o->builder.status == NULL;)
    from = add_layer(o, from, list, &at, shortcut);
  return from;
}

static void count_named(const pp_own_layers *list, int *convs, int *linears) {
  for (int at = 0; at < list->count; at++) {
    *convs += list->layers[at].kind == PP_OWN_CONV;
    *linears += list->layers[at].kind == PP_OWN_LINEAR;
    if (list->layers[at].kind == PP_OWN_RESIDUAL)
      count_named(&list->layers[at].body, convs, linears);
  }
}

/* What `pipar models` calls a layer. */
static void describe(const pp_own_layer *layer, int classes, size_t size, char *out) {
  char stride[16] = "";
  if (layer->stride > 1)
    snprintf(stride, sizeof stride, "/%d", layer->stride);
  out[0] = '\0';
  switch (layer->kind) {
  case PP_OWN_CONV:
    if (layer->kernel == 3 && layer->stride == 1 && layer->groups == 1)
      snprintf(out, size, "C%d", layer->channels);
    else
      snprintf(out, size, "C%d%s %dx%d%s", layer->channels, layer->groups > 1 ? "g" : "", layer->kernel, layer->kernel,
               stride);
    break;
  case PP_OWN_MAX_POOL:
    snprintf(out, size, "max%d", layer->kernel);
    break;
  case PP_OWN_AVERAGE_POOL:
    snprintf(out, size, "average%d", layer->kernel);
    break;
  case PP_OWN_GLOBAL_AVERAGE:
    snprintf(out, size, "average");
    break;
  case PP_OWN_SQUEEZE:
    snprintf(out, size, "squeeze");
    break;
  case PP_OWN_RESIDUAL:
    snprintf(out, size, "residual");
    break;
  case PP_OWN_INVERTED:
    snprintf(out, size, "inverted %d-%d %dx%d%s%s", layer->expanded, layer->channels, layer->kernel, layer->kernel,
             stride, layer->squeeze ? " squeeze" : "");
    break;
  case PP_OWN_LINEAR:
    snprintf(out, size, "D%d", layer->channels > 0 ? layer->channels : classes);
    break;
  case PP_OWN_DROPOUT:
    snprintf(out, size, "drop");
    break;
  default: /* batch norms and activations go without saying */
    break;
  }
}

static void describe_all(const pp_own_layers *list, int classes, size_t size, char *out) {
  char word[48];
  for (int at = 0; at < list->count; at++) {
    describe(&list->layers[at], classes, sizeof word, word);
    size_t length = strlen(out);
    if (word[0] != '\0' && length + 1 < size)
      snprintf(out + length, size - length, "%s%s", length > 0 ? " " : "", word);
    if (list->layers[at].kind == PP_OWN_RESIDUAL)
      describe_all(&list->layers[at].body, classes, size, out);
  }
}

static void add_block(own *o, const pp_own_block *block) {
  char name[48] = "";
  int convs = 0, linears = 0;
  count_named(&block->layers, &convs, &linears);
  o->many_convs = convs > 1;
  o->many_linears = linears > 1;
  o->convs = o->linears = o->projections = o->squeezes = o->part = 0;
  describe_all(&block->layers, o->builder.model->classes, sizeof name, name);
  PLACED(o, block->node, pp_builder_block(&o->builder, "%s", name[0] != '\0' ? name : "activation"));
  add_layers(o, PP_FROM_BLOCK, &block->layers, false);
}

pp_status pp_model_create_own(const pp_architecture *from, pp_shape input, int classes, pp_model **out) {
  static const pp_scheme schemes[] = {[PP_OWN_XAVIER] = PP_SCHEME_XAVIER,
                                      [PP_OWN_KAIMING] = PP_SCHEME_RESNET,
                                      [PP_OWN_MOBILENET] = PP_SCHEME_MOBILENET};
  own o = {0};
  PP_TRY(pp_builder_begin(&o.builder, from->name, input, classes));
  o.builder.scheme = schemes[from->initial];
  o.builder.epsilon = (float)from->epsilon;
  o.builder.momentum = (float)from->momentum;
  for (int block = 0; block < from->block_count && o.builder.status == NULL; block++)
    add_block(&o, &from->blocks[block]);
  if (o.builder.status == NULL) {
    pp_shape end = o.builder.model->layers[o.builder.model->layer_count - 1].output;
    if (!is_same(end, (pp_shape){classes, 1, 1}))
      refuse(&o, from->blocks[from->block_count - 1].node,
             "the network ends in %dx%dx%d for %d classes: its last layer is to be {linear: classes}", end.channels,
             end.height, end.width, classes);
  }
  return pp_builder_end(&o.builder, out);
}
