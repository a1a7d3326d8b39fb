/* Gradients against finite differences of an independent forward pass: channels first, in double, one function. */
#include <math.h>
#include <stdio.h>

#include "nn_support.h"

typedef struct image {
  int64_t samples, channels, height, width;
  double *v; /* (N, C, H, W) */
} image;

static image image_make(int64_t samples, int64_t channels, int64_t height, int64_t width) {
  image im = {samples, channels, height, width, calloc((size_t)(samples * channels * height * width), sizeof(double))};
  ck_assert_ptr_nonnull(im.v);
  return im;
}

static double *at(const image *im, int64_t n, int64_t c, int64_t y, int64_t x) {
  return &im->v[((n * im->channels + c) * im->height + y) * im->width + x];
}

static const double *tensor_of(const pp_model *model, const double *params, int block, const char *name) {
  char full[80];
  snprintf(full, sizeof full, "block%d.%s", block, name);
  for (int t = 0; t < pp_model_tensor_count(model); t++)
    if (strcmp(pp_model_tensor(model, t)->name, full) == 0)
      return params + pp_model_tensor(model, t)->offset;
  return NULL;
}

static image convolve(const image *x, int64_t outputs, const double *weight, const double *bias) {
  image y = image_make(x->samples, outputs, x->height, x->width);
  for (int64_t n = 0; n < x->samples; n++)
    for (int64_t o = 0; o < outputs; o++)
      for (int64_t row = 0; row < x->height; row++)
        for (int64_t column = 0; column < x->width; column++) {
          double sum = bias[o];
          for (int64_t c = 0; c < x->channels; c++)
            for (int64_t k = 0; k < 9; k++) {
              int64_t r = row + k / 3 - 1, s = column + k % 3 - 1;
              if (r >= 0 && r < x->height && s >= 0 && s < x->width)
                sum += *at(x, n, c, r, s) * weight[(o * x->channels + c) * 9 + k];
            }
          *at(&y, n, o, row, column) = sum;
        }
  return y;
}

static void normalise(image *x, const double *gamma, const double *beta) {
  double count = (double)(x->samples * x->height * x->width);
  for (int64_t c = 0; c < x->channels; c++) {
    double mean = 0, variance = 0;
    for (int64_t n = 0; n < x->samples; n++)
      for (int64_t p = 0; p < x->height * x->width; p++)
        mean += at(x, n, c, 0, 0)[p] / count;
    for (int64_t n = 0; n < x->samples; n++)
      for (int64_t p = 0; p < x->height * x->width; p++)
        variance += pow(at(x, n, c, 0, 0)[p] - mean, 2) / count;
    for (int64_t n = 0; n < x->samples; n++)
      for (int64_t p = 0; p < x->height * x->width; p++) {
        double *v = &at(x, n, c, 0, 0)[p];
        *v = (*v - mean) / sqrt(variance + 1e-5) * gamma[c] + beta[c];
      }
  }
}

static image pool(const image *x) {
  image y = image_make(x->samples, x->channels, x->height / 2, x->width / 2);
  for (int64_t n = 0; n < y.samples; n++)
    for (int64_t c = 0; c < y.channels; c++)
      for (int64_t r = 0; r < y.height; r++)
        for (int64_t s = 0; s < y.width; s++)
          *at(&y, n, c, r, s) = fmax(fmax(*at(x, n, c, 2 * r, 2 * s), *at(x, n, c, 2 * r, 2 * s + 1)),
                                     fmax(*at(x, n, c, 2 * r + 1, 2 * s), *at(x, n, c, 2 * r + 1, 2 * s + 1)));
  return y;
}

/* Sum over samples and outputs of y x dy, for the whole network. */
static double objective(const pp_model *model, const double *params, int samples, const double *input,
                        const double *dy) {
  pp_shape shape = pp_model_input(model);
  image x = image_make(samples, shape.channels, shape.height, shape.width);
  memcpy(x.v, input, (size_t)(samples * pp_shape_elements(shape)) * sizeof *input);
  for (int block = 0; block < pp_model_block_count(model); block++) {
    const pp_block_info *info = pp_model_block(model, block);
    const double *weight = tensor_of(model, params, block, "conv.weight");
    image y;
    bool relu = info->name[0] == 'C' || block < pp_model_block_count(model) - 1;
    if (weight != NULL) {
      y = convolve(&x, info->output.channels, weight, tensor_of(model, params, block, "conv.bias"));
      if (tensor_of(model, params, block, "bn.weight") != NULL)
        normalise(&y, tensor_of(model, params, block, "bn.weight"), tensor_of(model, params, block, "bn.bias"));
    } else {
      y = image_make(samples, info->output.channels, 1, 1);
      int64_t inputs = x.channels * x.height * x.width;
      weight = tensor_of(model, params, block, "linear.weight");
      for (int64_t n = 0; n < samples; n++)
        for (int64_t o = 0; o < y.channels; o++) {
          y.v[n * y.channels + o] = tensor_of(model, params, block, "linear.bias")[o];
          for (int64_t i = 0; i < inputs; i++)
            y.v[n * y.channels + o] += x.v[n * inputs + i] * weight[o * inputs + i];
        }
    }
    for (int64_t i = 0; relu && i < samples * y.channels * y.height * y.width; i++)
      y.v[i] = fmax(y.v[i], 0);
    free(x.v);
    x = y;
    if (strstr(info->name, "max2") != NULL) {
      x = pool(&y);
      free(y.v);
    }
  }
  double sum = 0;
  for (int64_t i = 0; i < samples * x.channels; i++)
    sum += x.v[i] * dy[i];
  free(x.v);
  return sum;
}

static double *doubles(const float *x, int64_t count) {
  double *d = malloc((size_t)count * sizeof *d);
  ck_assert_ptr_nonnull(d);
  for (int64_t i = 0; i < count; i++)
    d[i] = (double)x[i];
  return d;
}

/* Central differences with step h are off by h^2/6 times the third derivative: 1e-8 of the gradient, unless a ReLU or a
 * pool turns over within the step. That happens to few entries (a value within 1e-4 of its kink), and what it changes
 * shrinks with the step: an entry that disagrees is tried again at a smaller one. Gradients of float nets are then
 * compared within 1e-4 of the tensor's root mean square (see test_pytorch.c). */
static void assert_slope(const char *what, int64_t index, const pp_model *model, double *params, double *x,
                         double *entry, int samples, const double *dy, double gradient, double scale) {
  double step = 1e-4, slope = 0, tolerance = 1e-4 * (scale + fabs(gradient)) + 1e-6;
  for (int attempt = 0; attempt < 3; attempt++, step /= 30) {
    double middle = *entry;
    *entry = middle + step;
    double above = objective(model, params, samples, x, dy);
    *entry = middle - step;
    double below = objective(model, params, samples, x, dy);
    *entry = middle;
    slope = (above - below) / (2 * step);
    if (fabs(slope - gradient) <= tolerance)
      return;
  }
  ck_abort_msg("%s[%ld]: gradient %.6e, slope %.6e", what, (long)index, gradient, slope);
}

static double root_mean_square(const float *x, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; i++)
    sum += (double)x[i] * (double)x[i];
  return sqrt(sum / (double)count);
}

static const struct {
  const char *chain; /* of one layer, where possible, and of all together */
  pp_shape input;
  int samples;
} cases[] = {
    {"D", {5, 2, 3}, 3},           {"D6, D", {3, 2, 2}, 1},
    {"C4N, D", {2, 3, 4}, 2},      {"C4, D", {2, 4, 3}, 2},
    {"C3N max2, D", {1, 5, 4}, 2}, {"C4 max2, D", {2, 4, 6}, 3},
    {"C4 max2, D", {1, 4, 5}, 1},  {"C4, C3 max2, D5, D", {2, 4, 4}, 4},
};

static void check(int number, pp_net_use use) {
  fixture f;
  fixture_init(&f, cases[number].chain, cases[number].input, 3);
  int samples = cases[number].samples, blocks = pp_model_block_count(f.model);
  int64_t inputs = samples * output_elements(&f, -1), outputs = samples * output_elements(&f, blocks - 1);
  float *x = floats(inputs), *y = floats(outputs), *dy = floats(outputs), *dx = floats(inputs);
  fill_normal(x, inputs, 50, 1.0, 0.2);
  fill_normal(dy, outputs, 51, 1.0, 0.0);
  double *params = doubles(f.state.params, f.parameters), *x2 = doubles(x, inputs), *dy2 = doubles(dy, outputs);
  pp_net *net = net_of(&f, 0, blocks, samples, 1, use);
  pp_net_forward(net, &f.state, 0, samples, x, y);
  double sum = 0;
  for (int64_t i = 0; i < outputs; i++)
    sum += (double)y[i] * (double)dy[i];
  double expected = objective(f.model, params, samples, x2, dy2);
  ck_assert_msg(fabs(sum - expected) < 1e-4 * (1 + fabs(expected)), "forward: %g, not %g", sum, expected);
  pp_net_backward(net, &f.state, 0, dy, dx);
  double scale = root_mean_square(dx, inputs);
  for (int64_t i = 0; i < inputs; i++)
    assert_slope("dx", i, f.model, params, x2, &x2[i], samples, dy2, (double)dx[i], scale);
  for (int t = 0; t < pp_model_tensor_count(f.model); t++) {
    const pp_tensor_info *tensor = pp_model_tensor(f.model, t);
    if (tensor->is_statistic)
      continue;
    const float *gradient = f.state.grads + tensor->offset;
    scale = root_mean_square(gradient, tensor->elements);
    for (int64_t i = 0; i < tensor->elements; i++)
      assert_slope(tensor->name, i, f.model, params, x2, &params[tensor->offset + i], samples, dy2, (double)gradient[i],
                   scale);
  }
  pp_net_destroy(net);
  fixture_fini(&f);
  free(x), free(y), free(dy), free(dx), free(params), free(x2), free(dy2);
}

START_TEST(fast_gradients_are_slopes) { check(_i, PP_NET_TRAIN); }
END_TEST

START_TEST(plain_gradients_are_slopes) { check(_i, PP_NET_REFERENCE); }
END_TEST

int main(void) {
  int count = (int)(sizeof cases / sizeof cases[0]);
  pp_nn_set_threads(1);
  TCase *tests = tcase_create("gradient");
  tcase_set_timeout(tests, 60);
  tcase_add_loop_test(tests, fast_gradients_are_slopes, 0, count);
  tcase_add_loop_test(tests, plain_gradients_are_slopes, 0, count);
  return run_suite("gradient", tests);
}
