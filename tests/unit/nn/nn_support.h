/* What the tests of src/nn share: a model with its buffers, filled with reproducible numbers. */
#ifndef PP_TESTS_NN_SUPPORT_H
#define PP_TESTS_NN_SUPPORT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "nn/model.h"
#include "nn/net.h"
#include "suite.h"

enum { MAX_KERNELS = 6 /* and NULL */ };
#ifdef PP_KERNEL_SHAPES
extern const pp_kernels pp_kernels_avx512_shape, pp_kernels_arm64_shape;
#endif

/* All kernels that this processor runs, the best first, and then the shapes of others' without their instructions. */
static inline void tested_kernels(const pp_kernels *out[MAX_KERNELS]) {
  pp_kernels_all(out);
#ifdef PP_KERNEL_SHAPES
  int count = 0;
  while (out[count] != NULL)
    count++;
  out[count++] = &pp_kernels_avx512_shape;
  out[count++] = &pp_kernels_arm64_shape;
  out[count] = NULL;
#endif
}

typedef struct fixture {
  pp_model *model;
  int64_t parameters, statistics;
  pp_state state;
} fixture;

static inline float *floats(int64_t count) {
  float *x = NULL;
  ck_assert_ptr_null(pp_alloc((size_t)count, sizeof *x, "test", &x));
  return x;
}

static inline void fill_normal(float *x, int64_t count, uint32_t stream, double deviation, double mean) {
  pp_rng rng = pp_rng_stream(77, PP_RNG_SYNTHETIC, stream, 0, 0);
  for (int64_t i = 0; i < count; i++)
    x[i] = (float)(mean + deviation * pp_rng_normal(rng, 0, (uint64_t)i));
}

/* Initial weights, with the batch norms' factors of both signs and all that is 0 at first moved away from it. */
static inline void fixture_fill(fixture *f) {
  pp_model_init(f->model, 5, f->state.params, f->state.stats);
  for (int t = 0; t < pp_model_tensor_count(f->model); t++) {
    const pp_tensor_info *tensor = pp_model_tensor(f->model, t);
    if (tensor->rank == 1 && !tensor->is_statistic)
      fill_normal(f->state.params + tensor->offset, tensor->elements, (uint32_t)t, 0.7, 0.2);
  }
}

static inline void fixture_allocate(fixture *f) {
  int blocks = pp_model_block_count(f->model);
  f->parameters = pp_model_parameter_offset(f->model, blocks);
  f->statistics = pp_model_statistic_offset(f->model, blocks);
  f->state = (pp_state){.params = floats(f->parameters),
                        .stats = floats(f->statistics),
                        .grads = floats(f->parameters),
                        .momentum = floats(f->parameters)};
}

static inline void fixture_init(fixture *f, const char *chain, pp_shape input, int classes) {
  memset(f, 0, sizeof *f);
  ck_assert_ptr_null(pp_model_create_chain("test", chain, input, classes, &f->model));
  fixture_allocate(f);
  fixture_fill(f);
}

/* The same from a builder's calls. */
static inline void fixture_build(fixture *f, void (*build)(pp_builder *), pp_shape input, int classes) {
  pp_builder builder;
  memset(f, 0, sizeof *f);
  ck_assert_ptr_null(pp_builder_begin(&builder, "test", input, classes));
  build(&builder);
  ck_assert_ptr_null(pp_builder_end(&builder, &f->model));
  fixture_allocate(f);
  fixture_fill(f);
}

/* A convolution whose batch norm is named after it. */
static inline int conv(pp_builder *b, int from, const char *name, pp_conv_spec spec) {
  char norm_name[16];
  snprintf(norm_name, sizeof norm_name, "%s_bn", name);
  spec.name = name;
  spec.norm_name = norm_name;
  return pp_builder_conv(b, from, &spec);
}

static inline void dense_end(pp_builder *b) {
  pp_builder_block(b, "D");
  pp_builder_linear(b, PP_FROM_BLOCK, b->model->classes, PP_ACT_NONE, "linear");
}

static inline void fixture_fini(fixture *f) {
  pp_model_destroy(f->model);
  free(f->state.params);
  free(f->state.stats);
  free(f->state.grads);
  free(f->state.momentum);
}

static inline pp_net *net_of(const fixture *f, int first, int end, int max_samples, int in_flight, pp_net_use use) {
  pp_net *net = NULL;
  ck_assert_ptr_null(pp_net_create(f->model, first, end, max_samples, in_flight, use, &net));
  return net;
}

static inline pp_net *net_with(const fixture *f, int max_samples, int in_flight, pp_net_use use,
                               const pp_kernels *kernels) {
  pp_net *net = NULL;
  int blocks = pp_model_block_count(f->model);
  ck_assert_ptr_null(pp_net_create_with(f->model, 0, blocks, max_samples, in_flight, use, kernels, &net));
  return net;
}

/* The state as a net of blocks from `first` on sees it. */
static inline pp_state state_from(const fixture *f, int first) {
  int64_t param = pp_model_parameter_offset(f->model, first), stat = pp_model_statistic_offset(f->model, first);
  return (pp_state){f->state.params + param, f->state.stats + stat, f->state.grads + param, f->state.momentum + param};
}

static inline int64_t output_elements(const fixture *f, int block) {
  return pp_shape_elements(block < 0 ? pp_model_input(f->model) : pp_model_block(f->model, block)->output);
}

#endif
