#include "fake_experiment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *__wrap_pp_experiment_text(const pp_experiment *experiment);
int __wrap_pp_experiment_run_count(const pp_experiment *experiment);
const pp_config *__wrap_pp_experiment_run(const pp_experiment *experiment, int run);
pp_status __wrap_pp_config_visit(const pp_config *config, pp_setting_visitor visitor, void *context);
int __wrap_pp_config_device_count(const pp_config *config);
int __wrap_pp_model_tensor_count(const pp_model *model);
const pp_tensor_info *__wrap_pp_model_tensor(const pp_model *model, int tensor);

int __wrap_pp_experiment_input_count(const pp_experiment *experiment);
pp_input_file __wrap_pp_experiment_input(const pp_experiment *experiment, int input);
int __wrap_pp_experiment_override_count(const pp_experiment *experiment);
pp_override __wrap_pp_experiment_override(const pp_experiment *experiment, int override);

/* The experiment, and an empty file. */
int __wrap_pp_experiment_input_count(const pp_experiment *experiment) {
  (void)experiment;
  return 2;
}
pp_input_file __wrap_pp_experiment_input(const pp_experiment *experiment, int input) {
  const char *text = input == 0 ? __wrap_pp_experiment_text(experiment) : "";
  return (pp_input_file){input == 0 ? "exp.yaml" : "empty.up", text, (int64_t)strlen(text)};
}
int __wrap_pp_experiment_override_count(const pp_experiment *experiment) {
  (void)experiment;
  return 1;
}
pp_override __wrap_pp_experiment_override(const pp_experiment *experiment, int override) {
  (void)experiment;
  (void) override;
  return "seed=3";
}

struct pp_experiment {
  char *text;
  int run_count;
  fake_run *runs;
};

struct pp_model {
  int tensor_count;
  pp_tensor_info tensors[2];
};

static const pp_model two_tensors = {
    2, {{"block0.conv.weight", 2, {2, 3, 0, 0}, false, 0, 6}, {"block0.bn.running_mean", 1, {2, 0, 0, 0}, true, 0, 2}}};

const pp_model *fake_model(void) { return &two_tensors; }
int __wrap_pp_model_tensor_count(const pp_model *model) { return model->tensor_count; }
const pp_tensor_info *__wrap_pp_model_tensor(const pp_model *model, int tensor) { return &model->tensors[tensor]; }

pp_experiment *fake_experiment_create(const char *text, int run_count, int devices) {
  pp_experiment *experiment = calloc(1, sizeof *experiment);
  experiment->text = strdup(text);
  experiment->run_count = run_count;
  experiment->runs = calloc((size_t)run_count, sizeof *experiment->runs);
  for (int run = 0; run < run_count; run++) {
    fake_run *of = &experiment->runs[run];
    of->group.count = devices;
    of->group.samples = -1;
    of->config.group_count = 1;
    of->config.groups = &of->group;
    of->config.server.slots = 1;
    of->config.training.batch_size = 100;
    of->config.dataset.train_samples = 1000;
    of->config.record_stages = true;
    fake_set_text(experiment, run, "name", "sample");
    fake_set_integer(experiment, run, "seed", 1994);
    fake_set_text(experiment, run, "method", "pipar");
    fake_set_text(experiment, run, "model", "vgg5");
  }
  return experiment;
}

void fake_experiment_destroy(pp_experiment *experiment) {
  for (int run = 0; run < experiment->run_count; run++)
    for (int setting = 0; setting < FAKE_SETTINGS; setting++)
      free(experiment->runs[run].texts[setting]);
  free(experiment->runs);
  free(experiment->text);
  free(experiment);
}

fake_run *fake_experiment_run(pp_experiment *experiment, int run) { return &experiment->runs[run]; }

static pp_setting *find_setting(pp_experiment *experiment, int run, const char *key, pp_setting_type type) {
  fake_run *of = &experiment->runs[run];
  int index = 0;
  while (index < of->setting_count && strcmp(of->keys[index], key) != 0)
    index++;
  if (index == FAKE_SETTINGS)
    abort();
  if (index == of->setting_count) {
    of->setting_count++;
    snprintf(of->keys[index], FAKE_TEXT, "%s", key);
  }
  of->settings[index].key = of->keys[index];
  of->settings[index].type = type;
  return &of->settings[index];
}

void fake_set_text(pp_experiment *experiment, int run, const char *key, const char *text) {
  pp_setting *setting = find_setting(experiment, run, key, PP_SETTING_TEXT);
  char **copy = &experiment->runs[run].texts[setting - experiment->runs[run].settings];
  free(*copy);
  *copy = strdup(text);
  setting->text = *copy;
}

void fake_set_integer(pp_experiment *experiment, int run, const char *key, int64_t value) {
  find_setting(experiment, run, key, PP_SETTING_INT)->integer = value;
}

void fake_set_real(pp_experiment *experiment, int run, const char *key, double value) {
  find_setting(experiment, run, key, PP_SETTING_REAL)->real = value;
}

void fake_set_bool(pp_experiment *experiment, int run, const char *key, bool value) {
  find_setting(experiment, run, key, PP_SETTING_BOOL)->integer = value;
}

/* The linker lets calls of the functions without the prefix end here (--wrap). */
const char *__wrap_pp_experiment_text(const pp_experiment *experiment) { return experiment->text; }
int __wrap_pp_experiment_run_count(const pp_experiment *experiment) { return experiment->run_count; }
const pp_config *__wrap_pp_experiment_run(const pp_experiment *experiment, int run) {
  return &experiment->runs[run].config;
}
int __wrap_pp_config_device_count(const pp_config *config) { return config->groups[0].count; }

pp_status __wrap_pp_config_visit(const pp_config *config, pp_setting_visitor visitor, void *context) {
  const fake_run *run = (const fake_run *)config;
  for (int setting = 0; setting < run->setting_count; setting++)
    PP_TRY(visitor(&run->settings[setting], context));
  return NULL;
}
