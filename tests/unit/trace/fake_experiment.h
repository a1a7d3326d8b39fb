/* An experiment made of plain settings, so that results files can be tested without reading experiment files. The
 * linker puts it in the place of some functions of pipar/config.h and pipar/nn.h (meson.build, fake_link_args). */
#ifndef PP_TEST_FAKE_EXPERIMENT_H
#define PP_TEST_FAKE_EXPERIMENT_H

#include "pipar/config.h"
#include "pipar/nn.h"

enum { FAKE_SETTINGS = 24, FAKE_TEXT = 96 };

typedef struct fake_run {
  pp_config config; /* first: a pointer to it is a pointer to the run */
  pp_device_group group;
  int setting_count;
  pp_setting settings[FAKE_SETTINGS];
  char keys[FAKE_SETTINGS][FAKE_TEXT];
  char *texts[FAKE_SETTINGS];
} fake_run;

/* Every run has one group of `devices` devices. */
pp_experiment *fake_experiment_create(const char *text, int run_count, int devices);
void fake_experiment_destroy(pp_experiment *experiment);
fake_run *fake_experiment_run(pp_experiment *experiment, int run);
/* Settings keep the order in which they are first set; setting one again replaces it. */
void fake_set_text(pp_experiment *experiment, int run, const char *key, const char *text);
void fake_set_integer(pp_experiment *experiment, int run, const char *key, int64_t value);
void fake_set_real(pp_experiment *experiment, int run, const char *key, double value);
void fake_set_bool(pp_experiment *experiment, int run, const char *key, bool value);

/* A network of two tensors: block0.conv.weight (2, 3) of the parameters, block0.bn.running_mean (2) of the statistics.
 */
const pp_model *fake_model(void);

#endif
