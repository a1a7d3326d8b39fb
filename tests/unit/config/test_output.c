/* What goes out: dumps, visits, the reference, the presets. */
#include <math.h>
#include <stdio.h>

#include "config/decimal.h"
#include "config/presets.h"
#include "files.h"
#include "samples.h"

static bool same_trace(const pp_rate_trace *a, const pp_rate_trace *b) {
  bool same = a->count == b->count && a->period_ns == b->period_ns;
  for (int step = 0; same && step < a->count; step++)
    same = a->steps[step].start_ns == b->steps[step].start_ns && a->steps[step].rate_bps == b->steps[step].rate_bps;
  return same;
}

/* Compares memory, so that a member nobody thought of counts; what pointers lead to is compared apart. */
static void check_same(const pp_config *a, const pp_config *b) {
  pp_config x = *a, y = *b;
  ck_assert_str_eq(a->dataset.path, b->dataset.path);
  x.dataset.path = y.dataset.path = NULL;
  ck_assert_str_eq(a->init, b->init);
  x.init = y.init = NULL;
  x.directory = y.directory = NULL; /* where the file was */
  x.groups = y.groups = NULL;
  ck_assert_mem_eq(&x, &y, sizeof x);
  for (int group = 0; group < a->group_count; group++) {
    pp_device_group g = a->groups[group], h = b->groups[group];
    ck_assert(same_trace(&g.network.up, &h.network.up) && same_trace(&g.network.down, &h.network.down));
    g.network.up.steps = h.network.up.steps = g.network.down.steps = h.network.down.steps = NULL;
    ck_assert_mem_eq(&g, &h, sizeof g);
  }
}

START_TEST(a_dump_loads_to_the_same_run) {
  for (int sample = 0; sample < SAMPLE_COUNT; sample++) {
    pp_experiment *experiment = must_load(samples[sample]);
    for (int run = 0; run < pp_experiment_run_count(experiment); run++) {
      char *dump = dump_of(pp_experiment_run(experiment, run));
      pp_experiment *again = must_load(dump);
      ck_assert_int_eq(pp_experiment_run_count(again), 1);
      check_same(pp_experiment_run(experiment, run), pp_experiment_run(again, 0));
      ck_assert_str_eq(pp_experiment_name(experiment), pp_experiment_name(again));
      pp_experiment_destroy(again);
      free(dump);
    }
    pp_experiment_destroy(experiment);
  }
}
END_TEST

/* Collects "key=value" lines. */
static pp_status collect(const pp_setting *setting, void *context) {
  FILE *stream = context;
  if (setting->type == PP_SETTING_TEXT)
    fprintf(stream, "%s=%s\n", setting->key, setting->text);
  else if (setting->type == PP_SETTING_REAL)
    fprintf(stream, "%s=%.9g\n", setting->key, setting->real);
  else
    fprintf(stream, "%s=%lld\n", setting->key, (long long)setting->integer);
  return NULL;
}

START_TEST(a_visit_gives_every_setting_under_its_dotted_key_in_order) {
  pp_experiment *experiment = must_load(samples[3]);
  char *text = NULL;
  size_t length = 0;
  FILE *stream = open_memstream(&text, &length);
  ck_assert_ptr_null(pp_config_visit(pp_experiment_run(experiment, 0), collect, stream));
  fclose(stream);
  static const char *const lines[] = {
      "name=exp\n",
      "\nseed=1\nclock=virtual\ncompute=none\nmethod=pipar\nmodel=vgg5\n",
      "\ndataset.train_samples=10000\n",
      "\ndataset.shuffle=1\n",
      "\ntraining.epochs=3\n",
      "\ntraining.aggregate_every=epoch\n",
      "\npipeline.split=auto\npipeline.micro_batches=2\n",
      "\ncost.iterations=1\ncost.device.forward_s=0.1\n",
      "\nserver.device.name=server-cpu\n",
      "\nserver.slots=1\n",
      ("\ndevices.0.count=1\ndevices.0.network.up_mbps=10\ndevices.0.network.down_mbps=20\n"
       "devices.0.network.latency_ms=100\ndevices.0.network.duplex=full\ndevices.0.samples=auto\n"),
      "\ndevices.1.network.name=uk-4g\n",
      "\ndevices.1.cost.device.forward_s=7\n",
      "\ndevices.1.cost.bytes.upload=9\n",
      "\nprivacy.mechanism=none\nprivacy.noise_multiplier=0\nprivacy.delta=1e-05\nprivacy.noise=gaussian\nrecord."
      "stages=1\nrecord.model=0\ncheckpoint.every_rounds=1\ninit=random\n",
  };
  const char *at = text;
  for (size_t line = 0; line < sizeof lines / sizeof *lines; line++) {
    const char *found = strstr(at, lines[line]);
    ck_assert_msg(found != NULL, "no %s in\n%s", lines[line], at);
    at = found + strlen(lines[line]) - 1;
  }
  ck_assert_ptr_null(strstr(text, "shape"));
  free(text);
  pp_experiment_destroy(experiment);
}
END_TEST

START_TEST(a_visited_trace_is_text) {
  pp_experiment *experiment = must_load(samples[2]);
  char *text = NULL;
  size_t length = 0;
  FILE *stream = open_memstream(&text, &length);
  ck_assert_ptr_null(pp_config_visit(pp_experiment_run(experiment, 0), collect, stream));
  fclose(stream);
  ck_assert_ptr_nonnull(strstr(text, "\ndevices.0.network.up_trace=[[0, 10], [2.5, 0], [3.000000001, 5]]\n"));
  ck_assert_ptr_nonnull(strstr(text, "\ndevices.0.network.down_loop_after_s=0.1\n"));
  free(text);
  pp_experiment_destroy(experiment);
}
END_TEST

static pp_status stop_at_seed(const pp_setting *setting, void *context) {
  int *count = context;
  ++*count;
  return strcmp(setting->key, "seed") == 0 ? pp_fail(PP_CODE_RUN, "enough") : NULL;
}

START_TEST(a_visitor_s_error_ends_the_visit) {
  pp_experiment *experiment = must_load(LEAST);
  int count = 0;
  pp_status status = pp_config_visit(pp_experiment_run(experiment, 0), stop_at_seed, &count);
  ck_assert_str_eq(pp_error_message(status), "enough");
  ck_assert_int_eq(count, 2);
  pp_error_free(status);
  pp_experiment_destroy(experiment);
}
END_TEST

START_TEST(a_dump_that_cannot_be_written_is_an_error) {
  pp_experiment *experiment = must_load(LEAST);
  FILE *full = fopen("/dev/full", "w");
  if (full != NULL) {
    pp_status status = pp_config_dump(pp_experiment_run(experiment, 0), full);
    ck_assert_int_eq(pp_error_code(status), PP_CODE_RUN);
    pp_error_free(status);
    fclose(full);
  }
  pp_experiment_destroy(experiment);
}
END_TEST

/* docs/experiment.md holds the generated reference, word for word. */
START_TEST(the_reference_in_the_docs_is_the_table_s) {
  char *text = NULL;
  size_t length = 0;
  FILE *stream = open_memstream(&text, &length);
  ck_assert_ptr_null(pp_config_document(stream));
  fclose(stream);
  FILE *file = fopen(DOCS "/experiment.md", "r");
  ck_assert_ptr_nonnull(file);
  static char docs[1 << 17];
  docs[fread(docs, 1, sizeof docs - 1, file)] = '\0';
  fclose(file);
  if (strstr(docs, text) == NULL) {
    file = fopen("experiment-reference.md", "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
    ck_abort_msg("docs/experiment.md does not hold the reference as experiment-reference.md, just written, has it");
  }
  free(text);
}
END_TEST

START_TEST(names_are_those_of_the_file) {
  ck_assert_str_eq(pp_method_name(PP_METHOD_FL), "fl");
  ck_assert_str_eq(pp_method_name(PP_METHOD_SL), "sl");
  ck_assert_str_eq(pp_method_name(PP_METHOD_SFL), "sfl");
  ck_assert_str_eq(pp_method_name(PP_METHOD_PIPAR), "pipar");
  ck_assert_str_eq(pp_method_name(PP_METHOD_1F1B), "1f1b");
  ck_assert_str_eq(pp_method_name(PP_METHOD_BW_SPLIT), "bw-split");
  ck_assert_str_eq(pp_policy_name(PP_POLICY_SPACE_SHARE), "space-share");
  ck_assert_str_eq(pp_cost_kind_name(PP_COST_TABLE), "table");
}
END_TEST

START_TEST(every_preset_loads_and_is_printed_with_its_sources) {
  char *text = NULL;
  size_t length = 0;
  FILE *stream = open_memstream(&text, &length);
  ck_assert_ptr_null(pp_presets_print(stream));
  fclose(stream);
  static const char *const devices[] = {
      "raspberry-pi-3b", "raspberry-pi-4b", "raspberry-pi-5", "jetson-nano", "laptop-cpu", "server-cpu", "v100"};
  static const char *const networks[] = {"code-10-25", "code-50-50",  "uk-3g",       "uk-4g",
                                         "uk-5g",      "tmobile-lte", "verizon-lte", "att-lte"};
  static const double rates[][2] = {{10, 25},      {50, 50},      {2, 5.9},     {7.6, 29.5},
                                    {14.7, 129.9}, {13.32, 16.7}, {5.95, 5.03}, {0.83, 5.17}};
  for (int device = 0; device < 7; device++)
    ck_assert_ptr_nonnull(strstr(text, devices[device]));
  for (int network = 0; network < 8; network++) {
    char set[64];
    ck_assert_ptr_nonnull(strstr(text, networks[network]));
    snprintf(set, sizeof set, "devices.0.network=%s", networks[network]);
    pp_experiment *experiment = must_load_with(LEAST, SET(set));
    const pp_network_config *config = &pp_experiment_run(experiment, 0)->groups[0].network;
    ck_assert_int_eq(config->up.steps[0].rate_bps, llround(rates[network][0] * 1e6));
    ck_assert_int_eq(config->down.steps[0].rate_bps, llround(rates[network][1] * 1e6));
    pp_experiment_destroy(experiment);
  }
  ck_assert_ptr_nonnull(strstr(text, "5.56 10^9 byte/s   measured   STREAM scale"));
  free(text);
}
END_TEST

START_TEST(presets_need_a_kind_and_a_source) {
  static const char *const bad[] = {
      "devices: {}\n",
      "devices: {}\nnetworks: {a: {is: b, up_mbps: 1}}\n",
      "devices: {}\nnetworks: {a: {is: b, up_mbps: {value: 1, kind: guess, source: c}}}\n",
      "devices: {}\nnetworks: {a: {is: b, up_mbps: {value: 1, kind: estimate}}}\n",
      "devices: {}\nnetworks: {a: {is: b, up_mbps: {value: 1, kind: estimate, source: c}}}\n",
      "devices: {a: 3}\nnetworks: {}\n",
      "devices: {a: {memory_gbs: {value: x, kind: estimate, source: c}}}\nnetworks: {}\n",
      "",
  };
  for (size_t at = 0; at < sizeof bad / sizeof *bad; at++) {
    pp_arena arena = {0};
    pp_presets presets;
    pp_status status = pp_presets_parse(&arena, bad[at], strlen(bad[at]), &presets);
    ck_assert_msg(status != NULL, "loads: %s", bad[at]);
    ck_assert_ptr_nonnull(strstr(pp_error_message(status), "presets.yaml:"));
    check_one_line(pp_error_message(status));
    pp_error_free(status);
    pp_arena_fini(&arena);
  }
}
END_TEST

START_TEST(decimals_are_exact_and_print_back) {
  static const struct {
    const char *text;
    int scale;
    int64_t value;
    const char *back;
  } cases[] = {
      {"0", 9, 0, "0"},
      {"-0.0", 9, 0, "0"},
      {"0.1", 9, 100000000, "0.1"},
      {"+1.5e-9", 9, 2, "0.000000002"},
      {"1.4999999999999999999999e-9", 9, 1, "0.000000001"},
      {"-2.5", 0, -3, "-3"},
      {".5", 6, 500000, "0.5"},
      {"5.", 6, 5000000, "5"},
      {"9223372036854775807", 0, INT64_MAX, "9223372036854775807"},
      {"9223372036.8547758074", 9, INT64_MAX, "9223372036.854775807"},
      {"0000000000000000000000000000001e0", 0, 1, "1"},
      {"1e-9999999999999999999999", 9, 0, "0"},
      {"0e9999999999999999999999", 9, 0, "0"},
      {"0.000000000000000000000000000001e30", 0, 1, "1"},
  };
  for (size_t at = 0; at < sizeof cases / sizeof *cases; at++) {
    int64_t value = -1;
    char back[PP_DECIMAL_TEXT];
    ck_assert(pp_text_is_number(cases[at].text));
    ck_assert_msg(pp_decimal_parse(cases[at].text, cases[at].scale, &value), "%s", cases[at].text);
    ck_assert_int_eq(value, cases[at].value);
    pp_decimal_print(value, cases[at].scale, back);
    ck_assert_str_eq(back, cases[at].back);
  }
  static const char *const too_large[] = {"9223372036854775807.5", "9223372036854775808", "1e19", "1e400",
                                          "99999999999999999999"};
  for (int at = 0; at < 5; at++) {
    int64_t value = 0;
    ck_assert_msg(!pp_decimal_parse(too_large[at], 0, &value), "%s", too_large[at]);
  }
  static const char *const no_numbers[] = {"",      "+",  ".",   "e5",  "1e",  "1e+",  "0x1",
                                           "1_000", "1 ", "inf", "nan", "--1", "1.2.3"};
  for (size_t at = 0; at < sizeof no_numbers / sizeof *no_numbers; at++)
    ck_assert_msg(!pp_text_is_number(no_numbers[at]), "%s", no_numbers[at]);
}
END_TEST

int main(void) {
  const TTest *const tests[] = {
      a_dump_loads_to_the_same_run,
      a_visit_gives_every_setting_under_its_dotted_key_in_order,
      a_visited_trace_is_text,
      a_visitor_s_error_ends_the_visit,
      a_dump_that_cannot_be_written_is_an_error,
      the_reference_in_the_docs_is_the_table_s,
      names_are_those_of_the_file,
      every_preset_loads_and_is_printed_with_its_sources,
      presets_need_a_kind_and_a_source,
      decimals_are_exact_and_print_back,
  };
  return RUN_TESTS("config output", tests);
}
