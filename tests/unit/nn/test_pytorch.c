/* Loss, every gradient and some steps of SGD against what PyTorch computed in double precision, as recorded in
 * tests/real/pytorch (make_fixture.py there has the format and the formula of the weights). */
#include <math.h>
#include <stdio.h>

#include "nn_support.h"

/* Floats round by 2^-24 = 6e-8 of their size, and what that comes to at the end of a network depends on the network:
 * batch norms over few samples and ReLUs that turn over enlarge it. The fixture says how far PyTorch's own float run is
 * off; ours sums in another order, so it may be off by a few times that. */
static const double times = 5.0, least = 1e-5;
/* What rounding leaves of sums that are exactly 0, of a bias that a batch norm takes out again: 1.1e-7 at most was seen
 * on three instruction sets, and three times that may be. */
static const double rounding = 3e-7;

static uint32_t hash(uint32_t tensor, uint32_t i) {
  uint32_t h = i * 2654435761U + tensor * 40503U + 12345U;
  h = (h ^ h >> 15) * 2246822519U;
  return h ^ h >> 13;
}

static float uniform(uint32_t tensor, int64_t i) { return (float)(hash(tensor, (uint32_t)i) * 0x1p-32 - 0.5); }

static void fill_weights(const fixture *f) {
  for (int t = 0; t < pp_model_tensor_count(f->model); t++) {
    const pp_tensor_info *tensor = pp_model_tensor(f->model, t);
    double fan_in = (double)(tensor->elements / tensor->shape[0]);
    for (int64_t i = 0; i < tensor->elements; i++) {
      double u = (double)uniform((uint32_t)t, i);
      float *value = (tensor->is_statistic ? f->state.stats : f->state.params) + tensor->offset + i;
      if (tensor->is_statistic)
        *value = strstr(tensor->name, "running_var") != NULL ? 1.0F : 0.0F;
      else if (tensor->rank > 1)
        *value = (float)(u * 2 * sqrt(3 / fan_in));
      else
        *value = (float)(strstr(tensor->name, "bn3.weight") != NULL ? (u + 0.2) * 0.2
                         : strstr(tensor->name, "weight") != NULL   ? u + 0.2
                                                                    : u * 0.2);
    }
  }
}

static void assert_near(const char *what, double ours, double theirs, double scale, double noise) {
  ck_assert_msg(fabs(ours - theirs) <= fmax(times * noise, least) * scale + rounding, "%s: %.9e, PyTorch has %.9e",
                what, ours, theirs);
}

static double norm_of(const float *x, int64_t count) {
  double sum = 0.0;
  for (int64_t i = 0; i < count; i++)
    sum += (double)x[i] * (double)x[i];
  return sqrt(sum);
}

static void read_tensor(FILE *file, const fixture *f, const pp_tensor_info *tensor, double noise) {
  char name[64];
  long elements = 0;
  double norm = 0.0;
  ck_assert_int_eq(fscanf(file, " tensor %63s %ld %lf", name, &elements, &norm), 3);
  ck_assert_str_eq(name, tensor->name);
  ck_assert_int_eq(elements, tensor->elements);
  const float *values = (tensor->is_statistic ? f->state.stats : f->state.grads) + tensor->offset;
  assert_near(name, norm_of(values, elements), norm, norm, noise);
  double scale = norm / sqrt((double)elements);
  for (int entry = 0; entry < (elements < 64 ? elements : 64); entry++) {
    long index = 0;
    double value = 0.0;
    ck_assert_int_eq(fscanf(file, "%ld %lf", &index, &value), 2);
    ck_assert(index >= 0 && index < elements);
    char what[128];
    snprintf(what, sizeof what, "%s[%ld]", name, index);
    assert_near(what, (double)values[index], value, 5 * scale + fabs(value), noise);
  }
}

/* One step's forward and backward; the mean loss. */
static double pass(const fixture *f, pp_net *net, int samples, int64_t *correct) {
  int classes = pp_model_classes(f->model);
  int64_t inputs = samples * output_elements(f, -1);
  float *x = floats(inputs), *logits = floats(samples * classes);
  int32_t *labels = malloc((size_t)samples * sizeof *labels);
  ck_assert_ptr_nonnull(labels);
  for (int64_t i = 0; i < inputs; i++)
    x[i] = 2 * uniform(1000, i);
  for (int n = 0; n < samples; n++)
    labels[n] = (int32_t)(hash(1001, (uint32_t)n) % (uint32_t)classes);
  pp_net_forward(net, &f->state, 0, samples, x, logits);
  double loss =
      pp_softmax_cross_entropy(samples, classes, logits, labels, 1.0F / (float)samples, logits, correct) / samples;
  pp_net_backward(net, &f->state, 0, logits, NULL);
  free(x);
  free(logits);
  free(labels);
  return loss;
}

static const struct {
  const char *network;
  pp_net_use use;
} cases[] = {{"vgg5", PP_NET_TRAIN},
             {"vgg5", PP_NET_REFERENCE},
             {"mobilenetv3-small", PP_NET_REFERENCE},
             {"vgg8", PP_NET_TRAIN},
             {"vgg11", PP_NET_TRAIN},
             {"vgg16", PP_NET_TRAIN},
             {"resnet18", PP_NET_TRAIN},
             {"resnet50", PP_NET_TRAIN},
             {"mobilenetv3-small", PP_NET_TRAIN},
             {"mobilenetv3-large", PP_NET_TRAIN}};

static void check(const char *network, pp_net_use use, const pp_kernels *kernels) {
  char path[1024], name[64];
  snprintf(path, sizeof path, "%s/%s.txt", PP_TEST_FIXTURES, network);
  FILE *file = fopen(path, "r");
  ck_assert_msg(file != NULL, "%s: cannot be opened", path);
  pp_shape input;
  int classes = 0, samples = 0;
  ck_assert_int_eq(fscanf(file, "network %63s %d %d %d %d %d", name, &input.channels, &input.height, &input.width,
                          &classes, &samples),
                   6);
  fixture f = {0};
  ck_assert_ptr_null(pp_model_create(name, input, classes, &f.model));
  for (int l = 0; l < f.model->layer_count; l++)
    f.model->layers[l].rate = 0.0F; /* no dropout */
  fixture_allocate(&f);
  fill_weights(&f);
  pp_net *net = net_with(&f, samples, 1, use, kernels);

  double loss = 0.0, noise = 0.0, later = 0.0;
  ck_assert_int_eq(fscanf(file, " noise %lf %lf", &noise, &later), 2);
  long hits = 0;
  int64_t correct = 0;
  ck_assert_int_eq(fscanf(file, " loss %lf correct %ld", &loss, &hits), 2);
  double first_loss = pass(&f, net, samples, &correct);
  assert_near("loss", first_loss, loss, loss, noise);
  ck_assert_int_eq(correct, hits);
  for (int t = 0; t < pp_model_tensor_count(f.model); t++)
    read_tensor(file, &f, pp_model_tensor(f.model, t), noise);

  int steps = 0;
  float rate = 0, momentum = 0, decay = 0;
  ck_assert_int_eq(fscanf(file, " steps %d %f %f %f", &steps, &rate, &momentum, &decay), 4);
  for (int step = 0; step < steps; step++) {
    double ours = step == 0 ? first_loss : pass(&f, net, samples, NULL);
    ck_assert_int_eq(fscanf(file, "%lf", &loss), 1);
    assert_near("loss of a step", ours, loss, loss, later);
    pp_sgd_step(&f.state, f.parameters, rate, momentum, decay);
  }
  for (int t = 0; t < pp_model_tensor_count(f.model); t++) {
    const pp_tensor_info *tensor = pp_model_tensor(f.model, t);
    double norm = 0.0;
    ck_assert_int_eq(fscanf(file, " after %63s %lf", name, &norm), 2);
    ck_assert_str_eq(name, tensor->name);
    const float *values = (tensor->is_statistic ? f.state.stats : f.state.params) + tensor->offset;
    assert_near(name, norm_of(values, tensor->elements), norm, norm, later);
  }
  fclose(file);
  pp_net_destroy(net);
  fixture_fini(&f);
}

START_TEST(loss_gradients_and_steps_are_pytorchs_on_every_instruction_set) {
  const pp_kernels *kernels[4];
  pp_kernels_all(kernels);
  for (int k = 0; kernels[k] != NULL && (k == 0 || cases[_i].use != PP_NET_REFERENCE); k++)
    check(cases[_i].network, cases[_i].use, kernels[k]);
}
END_TEST

int main(void) {
  pp_nn_set_threads(1);
  TCase *tests = tcase_create("pytorch");
  tcase_set_timeout(tests, 120);
  tcase_add_loop_test(tests, loss_gradients_and_steps_are_pytorchs_on_every_instruction_set, 0,
                      (int)(sizeof cases / sizeof cases[0]));
  return run_case("pytorch", tests);
}
