/* Layers of random shape, stride, padding, groups and batch size: the fast ones against the plain ones, on every
 * instruction set and shape of kernels, and on three threads. */
#include <math.h>
#include <stdio.h>

#include "nn_support.h"

enum {
  CONVOLUTIONS = 60,
  TRANSFORMED = 40, /* more, of shapes that winograd.h takes where images are not small */
  OTHERS = 60,      /* layers that are no convolutions */
};

typedef struct dice {
  pp_rng rng;
  uint64_t thrown;
} dice;

/* From low to high, both included. */
static int throw(dice * d, int low, int high) {
  return low + (int)(pp_rng_word(d->rng, 0, d->thrown++) % (uint32_t)(high - low + 1));
}

static int divisor(dice *d, int a, int b) {
  int chosen = 1, seen = 0;
  for (int groups = 1; groups <= a && groups <= b; groups++)
    if (a % groups == 0 && b % groups == 0 && throw(d, 0, seen++) == 0)
      chosen = groups;
  return chosen;
}

/* Batch norms over few values enlarge rounding without bound: they get at least 24. */
static void add_conv(pp_builder *b, dice *d, int samples, bool transformed) {
  pp_builder_block(b, "C");
  if (b->status != NULL)
    return;
  pp_shape in = pp_builder_shape(b, PP_FROM_BLOCK);
  pp_conv_spec spec = {.kernel = throw(d, 1, 7),
                       .stride = throw(d, 1, 3),
                       .padding = throw(d, 0, 3),
                       .biased = throw(d, 0, 1) == 1,
                       .plain = throw(d, 0, 2) == 0,
                       .act = (pp_activation) throw(d, PP_ACT_NONE, PP_ACT_HARD_SIGMOID),
                       .name = "conv",
                       .norm_name = "bn"};
  int least = in.height < in.width ? in.height : in.width;
  if (transformed)
    spec.kernel = 3, spec.stride = spec.padding = 1;
  if (spec.kernel > least + 2 * spec.padding)
    spec.kernel = least;
  spec.depthwise = throw(d, 0, 3) == 0 && !transformed;
  spec.channels = spec.depthwise ? in.channels : transformed ? 16 * throw(d, 1, 3) : throw(d, 1, 40);
  if (!spec.depthwise && !transformed)
    spec.groups = divisor(d, in.channels, spec.channels);
  int height = (in.height + 2 * spec.padding - spec.kernel) / spec.stride + 1;
  int width = (in.width + 2 * spec.padding - spec.kernel) / spec.stride + 1;
  spec.pool = spec.act == PP_ACT_RELU && height > 1 && width > 1 && throw(d, 0, 1) == 1;
  spec.plain = spec.plain || samples * height * width < 24;
  pp_builder_conv(b, PP_FROM_BLOCK, &spec);
}

/* Chains of these start at the input, so that values which a maximum or a kink parts are the same on both sides. */
static int add_other(pp_builder *b, dice *d, int from, const char *name) {
  pp_shape in = pp_builder_shape(b, from);
  int least = in.height < in.width ? in.height : in.width;
  int kernel = throw(d, 1, least < 5 ? least : 5), stride = throw(d, 1, 3);
  switch (throw(d, 0, 5)) {
  case 0:
    return pp_builder_maxpool(b, from, kernel, stride, throw(d, 0, kernel / 2));
  case 1:
    return pp_builder_average_pool(b, from, kernel, stride);
  case 2:
    return pp_builder_activation(b, from, (pp_activation) throw(d, PP_ACT_RELU, PP_ACT_HARD_SIGMOID));
  case 3:
    return pp_builder_squeeze_excite(b, from, throw(d, 0, 20), name, name + 4);
  case 4:
    return pp_builder_dropout(b, from, 0.1 * throw(d, 0, 9));
  default:
    return pp_builder_add(b, pp_builder_activation(b, from, PP_ACT_HARD_SWISH), from,
                          throw(d, 0, 1) == 0 ? PP_ACT_NONE : PP_ACT_RELU);
  }
}

static void add_others(pp_builder *b, dice *d) {
  static const char *const names[] = {"fc1\0fc2", "fc3\0fc4", "fc5\0fc6"};
  pp_builder_block(b, "others");
  int end = add_other(b, d, PP_FROM_BLOCK, names[0]);
  for (int layer = 1; layer < 3; layer++)
    end = add_other(b, d, end, names[layer]);
  if (throw(d, 0, 1) == 0)
    end = pp_builder_average(b, end);
  pp_activation act = (pp_activation) throw(d, PP_ACT_NONE, PP_ACT_HARD_SIGMOID);
  pp_builder_block(b, "D");
  pp_builder_linear(b, PP_FROM_BLOCK, throw(d, 1, 70), act, "linear");
}

static void fixture_random(fixture *f, int seed, int *samples) {
  dice d = {.rng = pp_rng_stream(2024, PP_RNG_SYNTHETIC, (uint32_t)seed, 0, 0)};
  pp_builder builder;
  memset(f, 0, sizeof *f);
  *samples = throw(&d, 1, 9);
  pp_shape input = {throw(&d, 1, seed < CONVOLUTIONS + TRANSFORMED ? 12 : 90), throw(&d, 3, 24), throw(&d, 3, 24)};
  ck_assert_ptr_null(pp_builder_begin(&builder, "random", input, 5));
  for (int conv = 0; conv < 2 && seed < CONVOLUTIONS + TRANSFORMED; conv++)
    add_conv(&builder, &d, *samples, seed >= CONVOLUTIONS);
  if (seed >= CONVOLUTIONS + TRANSFORMED)
    add_others(&builder, &d);
  pp_builder_block(&builder, "D");
  pp_builder_linear(&builder, PP_FROM_BLOCK, 5, PP_ACT_NONE, "linear");
  ck_assert_ptr_null(pp_builder_end(&builder, &f->model));
  fixture_allocate(f);
}

/* Sums of up to 40 x 49 products in float, 6e-8 each, through two layers and batch norms: 1e-4 of the norm. */
static void assert_close(const char *what, const char *set, int seed, const float *a, const float *b, int64_t count) {
  double difference = 0.0, norm = 0.0;
  for (int64_t i = 0; i < count; i++) {
    difference += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    norm += (double)b[i] * (double)b[i];
  }
  ck_assert_msg(sqrt(difference) <= 1e-4 * sqrt(norm) + 1e-4, "case %d, %s: %s: off by %g of %g", seed, set, what,
                sqrt(difference), sqrt(norm));
}

typedef struct outcome {
  float *y, *dx, *grads, *stats;
} outcome;

static outcome run(fixture *f, int samples, int room, pp_net_use use, const pp_kernels *kernels, int threads) {
  int64_t in = samples * output_elements(f, -1), out = (int64_t)samples * 5;
  outcome o = {floats(out), floats(in), floats(f->parameters), floats(f->statistics)};
  float *x = floats(in), *dy = floats(out);
  fill_normal(x, in, 100, 1.0, 0.3);
  fill_normal(dy, out, 101, 1.0, 0.0);
  memset(f->state.grads, 0, (size_t)f->parameters * sizeof(float));
  fixture_fill(f);
  pp_net *net = net_with(f, room, 1, use, kernels);
  pp_pool *pool = NULL;
  if (threads > 1) {
    ck_assert_ptr_null(pp_pool_create(threads, &pool));
    ck_assert_ptr_null(pp_net_share(net, pool));
  }
  pp_net_place(net, (pp_sample_place){.seed = 3});
  pp_net_forward(net, &f->state, 0, samples, x, o.y);
  pp_net_backward(net, &f->state, 0, dy, o.dx);
  memcpy(o.grads, f->state.grads, (size_t)f->parameters * sizeof(float));
  memcpy(o.stats, f->state.stats, (size_t)f->statistics * sizeof(float));
  pp_net_destroy(net);
  if (pool != NULL)
    pp_pool_destroy(pool);
  free(x), free(dy);
  return o;
}

static void outcome_fini(outcome *o) { free(o->y), free(o->dx), free(o->grads), free(o->stats); }

START_TEST(random_layers_agree_with_the_plain_ones) {
  fixture f;
  int samples = 0;
  fixture_random(&f, _i, &samples);
  outcome plain = run(&f, samples, samples, PP_NET_REFERENCE, pp_kernels_best(), 1);
  const pp_kernels *kernels[MAX_KERNELS];
  tested_kernels(kernels);
  for (int k = 0; kernels[k] != NULL; k++) {
    const char *set = kernels[k]->name;
    outcome fast = run(&f, samples, samples + k, PP_NET_TRAIN, kernels[k], 1);
    assert_close("y", set, _i, fast.y, plain.y, (int64_t)samples * 5);
    assert_close("dx", set, _i, fast.dx, plain.dx, samples * output_elements(&f, -1));
    assert_close("gradients", set, _i, fast.grads, plain.grads, f.parameters);
    assert_close("statistics", set, _i, fast.stats, plain.stats, f.statistics);
    outcome_fini(&fast);
  }
  outcome_fini(&plain);
  fixture_fini(&f);
}
END_TEST

static void assert_same(const char *what, const char *set, int seed, const float *a, const float *b, int64_t count) {
  ck_assert_msg(memcmp(a, b, (size_t)count * sizeof *a) == 0, "case %d, %s: %s differs", seed, set, what);
}

START_TEST(three_threads_give_the_bits_of_one) {
  fixture f;
  int samples = 0;
  fixture_random(&f, _i, &samples);
  const pp_kernels *kernels[MAX_KERNELS];
  tested_kernels(kernels);
  for (int k = 0; kernels[k] != NULL; k++) {
    const char *set = kernels[k]->name;
    outcome alone = run(&f, samples, samples, PP_NET_TRAIN, kernels[k], 1);
    outcome shared = run(&f, samples, samples, PP_NET_TRAIN, kernels[k], 3);
    assert_same("y", set, _i, alone.y, shared.y, (int64_t)samples * 5);
    assert_same("dx", set, _i, alone.dx, shared.dx, samples * output_elements(&f, -1));
    assert_same("gradients", set, _i, alone.grads, shared.grads, f.parameters);
    assert_same("statistics", set, _i, alone.stats, shared.stats, f.statistics);
    outcome_fini(&alone);
    outcome_fini(&shared);
  }
  fixture_fini(&f);
}
END_TEST

int main(void) {
  pp_nn_set_threads(1);
  TCase *tests = tcase_create("random");
  tcase_set_timeout(tests, 120);
  tcase_add_loop_test(tests, random_layers_agree_with_the_plain_ones, 0, CONVOLUTIONS + TRANSFORMED + OTHERS);
  tcase_add_loop_test(tests, three_threads_give_the_bits_of_one, 0, CONVOLUTIONS + TRANSFORMED + OTHERS);
  return run_case("random", tests);
}
