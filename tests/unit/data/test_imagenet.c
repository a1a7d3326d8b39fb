#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>
#include <unistd.h>

#include "data/ahead.h"
#include "data/jpeg.h"
#include "files.h"
#include "suite.h"

enum { SIDE = 224, BYTES = 3 * SIDE * SIDE };

static char directory[PATH_MAX];

static void setup(void) { make_directory(directory); }
static void teardown(void) { remove_tree(directory); }

/* pixels: (height, width, channels of the format) */
static bytes jpeg_of(const uint8_t *pixels, int width, int height, int format, int quality) {
  tjhandle handle = tjInitCompress();
  unsigned char *data = NULL;
  unsigned long length = 0;
  int subsampling = format == TJPF_GRAY ? TJSAMP_GRAY : TJSAMP_444;
  ck_assert_int_eq(tjCompress2(handle, pixels, width, 0, height, format, &data, &length, subsampling, quality, 0), 0);
  bytes content = {NULL, 0};
  add_bytes(&content, data, length);
  tjFree(data);
  tjDestroy(handle);
  return content;
}

/* An image of one colour. */
static bytes plain_jpeg(int red, int green, int blue) {
  enum { WIDTH = 40, HEIGHT = 30 };
  uint8_t pixels[HEIGHT * WIDTH * 3];
  for (int place = 0; place < HEIGHT * WIDTH; place++) {
    pixels[3 * place] = (uint8_t)red;
    pixels[3 * place + 1] = (uint8_t)green;
    pixels[3 * place + 2] = (uint8_t)blue;
  }
  return jpeg_of(pixels, WIDTH, HEIGHT, TJPF_RGB, 95);
}

static void write_colour(const char *name, int red, int green, int blue) {
  bytes content = plain_jpeg(red, green, blue);
  write_plain(directory, name, &content);
  free_bytes(&content);
}

static void read_jpeg(const char *name, uint8_t *pixels) {
  pp_jpeg *jpeg = NULL;
  ck_assert_ptr_null(pp_jpeg_create(&jpeg));
  char path[PATH_MAX];
  ck_assert_int_lt(snprintf(path, sizeof path, "%.4000s/%s", directory, name), PATH_MAX);
  pp_status status = pp_jpeg_read(jpeg, path, pixels);
  ck_assert_msg(status == NULL, "%s", pp_error_message(status));
  pp_jpeg_destroy(jpeg);
}

static void jpeg_fails(pp_jpeg *jpeg, const bytes *content, const char *text) {
  write_plain(directory, "broken.JPEG", content);
  char path[PATH_MAX];
  ck_assert_int_lt(snprintf(path, sizeof path, "%.4000s/broken.JPEG", directory), PATH_MAX);
  static uint8_t pixels[BYTES];
  pp_status status = pp_jpeg_read(jpeg, path, pixels);
  ck_assert_msg(status != NULL, "no error; expected %s", text);
  ck_assert_int_eq(pp_error_code(status), PP_CODE_INPUT);
  ck_assert_msg(strstr(pp_error_message(status), text) != NULL, "%s", pp_error_message(status));
  ck_assert_ptr_nonnull(strstr(pp_error_message(status), path));
  pp_error_free(status);
}

/* A ramp stays a ramp: the pixel at place p of the crop shows the source at ((S - 224)/2 + p + 1/2) s - 1/2, s the
 * ratio of the source's side to the resized side S. JPEG of quality 100 is off by at most 1.5 in brightness and in each
 * colour difference (rounding, and the transform), of which the largest counts 1.772 times: 4.2; our rounding adds 1/2.
 */
START_TEST(ramps_are_resized_and_cropped_in_the_middle) {
  const int sizes[][2] = {{300, 400}, {400, 300}, {256, 256}, {257, 700}, {100, 80}, {1100, 900}, {2300, 2100}};
  for (size_t of = 0; of < sizeof sizes / sizeof sizes[0]; of++) {
    const int width = sizes[of][0], height = sizes[of][1], shorter = width < height ? width : height;
    uint8_t *source = malloc((size_t)width * (size_t)height * 3);
    for (int y = 0; y < height; y++)
      for (int x = 0; x < width; x++) {
        uint8_t *pixel = source + 3 * (y * width + x);
        pixel[0] = (uint8_t)lrint(20 + 200.0 * x / width);
        pixel[1] = (uint8_t)lrint(230 - 200.0 * y / height);
        pixel[2] = 77;
      }
    bytes content = jpeg_of(source, width, height, TJPF_RGB, 100);
    write_plain(directory, "ramp.jpg", &content);
    free_bytes(&content);
    static uint8_t pixels[BYTES];
    read_jpeg("ramp.jpg", pixels);
    const int resized_width = 256 * width / shorter, resized_height = 256 * height / shorter;
    const double x_ratio = (double)width / resized_width, y_ratio = (double)height / resized_height;
    for (int y = 0; y < SIDE; y++)
      for (int x = 0; x < SIDE; x++) {
        double from_x = ((resized_width - SIDE) / 2 + x + 0.5) * x_ratio - 0.5;
        double from_y = ((resized_height - SIDE) / 2 + y + 0.5) * y_ratio - 0.5;
        ck_assert(fabs(pixels[y * SIDE + x] - (20 + 200.0 * from_x / width)) < 4.7);
        ck_assert(fabs(pixels[(SIDE + y) * SIDE + x] - (230 - 200.0 * from_y / height)) < 4.7);
        ck_assert(abs(pixels[(2 * SIDE + y) * SIDE + x] - 77) <= 4);
      }
    free(source);
  }
}
END_TEST

/* The definition, as one sum over the whole source in double. */
static double resized_pixel(const uint8_t *source, int width, int height, int channel, int x, int y) {
  const int shorter = width < height ? width : height;
  const int sizes[2] = {width, height}, places[2] = {x, y};
  double centre[2], reach[2];
  for (int axis = 0; axis < 2; axis++) {
    int resized = 256 * sizes[axis] / shorter;
    double ratio = (double)sizes[axis] / resized;
    centre[axis] = ((resized - SIDE) / 2 + places[axis] + 0.5) * ratio;
    reach[axis] = fmax(ratio, 1);
  }
  double sum = 0, weights = 0;
  for (int row = 0; row < height; row++)
    for (int column = 0; column < width; column++) {
      double weight =
          fmax(0, 1 - fabs(column + 0.5 - centre[0]) / reach[0]) * fmax(0, 1 - fabs(row + 0.5 - centre[1]) / reach[1]);
      sum += weight * source[3 * (row * width + column) + channel];
      weights += weight;
    }
  return sum / weights;
}

/* Rounding: float sums of at most 25 values below 256 are within 0.001 of the exact ones. */
START_TEST(resizing_is_the_sum_of_its_definition) {
  const int sizes[][2] = {{320, 270}, {280, 510}, {90, 60}, {60, 300}};
  for (size_t of = 0; of < sizeof sizes / sizeof sizes[0]; of++) {
    const int width = sizes[of][0], height = sizes[of][1];
    size_t count = (size_t)width * (size_t)height * 3;
    uint8_t *source = malloc(count);
    for (size_t place = 0; place < count; place++)
      source[place] = (uint8_t)((place * place / 7 + place * 31) >> 3);
    bytes content = jpeg_of(source, width, height, TJPF_RGB, 80);
    write_plain(directory, "noise.jpg", &content);
    tjhandle handle = tjInitDecompress();
    ck_assert_int_eq(tjDecompress2(handle, content.data, content.count, source, width, 0, height, TJPF_RGB, 0), 0);
    tjDestroy(handle);
    free_bytes(&content);
    static uint8_t pixels[BYTES];
    read_jpeg("noise.jpg", pixels);
    for (int y = 0; y < SIDE; y += 37)
      for (int x = 0; x < SIDE; x += 31)
        for (int channel = 0; channel < 3; channel++)
          ck_assert(fabs(resized_pixel(source, width, height, channel, x, y) -
                         pixels[(channel * SIDE + y) * SIDE + x]) < 0.501);
    free(source);
  }
}
END_TEST

START_TEST(grey_and_inks_become_colours) {
  static uint8_t pixels[BYTES], source[4 * 50 * 50];
  memset(source, 90, sizeof source);
  bytes content = jpeg_of(source, 50, 50, TJPF_GRAY, 95);
  write_plain(directory, "grey.jpg", &content);
  free_bytes(&content);
  read_jpeg("grey.jpg", pixels);
  for (int place = 0; place < BYTES; place++)
    ck_assert_int_le(abs(pixels[place] - 90), 2);
  const uint8_t inks[] = {200, 100, 50, 204}; /* inverted: light through the inks, 80 % of it through the black */
  for (int place = 0; place < 50 * 50; place++)
    memcpy(source + 4 * place, inks, 4);
  content = jpeg_of(source, 50, 50, TJPF_CMYK, 95);
  write_plain(directory, "inks.jpg", &content);
  free_bytes(&content);
  read_jpeg("inks.jpg", pixels);
  for (int channel = 0; channel < 3; channel++)
    ck_assert_int_le(abs(pixels[channel * SIDE * SIDE] - inks[channel] * 4 / 5), 3);
}
END_TEST

START_TEST(a_broken_image_does_not_harm_the_next_one) {
  bytes content = plain_jpeg(1, 2, 3);
  write_colour("good.JPEG", 50, 60, 70);
  char broken[PATH_MAX], good[PATH_MAX];
  ck_assert_int_lt(snprintf(broken, sizeof broken, "%.4000s/broken.JPEG", directory), PATH_MAX);
  ck_assert_int_lt(snprintf(good, sizeof good, "%.4000s/good.JPEG", directory), PATH_MAX);
  pp_jpeg *jpeg = NULL;
  ck_assert_ptr_null(pp_jpeg_create(&jpeg));
  static uint8_t pixels[BYTES];
  for (size_t length = 0; length < content.count; length += 5) {
    write_plain(directory, "broken.JPEG", &(bytes){content.data, length});
    pp_status status = pp_jpeg_read(jpeg, broken, pixels);
    ck_assert_ptr_nonnull(status);
    pp_error_free(status);
    status = pp_jpeg_read(jpeg, good, pixels);
    ck_assert_msg(status == NULL, "after %zu bytes: %s", length, pp_error_message(status));
    ck_assert_int_le(abs(pixels[0] - 50), 4);
  }
  pp_jpeg_destroy(jpeg);
  free_bytes(&content);
}
END_TEST

START_TEST(files_that_are_no_whole_jpeg_are_refused) {
  bytes nothing = {NULL, 0}, text = {NULL, 0};
  pp_jpeg *jpeg = NULL;
  ck_assert_ptr_null(pp_jpeg_create(&jpeg));
  jpeg_fails(jpeg, &nothing, "not a JPEG image");
  add_bytes(&text, "\x89PNG\r\n\x1a\n and so on, at length", 30);
  jpeg_fails(jpeg, &text, "not a JPEG image");
  free_bytes(&text);
  bytes small = plain_jpeg(1, 2, 3);
  for (size_t length = 1; length < small.count; length++)
    jpeg_fails(jpeg, &(bytes){small.data, length}, "broken.JPEG: ");
  free_bytes(&small);
  static uint8_t source[3 * 300 * 280];
  for (size_t place = 0; place < sizeof source; place++)
    source[place] = (uint8_t)(place * 7919 >> 5);
  bytes content = jpeg_of(source, 300, 280, TJPF_RGB, 80);
  for (size_t length = 1; length < content.count; length += content.count / 60)
    jpeg_fails(jpeg, &(bytes){content.data, length}, "broken.JPEG: ");
  jpeg_fails(jpeg, &(bytes){content.data, content.count - 2}, "cut off or damaged"); /* the end's marker alone */
  /* The frame header (marker 0xffc0) with sizes that are not the image's. */
  for (size_t place = 0; place + 8 < content.count; place++)
    if (content.data[place] == 0xff && content.data[place + 1] == 0xc0) {
      memset(content.data + place + 5, 0xfe, 4);
      jpeg_fails(jpeg, &content, "too large");
      memcpy(content.data + place + 5, "\x10\x00\x10\x00", 4);
      jpeg_fails(jpeg, &content, "broken.JPEG: ");
      memset(content.data + place + 5, 0, 4);
      jpeg_fails(jpeg, &content, "broken.JPEG: ");
      break;
    }
  free_bytes(&content);
  pp_jpeg_destroy(jpeg);
}
END_TEST

/* Three classes with 3, 1 and 2 training images and one test image each; the colour tells which. */
static void write_tree(void) {
  write_colour("train/n01/b.JPEG", 200, 10, 10);
  write_colour("train/n01/a.JPEG", 220, 10, 10);
  write_colour("train/n01/c.jpg", 180, 10, 10);
  write_colour("train/n02/a.JPEG", 10, 220, 10);
  write_colour("train/n10/x.jpeg", 10, 10, 220);
  write_colour("train/n10/y.JPEG", 10, 10, 200);
  write_colour("val/n01/t.JPEG", 240, 10, 10);
  write_colour("val/n02/t.JPEG", 10, 240, 10);
  write_colour("val/n10/t.JPEG", 10, 10, 240);
  bytes none = {NULL, 0};
  write_plain(directory, "train/n01/.hidden.JPEG", &none);
  write_plain(directory, "train/n01/notes.txt", &none);
  write_plain(directory, "train/README", &none);
}

static pp_device_group group = {.count = 1, .samples = -1};

static pp_config experiment(int64_t train, int64_t test) {
  pp_config config = {.seed = 1, .group_count = 1, .groups = &group};
  config.dataset = plain_config("imagenet", directory, 3, train, test);
  config.training.batch_size = 100;
  return config;
}

static void check_colour(const float *x, int red, int green, int blue) {
  const int colour[] = {red, green, blue};
  for (int channel = 0; channel < 3; channel++)
    for (int place = 0; place < SIDE * SIDE; place += 97)
      ck_assert(fabs((double)x[channel * SIDE * SIDE + place] * 255 - colour[channel]) <= 3);
}

START_TEST(samples_go_round_the_classes_in_the_order_of_names) {
  write_tree();
  pp_config config = experiment(6, 3);
  pp_dataset *dataset = load(&config.dataset, 1);
  pp_partition *partition = NULL;
  ck_assert_ptr_null(pp_partition_create(&config, dataset, &partition));
  static float x[6 * BYTES];
  int32_t labels[6];
  const int32_t expected[] = {0, 1, 2, 0, 2, 0};
  const int colours[][3] = {{220, 10, 10}, {10, 220, 10}, {10, 10, 220}, {200, 10, 10}, {10, 10, 200}, {180, 10, 10}};
  for (int epoch = 0; epoch < 3; epoch++) {
    memset(x, 0, sizeof x);
    for (int first = 0; first < 6; first += epoch + 1)
      ck_assert_ptr_null(
          pp_batch_fill(dataset, partition, &config, 0, epoch, first, epoch + 1, x + first * BYTES, labels + first));
    ck_assert_mem_eq(labels, expected, sizeof labels);
    for (int sample = 0; sample < 6; sample++)
      check_colour(x + sample * BYTES, colours[sample][0], colours[sample][1], colours[sample][2]);
  }
  ck_assert_ptr_null(pp_dataset_test_fill(dataset, 1, 2, x, labels));
  check_colour(x, 10, 240, 10);
  check_colour(x + BYTES, 10, 10, 240);
  ck_assert_int_eq(labels[0], 1);
  ck_assert_int_eq(labels[1], 2);
  pp_partition_destroy(partition);
  pp_dataset_destroy(dataset);
}
END_TEST

START_TEST(a_broken_image_is_named_when_it_is_used) {
  write_tree();
  cut_file(directory, "train/n10/y.JPEG", file_length(directory, "train/n10/y.JPEG") / 2);
  pp_config config = experiment(6, 3);
  pp_dataset *dataset = load(&config.dataset, 1);
  pp_partition *partition = NULL;
  ck_assert_ptr_null(pp_partition_create(&config, dataset, &partition));
  static float x[6 * BYTES];
  int32_t labels[6];
  ck_assert_ptr_null(pp_batch_fill(dataset, partition, &config, 0, 0, 0, 4, x, labels));
  pp_status status = pp_batch_fill(dataset, partition, &config, 0, 0, 4, 1, x, labels);
  ck_assert_int_eq(pp_error_code(status), PP_CODE_INPUT);
  ck_assert_ptr_nonnull(strstr(pp_error_message(status), "train/n10/y.JPEG: "));
  pp_error_free(status);
  status = pp_batch_fill(dataset, partition, &config, 0, 0, 5, 1, x, labels);
  ck_assert_msg(status == NULL, "%s", pp_error_message(status));
  pp_partition_destroy(partition);
  pp_dataset_destroy(dataset);
}
END_TEST

START_TEST(directories_that_are_not_as_they_should_be_are_refused) {
  pp_config config = experiment(6, 3);
  load_fails(&config.dataset, "/train: No such file", directory);
  write_tree();
  config = experiment(7, 3);
  load_fails(&config.dataset, "dataset.train_samples: 7 are wanted", "/train holds 6");
  config = experiment(6, 3);
  char path[PATH_MAX];
  ck_assert_int_lt(snprintf(path, sizeof path, "%.4000s/train/n02/a.JPEG", directory), PATH_MAX);
  ck_assert_int_eq(remove(path), 0);
  load_fails(&config.dataset, "/train/n02: a class without images", NULL);
  write_colour("train/n02/a.JPEG", 1, 2, 3);
  write_colour("val/n03/a.JPEG", 1, 2, 3);
  load_fails(&config.dataset, "/val: its 4 directories of classes are not those of the training images (3", NULL);
  bytes none = {NULL, 0};
  char name[64];
  for (int class = 0; class < 1001; class ++) {
    snprintf(name, sizeof name, "train/m%d/x", class);
    write_plain(directory, name, &none);
  }
  load_fails(&config.dataset, "1004 directories of classes; allowed are 1 to 1000", NULL);
}
END_TEST

enum { NOT_TO_BE_MADE = 13, SMALL = 16 };

/* Every byte of the image is its key. */
static pp_status make_small(void *context, int64_t key, uint8_t *image) {
  ck_assert_ptr_null(context);
  if (key == NOT_TO_BE_MADE)
    return pp_fail(PP_CODE_INPUT, "key %d", NOT_TO_BE_MADE);
  memset(image, (int)(key & 255), SMALL);
  return NULL;
}

START_TEST(images_made_ahead_are_those_asked_for) {
  pp_ahead *ahead = NULL;
  ck_assert_ptr_null(pp_ahead_create(make_small, NULL, SMALL, &ahead));
  uint8_t image[SMALL], expected[SMALL];
  ck_assert(!pp_ahead_take(ahead, 5, image));
  int64_t asked = 0, taken = 0;
  for (int64_t key = 0; key < 20000; key++) {
    for (; asked < key + 40; asked++)
      pp_ahead_ask(ahead, asked % 777);
    if (pp_ahead_take(ahead, key % 777, image)) {
      ck_assert_int_ne(key % 777, NOT_TO_BE_MADE);
      memset(expected, (int)(key % 777 & 255), SMALL);
      ck_assert_mem_eq(image, expected, SMALL);
      taken++;
    }
    if (key % 500 == 0)
      usleep(1000);
  }
  ck_assert_int_gt(taken, 0);
  pp_ahead_destroy(ahead);
}
END_TEST

START_TEST(more_asked_for_than_fits_does_no_harm) {
  pp_ahead *ahead = NULL;
  ck_assert_ptr_null(pp_ahead_create(make_small, NULL, SMALL, &ahead));
  for (int64_t key = 0; key < 100000; key++)
    pp_ahead_ask(ahead, key);
  uint8_t image[SMALL];
  for (int64_t key = 0; key < 100000; key++)
    if (pp_ahead_take(ahead, key, image))
      ck_assert_int_eq(image[0], key & 255);
  pp_ahead_destroy(ahead);
  pp_ahead_destroy(NULL);
}
END_TEST

int main(void) {
  TCase *tests = tcase_create("imagenet");
  tcase_set_timeout(tests, 60);
  tcase_add_checked_fixture(tests, setup, teardown);
  tcase_add_test(tests, ramps_are_resized_and_cropped_in_the_middle);
  tcase_add_test(tests, resizing_is_the_sum_of_its_definition);
  tcase_add_test(tests, grey_and_inks_become_colours);
  tcase_add_test(tests, a_broken_image_does_not_harm_the_next_one);
  tcase_add_test(tests, files_that_are_no_whole_jpeg_are_refused);
  tcase_add_test(tests, samples_go_round_the_classes_in_the_order_of_names);
  tcase_add_test(tests, a_broken_image_is_named_when_it_is_used);
  tcase_add_test(tests, directories_that_are_not_as_they_should_be_are_refused);
  tcase_add_test(tests, images_made_ahead_are_those_asked_for);
  tcase_add_test(tests, more_asked_for_than_fits_does_no_harm);
  return run_case("imagenet", tests);
}
