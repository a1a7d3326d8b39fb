/* What the subcommands share. */
#ifndef PP_APP_APP_H
#define PP_APP_APP_H

#include <signal.h>
#include <stdio.h>

#include "comm/comm.h"
#include "pipar/results.h"
#include "pipar/status.h"

/* Prints the error as the program's one line on stderr, frees it and gives its exit code; NULL: 0. */
int pp_app_finish(pp_status status);

/* Set by TERM, INT and USR1 once pp_app_catch_signals was called; a second TERM or INT kills. */
const volatile sig_atomic_t *pp_app_catch_signals(void);

enum { PP_APP_PROVENANCE_MAX = 16 };

/* Who made a results file: values live in the struct. */
typedef struct pp_app_provenance {
  int count;
  pp_provenance entries[PP_APP_PROVENANCE_MAX];
  char text[PP_APP_PROVENANCE_MAX][512];
} pp_app_provenance;
/* The revision of git, behind a word and in a place of fixed size: scripts/reproduce.py tells programs apart by all but
 * it. In a file of its own (version.c), so that no compiler takes its text into code. */
extern const char pp_app_revision[64];

void pp_app_provenance_collect(pp_app_provenance *provenance, const pp_comm *comm, int argc, char **argv);

/* What a run must have in common with the one that it goes on with. */
PP_MUST_CHECK pp_status pp_app_identify(const pp_experiment *experiment, pp_identity *out);

/* Versions of the program and of the libraries it runs with. */
void pp_app_print_versions(FILE *stream);

#endif
