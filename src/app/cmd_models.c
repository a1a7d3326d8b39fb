#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/commands.h"
#include "app/network_options.h"
#include "app/options.h"
#include "pipar/nn.h"

static const char usage[] = "usage: pipar models [--input CxHxW] [--classes N] [--json] [NAME | FILE.yaml]\n"
                            "Without NAME: the networks that are built in. With it, or the file of one's own: its "
                            "blocks, the units at which it "
                            "can be split between device and server.\n"
                            "  --input CxHxW   channels, height and width of a sample (3x32x32)\n"
                            "  --classes N     (10)\n"
                            "  --json          of NAME: its blocks and their layers, as JSON\n"
                            "FLOPs are those of a forward pass, 2 per multiply-accumulate; activation bytes are what "
                            "crosses the network when the split is behind the block.\n";

typedef struct request {
  pp_shape input;
  int classes;
  bool json;
} request;

static void print_shape(pp_shape shape, char *out, size_t size) {
  snprintf(out, size, "%dx%dx%d", shape.channels, shape.height, shape.width);
}

static int64_t block_flops(const pp_block_info *block) {
  int64_t macs = 0;
  for (int layer = 0; layer < block->layer_count; layer++)
    macs += block->layers[layer].macs;
  return 2 * macs;
}

/* Activations and gradients are floats. */
static int64_t activation_bytes(const pp_block_info *block) { return 4 * pp_shape_elements(block->output); }

static void print_blocks(const pp_model *model) {
  char shape[48];
  int64_t parameters = 0, flops = 0, bytes = 0;
  print_shape(pp_model_input(model), shape, sizeof shape);
  printf("%s, input %s, %d classes\n", pp_model_name(model), shape, pp_model_classes(model));
  printf("%5s  %-24s %14s %14s %16s %16s\n", "block", "layers", "output", "parameters", "FLOPs", "activation bytes");
  for (int block = 0; block < pp_model_block_count(model); block++) {
    const pp_block_info *info = pp_model_block(model, block);
    print_shape(info->output, shape, sizeof shape);
    printf("%5d  %-24s %14s %14" PRId64 " %16" PRId64 " %16" PRId64 "\n", block, info->name, shape, info->parameters,
           block_flops(info), activation_bytes(info));
    parameters += info->parameters;
    flops += block_flops(info);
    bytes += activation_bytes(info);
  }
  printf("%5s  %-24s %14s %14" PRId64 " %16" PRId64 " %16" PRId64 "\n", "total", "", "", parameters, flops, bytes);
}

static const char *kind_name(pp_layer_kind kind) {
  switch (kind) {
  case PP_LAYER_DENSE_CONV:
    return "dense_conv";
  case PP_LAYER_POINTWISE:
    return "pointwise";
  case PP_LAYER_DEPTHWISE:
    return "depthwise";
  case PP_LAYER_LINEAR:
    return "linear";
  case PP_LAYER_ELEMENTWISE:
    return "elementwise";
  }
  return "";
}

/* What the cost model sees of a network. Names of networks, blocks and layers need no escapes. */
static void print_json(const pp_model *model) {
  pp_shape input = pp_model_input(model);
  printf("{\"network\": \"%s\", \"input\": [%d, %d, %d], \"classes\": %d, \"blocks\": [", pp_model_name(model),
         input.channels, input.height, input.width, pp_model_classes(model));
  for (int block = 0; block < pp_model_block_count(model); block++) {
    const pp_block_info *info = pp_model_block(model, block);
    printf("%s\n  {\"name\": \"%s\", \"output\": [%d, %d, %d], \"parameters\": %" PRId64 ", \"statistics\": %" PRId64
           ", \"layers\": [",
           block > 0 ? "," : "", info->name, info->output.channels, info->output.height, info->output.width,
           info->parameters, info->statistics);
    for (int at = 0; at < info->layer_count; at++) {
      const pp_layer_info *layer = &info->layers[at];
      printf("%s\n    {\"name\": \"%s\", \"kind\": \"%s\", \"macs\": %" PRId64 ", \"inputs\": %" PRId64
             ", \"outputs\": %" PRId64 ", \"parameters\": %" PRId64 "}",
             at > 0 ? "," : "", layer->name, kind_name(layer->kind), layer->macs, layer->inputs, layer->outputs,
             layer->parameters);
    }
    printf("]}");
  }
  printf("]}\n");
}

static pp_status print_list(const request *wanted) {
  printf("%-20s %6s %12s\n", "network", "blocks", "parameters");
  for (const char *const *name = pp_model_names(); *name != NULL; name++) {
    pp_model *model = NULL;
    PP_TRY(pp_model_create(*name, wanted->input, wanted->classes, &model));
    int blocks = pp_model_block_count(model);
    printf("%-20s %6d %12" PRId64 "\n", *name, blocks, pp_model_parameter_offset(model, blocks));
    pp_model_destroy(model);
  }
  return NULL;
}

pp_status pp_cmd_models(int argc, char **argv, int *exit_code) {
  static const struct option options[] = {{"help", no_argument, NULL, 'h'},
                                          {"input", required_argument, NULL, 'i'},
                                          {"classes", required_argument, NULL, 'c'},
                                          {"json", no_argument, NULL, 'j'},
                                          {NULL, 0, NULL, 0}};
  request wanted = {{3, 32, 32}, 10, false};
  PP_TRY(pp_app_check_values(argc, argv, ":h", options));
  for (int option; (option = getopt_long(argc, argv, ":h", options, NULL)) != -1;) {
    switch (option) {
    case 'h':
      fputs(usage, stdout);
      *exit_code = 0;
      return NULL;
    case 'i':
      PP_TRY(pp_app_parse_input("models", optarg, &wanted.input));
      break;
    case 'c':
      PP_TRY(pp_app_parse_classes("models", optarg, &wanted.classes));
      break;
    case 'j':
      wanted.json = true;
      break;
    case ':':
      return pp_fail(PP_CODE_USAGE, "models: %.64s needs a value", argv[optind - 1]);
    default:
      return pp_fail(PP_CODE_USAGE, "models: %.64s is not an option: allowed are --input, --classes, --json and --help",
                     argv[optind - 1]);
    }
  }
  if (optind + 1 < argc)
    return pp_fail(PP_CODE_USAGE, "models: %.64s is one argument too many: allowed is one network", argv[optind + 1]);
  if (wanted.json && optind == argc)
    return pp_fail(PP_CODE_USAGE, "models: --json needs the name of a network");
  if (optind == argc) {
    PP_TRY(print_list(&wanted));
  } else {
    pp_model *model = NULL;
    PP_TRY(pp_app_create_model(argv[optind], wanted.input, wanted.classes, &model));
    if (wanted.json)
      print_json(model);
    else
      print_blocks(model);
    pp_model_destroy(model);
  }
  if (fflush(stdout) != 0 || ferror(stdout))
    return pp_fail(PP_CODE_RUN, "models: the output could not be written");
  *exit_code = 0;
  return NULL;
}
