/* Makes a case that fails smaller while it still fails. */
#ifndef ORACLE_SHRINK_H
#define ORACLE_SHRINK_H

#include "oracle_case.h"

typedef bool (*case_check)(const oracle_case *c, void *context);

/* Leaves in *c a case for which `fails` holds and no single step of ours makes smaller. */
void case_shrink(oracle_case *c, case_check fails, void *context);

#endif
