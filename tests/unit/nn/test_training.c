/* Loss, optimiser, averaging, micro-batches, and the memory of a net. */
#include <malloc.h>
#include <math.h>

#include "nn_support.h"

/* Two classes with logits a and b: loss log(1 + e^(b - a)), gradient +-1 / (1 + e^(a - b)). */
START_TEST(the_loss_is_its_closed_form) {
  float logits[] = {2.0F, -1.0F, 1000.0F, 1001.0F, 0.5F, 0.5F};
  int32_t labels[] = {0, 0, 1};
  float gradient[6];
  int64_t correct = -1;
  double loss = pp_softmax_cross_entropy(3, 2, logits, labels, 0.25F, gradient, &correct);
  double expected = log1p(exp(-3.0)) + log1p(exp(1.0)) + log(2.0);
  ck_assert(fabs(loss - expected) < 1e-12);
  ck_assert_int_eq(correct, 1); /* of equal logits the first counts */
  double slopes[] = {-1 / (1 + exp(3.0)), -1 / (1 + exp(-1.0)), 0.5};
  for (int n = 0; n < 3; n++) {
    ck_assert(fabs((double)gradient[2 * n] - 0.25 * slopes[n]) < 1e-7);
    ck_assert(fabs((double)gradient[2 * n + 1] + 0.25 * slopes[n]) < 1e-7);
  }
  ck_assert(pp_softmax_cross_entropy(3, 2, logits, labels, 0.25F, logits, NULL) == loss); /* in place */
  ck_assert_int_eq(memcmp(logits, gradient, sizeof gradient), 0);
  logits[1] = NAN;
  ck_assert(isnan(pp_softmax_cross_entropy(1, 2, logits, labels, 1.0F, NULL, NULL)));
}
END_TEST

START_TEST(the_losss_gradient_is_its_closed_form_for_many_classes) {
  enum { MANY = 1500 };
  static float logits[MANY], gradient[MANY];
  double sum = 0;
  for (int c = 0; c < MANY; c++) {
    logits[c] = 0.003F * (float)(c * 37 % 1000);
    sum += exp((double)logits[c]);
  }
  double loss = pp_softmax_cross_entropy(1, MANY, logits, (int32_t[]){1200}, 2.0F, gradient, NULL);
  ck_assert(fabs(loss - (log(sum) - (double)logits[1200])) < 1e-11);
  for (int c = 0; c < MANY; c++)
    ck_assert(fabs((double)gradient[c] - 2 * (exp((double)logits[c]) / sum - (c == 1200))) < 1e-7);
  pp_softmax_cross_entropy(1, MANY, logits, (int32_t[]){1200}, 2.0F, logits, NULL); /* in place */
  ck_assert_int_eq(memcmp(logits, gradient, sizeof gradient), 0);
}
END_TEST

/* By hand: w = 1, g = 2, decay 0.5, momentum 0.25, rate 0.125, m = 4: g = 2.5, m = 3.5, w = 0.5625. All exact. */
START_TEST(sgd_is_pytorchs_rule_and_clears_the_gradients) {
  float w[] = {1, 1}, g[] = {2, 0}, m[] = {4, 0};
  pp_sgd_step(&(pp_state){.params = w, .grads = g, .momentum = m}, 1, 0.125F, 0.25F, 0.5F);
  ck_assert(w[0] == 0.5625F && m[0] == 3.5F && g[0] == 0.0F);
  ck_assert(w[1] == 1.0F); /* beyond count */
}
END_TEST

/* Of every instruction set, whatever lines its ends lie in, past the caches and not: the bits of the formula. */
START_TEST(sgd_is_the_same_step_everywhere) {
  enum { ALL = 80 };
  const pp_sgd by = {0.1F, 0.9F, 0.01F};
  const pp_kernels *kernels[MAX_KERNELS];
  tested_kernels(kernels);
  for (int first = 0; first < 18; first++)
    for (int count = 0; first + count < ALL; count += 1 + count / 5) {
      float before[3][ALL + 3], after[3][ALL + 3]; /* rows begin anywhere in a line */
      for (int i = 0; i < 3; i++)
        fill_normal(before[i], ALL + 3, (uint32_t)(3 * (first * ALL + count) + i), 1.0, 0.0);
      memcpy(after, before, sizeof after);
      for (int i = first; i < first + count; i++) {
        float gradient = before[1][i] + 0.01F * before[0][i];
        after[2][i] = 0.9F * before[2][i] + gradient;
        after[0][i] = before[0][i] - 0.1F * after[2][i];
        after[1][i] = 0;
      }
      for (int set = 0; kernels[set] != NULL; set++)
        for (int past = 0; past < 2; past++) {
          float x[3][ALL + 3];
          memcpy(x, before, sizeof x);
          kernels[set]->sgd(&by, count, past == 1, x[0] + first, x[1] + first, x[2] + first);
          ck_assert_int_eq(memcmp(x, after, sizeof x), 0);
        }
    }
}
END_TEST

START_TEST(averaging_weighs_in_double) {
  double sum[2] = {0};
  float a[] = {1.0F, 1e8F}, b[] = {3.0F, 1.0F}, out[2];
  pp_average_add(sum, a, 0.25, 2);
  pp_average_add(sum, b, 0.75, 2);
  ck_assert(sum[1] == 25000000.75);
  pp_average_finish(out, sum, 2);
  ck_assert(out[0] == 2.5F && out[1] == 25000000.75F);
}
END_TEST

/* Loss gradients of samples [first, first + count) of one fixed mini-batch, added to f's. */
static void micro_batch(const fixture *f, pp_net *net, int batch, int first, int count) {
  int64_t inputs = output_elements(f, -1);
  int classes = pp_model_classes(f->model);
  float *x = floats(batch * inputs), *logits = floats(count * classes);
  int32_t labels[64];
  fill_normal(x, batch * inputs, 9, 1.0, 0.0);
  for (int n = 0; n < batch; n++)
    labels[n] = n * 7 % classes;
  pp_net_forward(net, &f->state, first % 3, count, x + first * inputs, logits);
  pp_softmax_cross_entropy(count, classes, logits, labels + first, 1.0F / (float)batch, logits, NULL);
  pp_net_backward(net, &f->state, first % 3, logits, NULL);
  free(x);
  free(logits);
}

/* Without batch norm samples do not meet, so N micro-batches and the mini-batch sum the same numbers in another order.
 * Each order is within n x u of the sum of magnitudes of the exact sum (Higham, Accuracy and Stability, eq. 4.4) for n
 * terms and u = 2^-24; and each sample's own terms, from sums of up to 1,600 products on the way, have bits that depend
 * on the shape of the matrix product as well. Sums of magnitudes are not at hand; a tensor's largest gradient stands
 * for them, with n = 24 samples x 64 pixels: 24 x 64 x 6e-8 = 1e-4. */
START_TEST(micro_batches_give_the_mini_batchs_gradient_without_batch_norm) {
  enum { BATCH = 24 };
  static const int counts[] = {1, 2, 3, 5, 24};
  fixture f;
  fixture_init(&f, "C8N max2, C12N, D16, D", (pp_shape){2, 8, 8}, 5);
  pp_net *net = net_of(&f, 0, 4, BATCH, 3, PP_NET_TRAIN);
  micro_batch(&f, net, BATCH, 0, BATCH);
  float *whole = floats(f.parameters);
  memcpy(whole, f.state.grads, (size_t)f.parameters * sizeof(float));
  for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
    memset(f.state.grads, 0, (size_t)f.parameters * sizeof(float));
    for (int j = 0, first = 0; j < counts[c]; j++) {
      int size = BATCH / counts[c] + (j < BATCH % counts[c]);
      micro_batch(&f, net, BATCH, first, size);
      first += size;
    }
    for (int t = 0; t < pp_model_tensor_count(f.model); t++) {
      const pp_tensor_info *tensor = pp_model_tensor(f.model, t);
      double largest = 0, worst = 0;
      for (int64_t i = tensor->offset; i < tensor->offset + tensor->elements; i++) {
        largest = fmax(largest, fabs((double)whole[i]));
        worst = fmax(worst, fabs((double)whole[i] - (double)f.state.grads[i]));
      }
      ck_assert_msg(worst <= 1e-4 * largest, "%d micro-batches, %s: off by %g of %g", counts[c], tensor->name, worst,
                    largest);
    }
  }
  free(whole);
  pp_net_destroy(net);
  fixture_fini(&f);
}
END_TEST

/* The same micro-batch twice: running = 0.9 x (0.9 x start + 0.1 x v) + 0.1 x v, so v follows from the first update. */
START_TEST(statistics_move_once_per_forward) {
  fixture f;
  fixture_init(&f, "C4, D", (pp_shape){2, 6, 6}, 3);
  pp_net *net = net_of(&f, 0, 2, 12, 3, PP_NET_TRAIN);
  for (int64_t i = 0; i < f.statistics; i++)
    f.state.stats[i] = 0.0F;
  micro_batch(&f, net, 12, 0, 4);
  float once[8];
  memcpy(once, f.state.stats, sizeof once);
  micro_batch(&f, net, 12, 0, 4);
  for (int i = 0; i < 8; i++) {
    ck_assert(once[i] != 0.0F);
    ck_assert(fabsf(f.state.stats[i] - 1.9F * once[i]) <= 1e-6F * fabsf(once[i]) + 1e-9F);
  }
  float before[8];
  memcpy(before, f.state.stats, sizeof before);
  pp_net *evaluation = net_of(&f, 0, 2, 12, 1, PP_NET_EVALUATE);
  float x[72] = {1.0F}, y[3];
  pp_net_forward(evaluation, &f.state, 0, 1, x, y);
  ck_assert_int_eq(memcmp(before, f.state.stats, sizeof before), 0);
  pp_net_destroy(evaluation);
  pp_net_destroy(net);
  fixture_fini(&f);
}
END_TEST

/* One weight per output makes evaluation a closed form: ((w x + b) - mean) / sqrt(variance + 1e-5) x gamma + beta. */
START_TEST(evaluation_uses_running_statistics) {
  fixture f;
  fixture_init(&f, "C1, D", (pp_shape){1, 1, 1}, 2);
  memset(f.state.params, 0, (size_t)f.parameters * sizeof(float));
  f.state.params[4] = 2.0F;                                  /* middle tap */
  f.state.params[9] = 0.5F;                                  /* bias */
  f.state.params[10] = 3.0F, f.state.params[11] = 0.25F;     /* gamma, beta */
  f.state.params[12] = 1.0F;                                 /* first output of D */
  f.state.stats[0] = -1.0F, f.state.stats[1] = 4.0F - 1e-5F; /* deviation 2 */
  float x[] = {1.5F, -9.0F, NAN}, y[6];
  pp_net *net = net_of(&f, 0, 2, 3, 1, PP_NET_EVALUATE);
  pp_net_forward(net, &f.state, 0, 3, x, y);
  ck_assert(fabsf(y[0] - 7.0F) < 1e-5F);
  ck_assert(y[2] == 0.0F); /* ReLU */
  ck_assert(isnan(y[4]));
  pp_net_destroy(net);
  fixture_fini(&f);
}
END_TEST

/* What dropout lets pass of ones: 0 or 1 / (1 - 0.5), as its place in the experiment has it. */
static void drop_ones(pp_sample_place place, int samples, pp_net_use use, float *y) {
  fixture f;
  fixture_init(&f, "D64 drop, D", (pp_shape){1, 1, 1}, 2);
  memset(f.state.params, 0, (size_t)f.parameters * sizeof(float));
  for (int i = 0; i < 64; i++)
    f.state.params[64 + i] = 1.0F; /* the bias */
  pp_net *net = net_of(&f, 0, 1, samples, 1, use);
  float *x = floats(samples);
  pp_net_place(net, place);
  pp_net_forward(net, &f.state, 0, samples, x, y);
  pp_net_destroy(net);
  free(x);
  fixture_fini(&f);
}

START_TEST(dropout_masks_follow_a_samples_place_and_not_how_the_batch_is_cut) {
  float whole[100 * 64], part[40 * 64], other[100 * 64], evaluated[100 * 64];
  pp_sample_place place = {.seed = 9, .device = 2, .iteration = 5};
  drop_ones(place, 100, PP_NET_TRAIN, whole);
  int passed = 0;
  for (int i = 0; i < 6400; i++) {
    ck_assert(whole[i] == 0.0F || whole[i] == 2.0F);
    passed += whole[i] != 0.0F;
  }
  ck_assert_int_le(abs(passed - 3200), 5 * 40); /* standard deviation sqrt(6400) / 2 */
  drop_ones((pp_sample_place){9, 2, 5, 60}, 40, PP_NET_TRAIN, part);
  ck_assert_int_eq(memcmp(part, whole + 60 * 64, sizeof part), 0);
  drop_ones(place, 100, PP_NET_REFERENCE, other);
  ck_assert_int_eq(memcmp(other, whole, sizeof whole), 0);
  pp_sample_place others[] = {{8, 2, 5, 0}, {9, 1, 5, 0}, {9, 2, 6, 0}};
  for (int o = 0; o < 3; o++) {
    drop_ones(others[o], 100, PP_NET_TRAIN, other);
    ck_assert_int_ne(memcmp(other, whole, sizeof whole), 0);
  }
  drop_ones(place, 100, PP_NET_EVALUATE, evaluated);
  for (int i = 0; i < 6400; i++)
    ck_assert(evaluated[i] == 1.0F);
}
END_TEST

START_TEST(nan_survives_pooling_and_relu_wherever_it_stands) {
  static const char *const chains[] = {"C3N max2, D", "C3N, D", "D4, D"};
  for (size_t c = 0; c < 3; c++)
    for (int use = PP_NET_TRAIN; use <= PP_NET_REFERENCE; use++)
      for (int place = 0; place < 16; place++) {
        fixture f;
        fixture_init(&f, chains[c], (pp_shape){1, 4, 4}, 2);
        float x[16] = {0}, y[2];
        x[place] = NAN;
        pp_net *net = net_of(&f, 0, 2, 1, 1, (pp_net_use)use);
        pp_net_forward(net, &f.state, 0, 1, x, y);
        ck_assert_msg(isnan(y[0]) && isnan(y[1]), "%s: NaN at %d is lost", chains[c], place);
        pp_net_destroy(net);
        fixture_fini(&f);
      }
}
END_TEST

/* Bytes in use by malloc, as glibc counts them. */
static size_t in_use(void) {
  struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

START_TEST(a_net_allocates_what_it_says_and_nothing_later) {
  float *counted = floats(1);
  bool counts = in_use() > 0; /* a sanitizer's malloc does not */
  free(counted);
  if (!counts)
    return;
  static const pp_net_use uses[] = {PP_NET_TRAIN, PP_NET_EVALUATE, PP_NET_REFERENCE};
  fixture f = {0};
  ck_assert_ptr_null(pp_model_create("vgg5", (pp_shape){1, 28, 28}, 10, &f.model));
  fixture_allocate(&f);
  fixture_fill(&f);
  float *x = floats(4 * 784), *y = floats(4 * 3136), *dy = floats(4 * 3136);
  for (int u = 0; u < 3; u++)
    for (int first = 0; first < 3; first += 2)
      for (int in_flight = 1; in_flight < 4; in_flight += 2) {
        size_t before = in_use();
        pp_net *net = net_of(&f, first, 3, 4, in_flight, uses[u]);
        double taken = (double)(in_use() - before);
        double said = (double)pp_net_memory(f.model, first, 3, 4, in_flight, uses[u], 1);
        ck_assert_msg(fabs(taken - said) < 8192, "%g bytes taken, %g said", taken, said);
        size_t between = 0;
        pp_state state = state_from(&f, first);
        float *input = first == 0 ? x : dy;
        for (int round = 0; round < 2; round++) { /* OpenBLAS takes its own in the first */
          between = round == 0 ? between : in_use();
          pp_net_forward(net, &state, 0, 4, input, y);
          if (uses[u] != PP_NET_EVALUATE)
            pp_net_backward(net, &state, 0, y, NULL);
        }
        ck_assert_uint_eq(in_use(), between);
        pp_net_destroy(net);
      }
  free(x);
  free(y);
  free(dy);
  fixture_fini(&f);
}
END_TEST

/* AddressSanitizer aborts on a huge allocation unless told that it may fail. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1"; }

START_TEST(a_net_that_does_not_fit_is_an_error) {
  pp_model *model = NULL;
  pp_net *net = NULL;
  ck_assert_ptr_null(pp_model_create("vgg5", (pp_shape){3, 4096, 4096}, 10, &model));
  pp_status status = pp_net_create(model, 0, 5, 1000000, 1000, PP_NET_TRAIN, &net);
  ck_assert_int_eq(pp_error_code(status), PP_CODE_RUN);
  ck_assert_msg(strstr(pp_error_message(status), "not enough memory") != NULL, "%s", pp_error_message(status));
  ck_assert_ptr_null(net);
  pp_error_free(status);
  pp_model_destroy(model);
}
END_TEST

START_TEST(the_library_says_what_it_is) { ck_assert(strstr(pp_nn_library(), "OpenBLAS") != NULL); }
END_TEST

int main(void) {
  pp_nn_set_threads(1);
  TCase *tests = tcase_create("training");
  tcase_set_timeout(tests, 60);
  tcase_add_test(tests, the_loss_is_its_closed_form);
  tcase_add_test(tests, the_losss_gradient_is_its_closed_form_for_many_classes);
  tcase_add_test(tests, sgd_is_pytorchs_rule_and_clears_the_gradients);
  tcase_add_test(tests, sgd_is_the_same_step_everywhere);
  tcase_add_test(tests, averaging_weighs_in_double);
  tcase_add_test(tests, micro_batches_give_the_mini_batchs_gradient_without_batch_norm);
  tcase_add_test(tests, statistics_move_once_per_forward);
  tcase_add_test(tests, evaluation_uses_running_statistics);
  tcase_add_test(tests, dropout_masks_follow_a_samples_place_and_not_how_the_batch_is_cut);
  tcase_add_test(tests, nan_survives_pooling_and_relu_wherever_it_stands);
  tcase_add_test(tests, a_net_allocates_what_it_says_and_nothing_later);
  tcase_add_test(tests, a_net_that_does_not_fit_is_an_error);
  tcase_add_test(tests, the_library_says_what_it_is);
  return run_case("training", tests);
}
