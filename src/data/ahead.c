#include "data/ahead.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

typedef enum pp_slot_state { SLOT_EMPTY, SLOT_ASKED, SLOT_BUSY, SLOT_READY } pp_slot_state;

typedef struct pp_ahead_slot {
  pp_slot_state state;
  int64_t key;
  uint64_t age; /* smaller is older */
} pp_ahead_slot;

struct pp_ahead {
  pp_ahead_make make;
  void *context;
  size_t image_bytes;
  uint8_t *images; /* (PP_AHEAD_IMAGES, image_bytes): each written by the thread while BUSY, read when READY */
  pthread_t thread;
  bool started;
  pthread_mutex_t mutex; /* of all below */
  pthread_cond_t asked;  /* by the thread */
  pthread_cond_t made;   /* by who takes */
  bool ending;
  uint64_t next_age;
  pp_ahead_slot slots[PP_AHEAD_IMAGES];
};

/* The oldest slot in this state, or NULL. */
static pp_ahead_slot *oldest(pp_ahead *ahead, pp_slot_state state) {
  pp_ahead_slot *found = NULL;
  for (int slot = 0; slot < PP_AHEAD_IMAGES; slot++)
    if (ahead->slots[slot].state == state && (found == NULL || ahead->slots[slot].age < found->age))
      found = &ahead->slots[slot];
  return found;
}

static pp_ahead_slot *find(pp_ahead *ahead, int64_t key) {
  for (int slot = 0; slot < PP_AHEAD_IMAGES; slot++)
    if (ahead->slots[slot].state != SLOT_EMPTY && ahead->slots[slot].key == key)
      return &ahead->slots[slot];
  return NULL;
}

static uint8_t *image_of(const pp_ahead *ahead, const pp_ahead_slot *slot) {
  return ahead->images + (size_t)(slot - ahead->slots) * ahead->image_bytes;
}

static void *work(void *argument) {
  pp_ahead *ahead = argument;
  pthread_mutex_lock(&ahead->mutex);
  while (!ahead->ending) {
    pp_ahead_slot *slot = oldest(ahead, SLOT_ASKED);
    if (slot == NULL) {
      pthread_cond_wait(&ahead->asked, &ahead->mutex);
      continue;
    }
    slot->state = SLOT_BUSY;
    int64_t key = slot->key;
    pthread_mutex_unlock(&ahead->mutex);
    pp_status status = ahead->make(ahead->context, key, image_of(ahead, slot));
    pthread_mutex_lock(&ahead->mutex);
    slot->state = status == NULL ? SLOT_READY : SLOT_EMPTY;
    pp_error_free(status); /* who takes the image will meet the same error, and report it */
    pthread_cond_broadcast(&ahead->made);
  }
  pthread_mutex_unlock(&ahead->mutex);
  return NULL;
}

pp_status pp_ahead_create(pp_ahead_make make, void *context, size_t image_bytes, pp_ahead **out) {
  pp_ahead *ahead = NULL;
  PP_TRY(pp_alloc(1, sizeof *ahead, "images made ahead", &ahead));
  ahead->make = make;
  ahead->context = context;
  ahead->image_bytes = image_bytes;
  pthread_mutex_init(&ahead->mutex, NULL);
  pthread_cond_init(&ahead->asked, NULL);
  pthread_cond_init(&ahead->made, NULL);
  pp_status status = pp_alloc(PP_AHEAD_IMAGES, image_bytes, "images made ahead", &ahead->images);
  if (status == NULL) {
    /* Signals are for the program's own thread. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&ahead->thread, NULL, work, ahead);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    ahead->started = error == 0;
    if (error != 0)
      status = pp_fail(PP_CODE_RUN, "no thread for decoding images: %s", strerror(error));
  }
  if (status != NULL) {
    pp_ahead_destroy(ahead);
    return status;
  }
  *out = ahead;
  return NULL;
}

void pp_ahead_destroy(pp_ahead *ahead) {
  if (ahead == NULL)
    return;
  if (ahead->started) {
    pthread_mutex_lock(&ahead->mutex);
    ahead->ending = true;
    pthread_cond_signal(&ahead->asked);
    pthread_mutex_unlock(&ahead->mutex);
    pthread_join(ahead->thread, NULL);
  }
  pthread_cond_destroy(&ahead->made);
  pthread_cond_destroy(&ahead->asked);
  pthread_mutex_destroy(&ahead->mutex);
  free(ahead->images);
  free(ahead);
}

void pp_ahead_ask(pp_ahead *ahead, int64_t key) {
  pthread_mutex_lock(&ahead->mutex);
  if (find(ahead, key) == NULL) {
    pp_ahead_slot *slot = oldest(ahead, SLOT_EMPTY);
    if (slot == NULL) {
      slot = oldest(ahead, SLOT_READY);
      if (slot != NULL && ahead->next_age - slot->age <= 8 * (uint64_t)PP_AHEAD_IMAGES)
        slot = NULL;
    }
    if (slot != NULL) {
      *slot = (pp_ahead_slot){SLOT_ASKED, key, ahead->next_age};
      pthread_cond_signal(&ahead->asked);
    }
    ahead->next_age++;
  }
  pthread_mutex_unlock(&ahead->mutex);
}

bool pp_ahead_take(pp_ahead *ahead, int64_t key, uint8_t *image) {
  pthread_mutex_lock(&ahead->mutex);
  pp_ahead_slot *slot = find(ahead, key);
  while (slot != NULL && slot->state == SLOT_BUSY) {
    pthread_cond_wait(&ahead->made, &ahead->mutex);
    slot = find(ahead, key);
  }
  bool taken = slot != NULL && slot->state == SLOT_READY;
  if (taken)
    memcpy(image, image_of(ahead, slot), ahead->image_bytes);
  if (slot != NULL)
    slot->state = SLOT_EMPTY;
  pthread_mutex_unlock(&ahead->mutex);
  return taken;
}
