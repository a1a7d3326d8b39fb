/* Private to data/: images made by a thread of its own before they are used. */
#ifndef PP_DATA_AHEAD_H
#define PP_DATA_AHEAD_H

#include <stddef.h>
#include <stdint.h>

#include "pipar/status.h"

typedef struct pp_ahead pp_ahead;

/* Makes the image `key`; called by the thread. */
typedef pp_status (*pp_ahead_make)(void *context, int64_t key, uint8_t *image);

enum { PP_AHEAD_IMAGES = 128 }; /* how many wait or are kept at most */

/* Starts the thread. What `context` points to must outlive it. */
PP_MUST_CHECK pp_status pp_ahead_create(pp_ahead_make make, void *context, size_t image_bytes, pp_ahead **out);
/* Ends the thread. */
void pp_ahead_destroy(pp_ahead *ahead);
/* Asks for an image. Without room for it the wish is forgotten, but room is made of images that nobody took for a long
 * while (8 times PP_AHEAD_IMAGES wishes). */
void pp_ahead_ask(pp_ahead *ahead, int64_t key);
/* Copies the image and forgets it, waiting if it is just being made. False: it was not begun or could not be made, and
 * the caller has to make it. */
bool pp_ahead_take(pp_ahead *ahead, int64_t key, uint8_t *image);

#endif
