/* The one table of what an experiment file may say: it parses, checks, overrides, documents and dumps. */
#ifndef PP_CONFIG_FIELDS_H
#define PP_CONFIG_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pipar/config.h"

typedef enum pp_field_type {
  PP_FIELD_INT,    /* an integer of the member's size */
  PP_FIELD_REAL,   /* double */
  PP_FIELD_BOOL,   /* bool */
  PP_FIELD_CHOICE, /* one of `choices`, kept as its number */
  PP_FIELD_NAME,   /* one of `choices`, kept as text: char[size] */
  PP_FIELD_TEXT,   /* char[size] */
  PP_FIELD_LABEL,  /* char[size]; left out where it is empty */
  PP_FIELD_PATH,   /* char *, the arena's; `fallback`, or what `word` calls it */
  PP_FIELD_FILE,   /* char *, the arena's; NULL where it is not given */
  PP_FIELD_REALS,  /* pp_reals: numbers from min to max */
  PP_FIELD_NODE,   /* const pp_node *: whatever is there, for other code to parse; NULL where it is not given */
  PP_FIELD_SCALED, /* a decimal times 10^scale, kept as int64 */
  PP_FIELD_SECTION,
  PP_FIELD_DEVICE,    /* a device preset or values in place */
  PP_FIELD_NETWORK,   /* a network preset or values in place */
  PP_FIELD_GROUPS,    /* pp_config's groups */
  PP_FIELD_RATE,      /* pp_rate_trace: a constant */
  PP_FIELD_TRACE,     /* pp_rate_trace: [[seconds, Mbit/s], ...] */
  PP_FIELD_SLOWDOWN,  /* pp_rate_trace: [[seconds, factor], ...] */
  PP_FIELD_LOOP,      /* pp_rate_trace: seconds from its last step to its start over */
  PP_FIELD_BOTH,      /* as SCALED, kept twice, in two members that follow each other */
  PP_FIELD_SHAPE,     /* int[3] */
  PP_FIELD_NORMALIZE, /* of pp_dataset_config */
  PP_FIELD_FLOATS,    /* float[4], as many as its section's count; see PP_FIELD_NORMALIZE */
  PP_FIELD_FIXED,     /* one of `choices`, kept nowhere: only one is built */
  PP_FIELD_UNBUILT,   /* a key that belongs to something that is not built yet */
  PP_FIELD_SWEEP,     /* taken off before a run is parsed */
} pp_field_type;

/* A word that a setting may be. Those not built yet are refused by name. */
typedef struct pp_choice {
  const char *name; /* NULL ends a list */
  int value;
  bool built;
} pp_choice;

/* Any number of reals, the arena's. */
typedef struct pp_reals {
  int count;
  const double *values; /* (count) */
} pp_reals;

typedef struct pp_field pp_field;
struct pp_field {
  const char *key; /* NULL ends a table */
  pp_field_type type;
  bool required;        /* with neither `required` nor `fallback`: may be left out, and is then 0 */
  size_t offset, size;  /* of the member */
  const char *fallback; /* the default, as a file would write it */
  const char *unit;
  int64_t low, high; /* integers, and SCALED in steps of 10^-scale */
  double min, max;   /* reals */
  bool above_min, below_max;
  int scale;
  const char *word; /* stands for word_value */
  int64_t word_value;
  const pp_choice *choices;
  const pp_field *fields; /* of a section */
  bool inherits;          /* a section whose defaults are there already */
  const char *built;      /* the only value that is built so far */
  bool only_synthetic;    /* of the data set `synthetic` alone */
  const char *help;
};

extern const pp_field pp_experiment_fields[];  /* of pp_config */
extern const pp_field pp_group_fields[];       /* of pp_device_group */
extern const pp_field pp_device_fields[];      /* of pp_device_config */
extern const pp_field pp_server_link_fields[]; /* rates of pp_network_config */
extern const pp_field pp_network_fields[];     /* of pp_network_config */
extern const pp_field pp_cost_fields[];        /* of pp_cost_config */
extern const pp_field pp_normalize_fields[];   /* of pp_dataset_config */
extern const pp_field pp_rate_field;           /* of one step of a trace */
extern const pp_field pp_time_field;           /* of one step of a trace */
extern const pp_field pp_factor_field;         /* of one step of a slowdown */

enum { PP_ALLOWED_TEXT = 384 };
/* What a field allows: "auto or an integer from 1 to 1000". out: (PP_ALLOWED_TEXT). Returns out. */
char *pp_field_allowed(const pp_field *field, char *out);
/* "a | b" of the choices that are built (or are not). out: (PP_ALLOWED_TEXT). Returns out. */
char *pp_choices_print(const pp_choice *choices, bool built, const char *separator, char *out);
const pp_choice *pp_choice_find(const pp_choice *choices, const char *name);

/* Whether `text` is likely a slip of the pen for `word`. */
bool pp_text_is_near(const char *text, const char *word);

enum {
  PP_MOST_DEVICES = 10000000,
  PP_MOST_GROUPS = 100000,
  PP_MOST_STEPS = 1000000, /* of a trace */
};

#endif
