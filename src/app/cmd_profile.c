/* pipar profile */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/commands.h"
#include "app/network_options.h"
#include "app/options.h"
#include "app/output.h"
#include "app/profiler.h"
#include "config/profile.h"

static const char usage[] =
    "usage: pipar profile MODEL -o P.yaml [--input CxHxW] [--classes N] [--batch-sizes LIST] [--repeats N] [--force]\n"
    "Times each block of the network on this machine, on one thread, and writes a profile for `cost: {kind: "
    "profile}`.\n"
    "  -o P.yaml           where to\n"
    "  --input CxHxW       channels, height and width of a sample (3x32x32)\n"
    "  --classes N         (10)\n"
    "  --batch-sizes LIST  sizes to time, which rise (1,2,5,10,20,50,100); those in between are costed by a line\n"
    "  --repeats N         of each measurement, of which the median counts, after one to warm up (5)\n"
    "  --force             replace an existing P.yaml\n";

enum { MOST_SIZES = 64, MOST_SIZE = 100000, MOST_REPEATS = 10000 };

typedef struct request {
  const char *name, *path;
  pp_shape input;
  int classes, repeats;
  bool force, sizes_given;
  int size_count;
  int sizes[MOST_SIZES];
} request;

static pp_status parse_sizes(const char *text, request *out) {
  const char *at = text;
  out->size_count = 0;
  for (;;) {
    int size = pp_app_take_integer(&at, MOST_SIZE), count = out->size_count;
    if (count == MOST_SIZES || size == 0 || (count > 0 && size <= out->sizes[count - 1]) || (*at != ',' && *at != '\0'))
      return pp_fail(PP_CODE_USAGE,
                     "profile: --batch-sizes %.64s: allowed are 1 to %d whole numbers from 1 to %d that rise, "
                     "separated by commas",
                     text, MOST_SIZES, MOST_SIZE);
    out->sizes[out->size_count++] = size;
    if (*at++ == '\0')
      break;
  }
  out->sizes_given = true;
  return NULL;
}

static pp_status parse_repeats(const char *text, int *out) {
  const char *at = text;
  *out = pp_app_take_integer(&at, MOST_REPEATS);
  if (*out == 0 || *at != '\0')
    return pp_fail(PP_CODE_USAGE, "profile: --repeats %.64s: allowed is an integer from 1 to %d", text, MOST_REPEATS);
  return NULL;
}

static pp_status parse(int argc, char **argv, request *out, bool *help) {
  enum { OPT_INPUT = 256, OPT_CLASSES, OPT_SIZES, OPT_REPEATS, OPT_FORCE };
  static const struct option longs[] = {{"input", required_argument, NULL, OPT_INPUT},
                                        {"classes", required_argument, NULL, OPT_CLASSES},
                                        {"batch-sizes", required_argument, NULL, OPT_SIZES},
                                        {"repeats", required_argument, NULL, OPT_REPEATS},
                                        {"force", no_argument, NULL, OPT_FORCE},
                                        {"help", no_argument, NULL, 'h'},
                                        {NULL, 0, NULL, 0}};
  *out = (request){
      .input = {3, 32, 32}, .classes = 10, .repeats = 5, .size_count = 7, .sizes = {1, 2, 5, 10, 20, 50, 100}};
  PP_TRY(pp_app_check_values(argc, argv, ":ho:", longs));
  for (int option; (option = getopt_long(argc, argv, ":ho:", longs, NULL)) != -1;) {
    switch (option) {
    case 'h':
      *help = true;
      return NULL;
    case 'o':
      out->path = optarg;
      break;
    case OPT_INPUT:
      PP_TRY(pp_app_parse_input("profile", optarg, &out->input));
      break;
    case OPT_CLASSES:
      PP_TRY(pp_app_parse_classes("profile", optarg, &out->classes));
      break;
    case OPT_SIZES:
      PP_TRY(parse_sizes(optarg, out));
      break;
    case OPT_REPEATS:
      PP_TRY(parse_repeats(optarg, &out->repeats));
      break;
    case OPT_FORCE:
      out->force = true;
      break;
    default:
      return pp_app_bad_option(argc, argv, option);
    }
  }
  if (optind == argc)
    return pp_fail(PP_CODE_USAGE, "profile: a network is missing: `pipar models` lists them");
  if (optind + 1 < argc)
    return pp_fail(PP_CODE_USAGE, "profile: '%.64s' is one argument too many: allowed is one network",
                   argv[optind + 1]);
  if (out->path == NULL)
    return pp_fail(PP_CODE_USAGE, "profile: -o P.yaml is missing: see pipar profile --help");
  out->name = argv[optind];
  return NULL;
}

/* A batch norm over one value has no variance. */
static pp_status check_sizes(const pp_model *model, request *wanted) {
  if (wanted->sizes[0] != 1)
    return NULL;
  for (int block = 0; block < pp_model_block_count(model); block++) {
    if (!pp_model_needs_two_samples(model, block))
      continue;
    if (wanted->sizes_given)
      return pp_fail(PP_CODE_USAGE,
                     "profile: --batch-sizes 1: block %d of %s has a batch norm that sees one value a channel, which "
                     "has no variance: allowed are sizes from 2",
                     block, wanted->name);
    wanted->size_count--;
    memmove(wanted->sizes, wanted->sizes + 1, (size_t)wanted->size_count * sizeof *wanted->sizes);
    break;
  }
  return NULL;
}

/* ---- The file ---- */

static void write_row(FILE *stream, const char *key, const double *values, int count) {
  fprintf(stream, "%s: [", key);
  for (int at = 0; at < count; at++)
    fprintf(stream, "%s%.5g", at > 0 ? ", " : "", values[at]);
  fputc(']', stream);
}

static void write_passes(FILE *stream, const pp_timings *timings, int row) {
  size_t first = (size_t)row * (size_t)timings->size_count;
  write_row(stream, "forward_s", timings->forward_s + first, timings->size_count);
  fputs(", ", stream);
  write_row(stream, "backward_s", timings->backward_s + first, timings->size_count);
}

static void write_profile(FILE *stream, const pp_model *model, const pp_timings *timings, const char *machine) {
  pp_shape input = pp_model_block(model, 0)->input;
  fprintf(stream,
          "# Seconds of each pass over each block, one number a batch size; update_s is per mini-batch.\n"
          "format: pipar-profile\n"
          "format_version: %d\n",
          PP_PROFILE_VERSION);
  if (machine[0] != '\0')
    fprintf(stream, "machine: '%s'\n", machine);
  fprintf(stream, "network: %s\ninput: [%d, %d, %d]\nclasses: %d\nbatch_sizes: [", pp_model_name(model), input.channels,
          input.height, input.width, pp_model_classes(model));
  for (int size = 0; size < timings->size_count; size++)
    fprintf(stream, "%s%d", size > 0 ? ", " : "", timings->sizes[size]);
  fprintf(stream, "]\nextrapolate: false\nblocks:\n");
  for (int block = 0; block < timings->block_count; block++) {
    fprintf(stream, "  - {name: '%s', ", pp_model_block(model, block)->name);
    write_passes(stream, timings, block);
    fprintf(stream, ", update_s: %.5g}\n", timings->update_s[block]);
  }
  fprintf(stream, "loss: {");
  write_passes(stream, timings, timings->block_count);
  fprintf(stream, "}\naggregate: {add_s: %.5g, finish_s: %.5g}\n", timings->add_s, timings->finish_s);
}

/* ---- The table ---- */

static void print_table(const pp_model *model, const pp_timings *timings) {
  int last = timings->size_count - 1;
  printf("milliseconds a sample, forward + backward, by batch size; update: milliseconds a mini-batch\n");
  printf("%5s  %-24s", "block", "layers");
  for (int size = 0; size <= last; size++)
    printf(" %17d", timings->sizes[size]);
  printf(" %10s\n", "update");
  for (int row = 0; row <= timings->block_count; row++) {
    bool loss = row == timings->block_count;
    if (loss)
      printf("%5s  %-24s", "", "loss");
    else
      printf("%5d  %-24.24s", row, pp_model_block(model, row)->name);
    for (int size = 0; size <= last; size++) {
      int at = row * timings->size_count + size;
      double scale = 1e3 / timings->sizes[size];
      printf(" %8.4f+%8.4f", timings->forward_s[at] * scale, timings->backward_s[at] * scale);
    }
    if (!loss)
      printf(" %10.4f", timings->update_s[row] * 1e3);
    printf("\n");
  }
  printf("averaging the whole network: %.4f ms a model and %.4f ms once\n", timings->add_s * 1e3,
         timings->finish_s * 1e3);
}

static void host_name(char *out, size_t size) {
  if (gethostname(out, size) != 0)
    out[0] = '\0';
  out[size - 1] = '\0';
  if (strchr(out, '\'') != NULL)
    out[0] = '\0';
}

/* The file is begun first: one that cannot be made is told before anything is timed. */
static pp_status open_output(const request *wanted, pp_output *output) {
  char *const inputs[] = {(char *)wanted->name, NULL}; /* a network of one's own is a file */
  if (!wanted->force && access(wanted->path, F_OK) == 0)
    return pp_output_exists(wanted->path);
  PP_TRY(pp_output_open(output, wanted->path, inputs, wanted->force));
  output->keeps = !wanted->force;
  return NULL;
}

static pp_status profile(request *wanted) {
  char machine[96];
  pp_model *model = NULL;
  pp_timings timings = {0};
  pp_output output = {0};
  pp_status status = NULL;
  PP_TRY(pp_app_create_model(wanted->name, wanted->input, wanted->classes, &model));
  PP_TRY_GOTO(status, check_sizes(model, wanted), done);
  PP_TRY_GOTO(status, open_output(wanted, &output), done);
  PP_TRY_GOTO(status, pp_timings_measure(model, wanted->size_count, wanted->sizes, wanted->repeats, &timings), done);
  host_name(machine, sizeof machine);
  write_profile(output.stream, model, &timings, machine);
  PP_TRY_GOTO(status, pp_output_commit(&output, NULL), done);
  print_table(model, &timings);
  printf("%s\n", wanted->path);
done:
  pp_output_abandon(&output);
  pp_timings_fini(&timings);
  pp_model_destroy(model);
  return status;
}

pp_status pp_cmd_profile(int argc, char **argv, int *exit_code) {
  (void)exit_code;
  request wanted;
  bool help = false;
  PP_TRY(parse(argc, argv, &wanted, &help));
  if (!help)
    return profile(&wanted);
  fputs(usage, stdout);
  return NULL;
}
