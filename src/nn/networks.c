/* The networks of pipar.md by name. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/model.h"

/* ---- chains ---- */

typedef struct block_words {
  char kind; /* 'C' or 'D' */
  int size;  /* 0: the number of classes */
  bool plain, pool, drop;
} block_words;

static pp_status parse_block(const char *words, block_words *out) {
  block_words block = {.kind = words[0]};
  const char *rest = words[0] == '\0' ? words : words + 1;
  if (isdigit((unsigned char)*rest)) {
    char *end = NULL;
    long size = strtol(rest, &end, 10);
    block.size = size > 0 && size <= 1000000 ? (int)size : -1;
    rest = end;
  }
  if (*rest == 'N') {
    block.plain = true;
    rest++;
  }
  if (strcmp(rest, " max2") == 0)
    block.pool = true;
  else if (strcmp(rest, " drop") == 0)
    block.drop = true;
  else if (*rest != '\0')
    block.kind = '\0';
  bool conv = block.kind == 'C' && block.size > 0 && !block.drop;
  bool dense = block.kind == 'D' && block.size >= 0 && !block.pool && !block.plain;
  if (!conv && !dense)
    return pp_fail(PP_CODE_INPUT, "block \"%s\" is not built: C<channels>[N] [max2], D[<features>] [drop]", words);
  *out = block;
  return NULL;
}

/* `border`: more padding of the first convolution, as if the image had that many zeros around it. */
static void add_block(pp_builder *builder, const char *words, bool last, int border) {
  block_words block = {0};
  if (builder->status == NULL)
    builder->status = parse_block(words, &block);
  if (builder->status != NULL)
    return;
  pp_builder_block(builder, "%s", words);
  if (block.kind == 'C') {
    pp_conv_spec spec = {.channels = block.size,
                         .kernel = 3,
                         .stride = 1,
                         .padding = 1 + border,
                         .biased = true,
                         .plain = block.plain,
                         .pool = block.pool,
                         .act = PP_ACT_RELU,
                         .name = "conv",
                         .norm_name = "bn"};
    pp_builder_conv(builder, PP_FROM_BLOCK, &spec);
    return;
  }
  int features = block.size > 0 ? block.size : builder->model->classes;
  int layer = pp_builder_linear(builder, PP_FROM_BLOCK, features, last ? PP_ACT_NONE : PP_ACT_RELU, "linear");
  if (block.drop)
    pp_builder_dropout(builder, layer, 0.5);
}

static void add_chain(pp_builder *builder, const char *chain, int border) {
  char words[64];
  for (const char *at = chain; builder->status == NULL; border = 0) {
    size_t length = strcspn(at, ",");
    snprintf(words, sizeof words, "%.*s", (int)length, at);
    add_block(builder, words, at[length] == '\0', border);
    if (at[length] == '\0')
      return;
    at += length + 1;
    at += strspn(at, " ");
  }
}

pp_status pp_model_create_chain(const char *name, const char *chain, pp_shape input, int classes, pp_model **out) {
  pp_builder builder;
  PP_TRY(pp_builder_begin(&builder, name, input, classes));
  add_chain(&builder, chain, 0);
  return pp_builder_end(&builder, out);
}

static void build_vgg5(pp_builder *b) { add_chain(b, "C32 max2, C64 max2, C64, D128, D", 0); }
static void build_vgg8(pp_builder *b) { add_chain(b, "C32, C32 max2, C64, C64 max2, C128, C128, D128, D", 0); }

/* Simonyan and Zisserman, ICLR 2015, A and D; a 28x28 image is given a border of zeros to 32x32. */
static void build_big_vgg(pp_builder *b, const char *chain) {
  bool small = b->model->input.height == 28 && b->model->input.width == 28;
  add_chain(b, chain, small ? 2 : 0);
}

static void build_vgg11(pp_builder *b) {
  build_big_vgg(b, "C64 max2, C128 max2, C256, C256 max2, C512, C512 max2, C512, C512 max2, "
                   "D4096 drop, D4096 drop, D");
}

static void build_vgg16(pp_builder *b) {
  build_big_vgg(b, "C64, C64 max2, C128, C128 max2, C256, C256, C256 max2, C512, C512, C512 max2, "
                   "C512, C512, C512 max2, D4096 drop, D4096 drop, D");
}

/* ---- residual networks: He et al., CVPR 2016, with torchvision's stride in the 3x3 of a bottleneck ---- */

static int residual_conv(pp_builder *b, int from, int number, int channels, int kernel, int stride, pp_activation act) {
  char name[16], norm_name[16];
  snprintf(name, sizeof name, "conv%d", number);
  snprintf(norm_name, sizeof norm_name, "bn%d", number);
  pp_conv_spec spec = {.channels = channels,
                       .kernel = kernel,
                       .stride = stride,
                       .padding = kernel / 2,
                       .act = act,
                       .name = name,
                       .norm_name = norm_name};
  return pp_builder_conv(b, from, &spec);
}

static void residual_block(pp_builder *b, int width, int stride, bool bottleneck, bool last) {
  int channels = bottleneck ? 4 * width : width, inputs = 0, end = 0, way = PP_FROM_BLOCK;
  pp_builder_block(b, "%s %d%s%s", bottleneck ? "bottleneck" : "residual", channels, stride > 1 ? " /2" : "",
                   last ? ", average" : "");
  if (b->status != NULL)
    return;
  inputs = b->model->blocks[b->model->block_count - 1].info.input.channels;
  if (bottleneck) {
    end = residual_conv(b, PP_FROM_BLOCK, 1, width, 1, 1, PP_ACT_RELU);
    end = residual_conv(b, end, 2, width, 3, stride, PP_ACT_RELU);
    end = residual_conv(b, end, 3, channels, 1, 1, PP_ACT_NONE);
  } else {
    end = residual_conv(b, PP_FROM_BLOCK, 1, width, 3, stride, PP_ACT_RELU);
    end = residual_conv(b, end, 2, width, 3, 1, PP_ACT_NONE);
  }
  if (stride > 1 || inputs != channels)
    way = pp_builder_conv(
        b, PP_FROM_BLOCK,
        &(pp_conv_spec){
            .channels = channels, .kernel = 1, .stride = stride, .name = "downsample.0", .norm_name = "downsample.1"});
  end = pp_builder_add(b, end, way, PP_ACT_RELU);
  if (last)
    pp_builder_average(b, end);
}

static void build_resnet(pp_builder *b, const int counts[4], bool bottleneck) {
  b->scheme = PP_SCHEME_RESNET;
  pp_builder_block(b, "C64 7x7/2, max3 /2");
  int stem = pp_builder_conv(b, PP_FROM_BLOCK,
                             &(pp_conv_spec){.channels = 64,
                                             .kernel = 7,
                                             .stride = 2,
                                             .padding = 3,
                                             .act = PP_ACT_RELU,
                                             .name = "conv",
                                             .norm_name = "bn"});
  pp_builder_maxpool(b, stem, 3, 2, 1);
  for (int stage = 0; stage < 4; stage++)
    for (int block = 0; block < counts[stage]; block++)
      residual_block(b, 64 << stage, stage > 0 && block == 0 ? 2 : 1, bottleneck,
                     stage == 3 && block == counts[stage] - 1);
  pp_builder_block(b, "D");
  pp_builder_linear(b, PP_FROM_BLOCK, b->model->classes, PP_ACT_NONE, "linear");
}

static void build_resnet18(pp_builder *b) { build_resnet(b, (const int[]){2, 2, 2, 2}, false); }
static void build_resnet50(pp_builder *b) { build_resnet(b, (const int[]){3, 4, 6, 3}, true); }

/* ---- MobileNetV3: Howard et al., ICCV 2019, tables 1 and 2, as torchvision has them ---- */

static int eighths(int channels) { /* torchvision's rounding to multiples of 8, which loses at most a tenth */
  int rounded = (channels + 4) / 8 * 8;
  rounded = rounded < 8 ? 8 : rounded;
  return 10 * rounded < 9 * channels ? rounded + 8 : rounded;
}

/* Convolution number `part` of an inverted residual, or a convolution alone where part is negative. */
static int mobile_conv(pp_builder *b, int from, int part, pp_conv_spec spec) {
  char name[24], norm_name[24];
  snprintf(name, sizeof name, part < 0 ? "conv" : "block.%d.0", part);
  snprintf(norm_name, sizeof norm_name, part < 0 ? "bn" : "block.%d.1", part);
  spec.padding = spec.kernel / 2;
  spec.name = name;
  spec.norm_name = norm_name;
  return pp_builder_conv(b, from, &spec);
}

int pp_builder_squeeze_excite(pp_builder *b, int from, int channels, const char *first, const char *second) {
  if (b->status != NULL)
    return 0;
  int all = pp_builder_shape(b, from).channels;
  int factors = pp_builder_average(b, from);
  factors = pp_builder_squeeze(b, factors, channels > 0 ? channels : eighths(all / 4), PP_ACT_RELU, first);
  factors = pp_builder_squeeze(b, factors, all, PP_ACT_HARD_SIGMOID, second);
  return pp_builder_scale(b, from, factors);
}

int pp_builder_inverted(pp_builder *b, int from, const pp_inverted *shape, int *part) {
  if (b->status != NULL)
    return 0;
  int inputs = pp_builder_shape(b, from).channels, end = from;
  pp_activation act = shape->swish ? PP_ACT_HARD_SWISH : PP_ACT_RELU;
  if (shape->expanded != inputs)
    end = mobile_conv(b, end, (*part)++,
                      (pp_conv_spec){.channels = shape->expanded, .kernel = 1, .stride = 1, .act = act});
  end = mobile_conv(b, end, (*part)++,
                    (pp_conv_spec){.channels = shape->expanded,
                                   .kernel = shape->kernel,
                                   .stride = shape->stride,
                                   .depthwise = true,
                                   .act = act});
  if (shape->squeeze) {
    char first[24], second[24];
    snprintf(first, sizeof first, "block.%d.fc1", *part);
    snprintf(second, sizeof second, "block.%d.fc2", (*part)++);
    end = pp_builder_squeeze_excite(b, end, 0, first, second);
  }
  end = mobile_conv(b, end, (*part)++, (pp_conv_spec){.channels = shape->channels, .kernel = 1, .stride = 1});
  if (shape->stride == 1 && inputs == shape->channels)
    end = pp_builder_add(b, end, from, PP_ACT_NONE);
  return end;
}

static void inverted_block(pp_builder *b, const pp_inverted *shape) {
  int part = 0;
  pp_builder_block(b, "inverted %d-%d %dx%d%s%s", shape->expanded, shape->channels, shape->kernel, shape->kernel,
                   shape->stride > 1 ? "/2" : "", shape->squeeze ? " squeeze" : "");
  pp_builder_inverted(b, PP_FROM_BLOCK, shape, &part);
}

static void build_mobilenet(pp_builder *b, const pp_inverted *blocks, int count, int features) {
  b->scheme = PP_SCHEME_MOBILENET;
  b->epsilon = 1e-3F;
  b->momentum = 0.01F;
  pp_builder_block(b, "C16 3x3/2");
  mobile_conv(b, PP_FROM_BLOCK, -1, (pp_conv_spec){.channels = 16, .kernel = 3, .stride = 2, .act = PP_ACT_HARD_SWISH});
  for (int block = 0; block < count; block++)
    inverted_block(b, &blocks[block]);
  int last = 6 * blocks[count - 1].channels;
  pp_builder_block(b, "C%d 1x1, average", last);
  int end = mobile_conv(b, PP_FROM_BLOCK, -1,
                        (pp_conv_spec){.channels = last, .kernel = 1, .stride = 1, .act = PP_ACT_HARD_SWISH});
  pp_builder_average(b, end);
  pp_builder_block(b, "D%d drop", features);
  end = pp_builder_linear(b, PP_FROM_BLOCK, features, PP_ACT_HARD_SWISH, "linear");
  pp_builder_dropout(b, end, 0.2);
  pp_builder_block(b, "D");
  pp_builder_linear(b, PP_FROM_BLOCK, b->model->classes, PP_ACT_NONE, "linear");
}

static void build_mobilenet_small(pp_builder *b) {
  static const pp_inverted blocks[] = {
      {3, 16, 16, true, false, 2}, {3, 72, 24, false, false, 2}, {3, 88, 24, false, false, 1},
      {5, 96, 40, true, true, 2},  {5, 240, 40, true, true, 1},  {5, 240, 40, true, true, 1},
      {5, 120, 48, true, true, 1}, {5, 144, 48, true, true, 1},  {5, 288, 96, true, true, 2},
      {5, 576, 96, true, true, 1}, {5, 576, 96, true, true, 1},
  };
  build_mobilenet(b, blocks, (int)(sizeof blocks / sizeof blocks[0]), 1024);
}

static void build_mobilenet_large(pp_builder *b) {
  static const pp_inverted blocks[] = {
      {3, 16, 16, false, false, 1}, {3, 64, 24, false, false, 2}, {3, 72, 24, false, false, 1},
      {5, 72, 40, true, false, 2},  {5, 120, 40, true, false, 1}, {5, 120, 40, true, false, 1},
      {3, 240, 80, false, true, 2}, {3, 200, 80, false, true, 1}, {3, 184, 80, false, true, 1},
      {3, 184, 80, false, true, 1}, {3, 480, 112, true, true, 1}, {3, 672, 112, true, true, 1},
      {5, 672, 160, true, true, 2}, {5, 960, 160, true, true, 1}, {5, 960, 160, true, true, 1},
  };
  build_mobilenet(b, blocks, (int)(sizeof blocks / sizeof blocks[0]), 1280);
}

static const struct {
  const char *name;
  void (*build)(pp_builder *builder);
} networks[] = {
    {"vgg5", build_vgg5},
    {"vgg8", build_vgg8},
    {"vgg11", build_vgg11},
    {"vgg16", build_vgg16},
    {"resnet18", build_resnet18},
    {"resnet50", build_resnet50},
    {"mobilenetv3-small", build_mobilenet_small},
    {"mobilenetv3-large", build_mobilenet_large},
};
enum { NETWORK_COUNT = sizeof networks / sizeof networks[0] };

const char *const *pp_model_names(void) {
  static const char *const names[] = {
      "vgg5", "vgg8", "vgg11", "vgg16", "resnet18", "resnet50", "mobilenetv3-small", "mobilenetv3-large", NULL};
  return names;
}

pp_status pp_model_create(const char *name, pp_shape input, int classes, pp_model **out) {
  for (int network = 0; network < NETWORK_COUNT; network++) {
    if (strcmp(name, networks[network].name) != 0)
      continue;
    pp_builder builder;
    PP_TRY(pp_builder_begin(&builder, name, input, classes));
    networks[network].build(&builder);
    return pp_builder_end(&builder, out);
  }
  char known[256] = "";
  for (int network = 0; network < NETWORK_COUNT; network++)
    snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", network > 0 ? ", " : "",
             networks[network].name);
  return pp_fail(PP_CODE_INPUT, "model \"%s\" is not known: %s", name, known);
}
