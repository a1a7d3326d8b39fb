#include "trace/identity.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "trace/h5.h"

const char *const pp_identity_names[PP_IDENTITY_PARTS] = {"pipar_version", "git_revision", "blas", "kernels",
                                                          "experiment_digest"};

static const char *const idle_settings[] = {"name", "dataset.path", "checkpoint.every_rounds", "training.threads"};

bool pp_setting_matters(const char *name) {
  for (size_t idle = 0; idle < sizeof idle_settings / sizeof idle_settings[0]; idle++)
    if (strcmp(name, idle_settings[idle]) == 0)
      return false;
  return true;
}

static void mix(uint64_t *digest, const void *data, size_t bytes) { *digest = pp_digest_add(*digest, data, bytes); }

static void mix_text(uint64_t *digest, const char *text) { mix(digest, text, strlen(text) + 1); }

/* What the file of the initial weights holds. */
static pp_status mix_init(const pp_config *config, uint64_t *digest) {
  char block[16384], *path = NULL;
  const char *group = NULL;
  PP_TRY(pp_init_find(config->directory, config->init, &path, &group));
  FILE *file = fopen(path, "rb");
  size_t read = 0;
  while (file != NULL && (read = fread(block, 1, sizeof block, file)) > 0)
    mix(digest, block, read);
  pp_status status = NULL;
  if (file == NULL || ferror(file))
    status = pp_fail(PP_CODE_INPUT, "%s cannot be read: %s", path, strerror(errno));
  if (file != NULL)
    fclose(file);
  free(path);
  return status;
}

static pp_status mix_setting(const pp_setting *setting, void *context) {
  uint64_t *digest = context;
  if (!pp_setting_matters(setting->key))
    return NULL;
  mix_text(digest, setting->key);
  if (setting->type == PP_SETTING_TEXT)
    mix_text(digest, setting->text);
  else if (setting->type == PP_SETTING_REAL)
    mix(digest, &setting->real, sizeof setting->real);
  else
    mix(digest, &setting->integer, sizeof setting->integer);
  return NULL;
}

/* The experiment's own text is left out: what it says is in the settings, and comments may change. */
pp_status pp_identity_digest(const pp_experiment *experiment, pp_identity *out) {
  uint64_t digest = PP_DIGEST_START;
  const char *init = "random"; /* of the run before: a file is read once */
  for (int run = 0; run < pp_experiment_run_count(experiment); run++) {
    const pp_config *config = pp_experiment_run(experiment, run);
    PP_TRY(pp_config_visit(config, mix_setting, &digest));
    if (config->compute == PP_COMPUTE_REAL && strcmp(config->init, init) != 0 && strcmp(config->init, "random") != 0)
      PP_TRY(mix_init(config, &digest));
    init = config->init;
  }
  for (int input = 1; input < pp_experiment_input_count(experiment); input++) {
    pp_input_file file = pp_experiment_input(experiment, input);
    mix(&digest, &file.length, sizeof file.length);
    mix(&digest, file.text, (size_t)file.length);
  }
  snprintf(out->part[PP_IDENTITY_EXPERIMENT], PP_IDENTITY_ROOM, "%016" PRIx64, digest);
  return NULL;
}

pp_status pp_identity_compare(const char *path, const pp_identity *found, const pp_identity *wanted) {
  for (int part = 0; part < PP_IDENTITY_PARTS; part++) {
    if (wanted->part[part][0] == '\0' || strcmp(found->part[part], wanted->part[part]) == 0)
      continue;
    if (part == PP_IDENTITY_EXPERIMENT)
      return pp_fail(PP_CODE_INPUT,
                     "%s is of another experiment: --resume wants the settings and the files that it was begun with",
                     path);
    return pp_fail(PP_CODE_INPUT, "%s was made with %s '%s', not '%s': bits may differ, and --resume does not go on",
                   path, pp_identity_names[part], found->part[part], wanted->part[part]);
  }
  return NULL;
}

pp_status pp_identity_read(hid_t file, const char *path, pp_identity *out) {
  PP_H5_AUTO root = H5I_INVALID_HID;
  PP_TRY_H5(PP_CODE_INPUT, "read", path, root = H5Gopen2(file, "/", H5P_DEFAULT));
  for (int part = 0; part < PP_IDENTITY_PARTS; part++) {
    htri_t there = 0;
    char *text = NULL;
    out->part[part][0] = '\0';
    PP_TRY_H5(PP_CODE_INPUT, "read", path, there = H5Aexists(root, pp_identity_names[part]));
    if (there == 0)
      continue;
    PP_TRY(pp_h5_attribute_get_text(root, path, pp_identity_names[part], &text));
    snprintf(out->part[part], PP_IDENTITY_ROOM, "%s", text);
    free(text);
  }
  return NULL;
}
