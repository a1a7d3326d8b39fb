/* The critical path of a run, from the stages that happened, and the same run under other conditions. */
#ifndef PP_TIMELINE_PATH_H
#define PP_TIMELINE_PATH_H

#include "pipar/timeline.h"

/* What a piece of the path was: a pp_stage, or one of these. */
enum {
  PP_PATH_UP_LATENCY = PP_STAGE_COUNT,
  PP_PATH_DOWN_LATENCY,
  PP_PATH_WAIT, /* for no stage: until an instant that a rule of the method sets */
  PP_PATH_KINDS,
};
const char *pp_path_kind_name(int kind);

typedef struct pp_path_part {
  int group; /* of the device whose stage it was; -1: aggregate */
  int kind;
  int64_t count; /* pieces */
  int64_t length_ns;
} pp_path_part;

/* The parts' lengths add up to the makespan. */
typedef struct pp_path {
  int64_t makespan_ns;
  int part_count;
  pp_path_part *parts; /* (part_count), longest first */
} pp_path;

/* Local. Walks back from the run's last event, each time to what held it: the data that arrived last, the stage before
 * it on the same resource, the transfer that held its link. `records` are all stages of the run. */
PP_MUST_CHECK pp_status pp_path_find(const pp_scenario *scenario, int64_t makespan_ns, int64_t count,
                                     const pp_stage_record *records, pp_path *out);
/* Local. Runs the timeline over the scenario and finds its path. */
PP_MUST_CHECK pp_status pp_path_of_scenario(const pp_scenario *scenario, pp_path *out);
void pp_path_fini(pp_path *path);

typedef enum pp_change_kind {
  PP_CHANGE_UPLINK,          /* rates 10 % up, of a group */
  PP_CHANGE_DOWNLINK,        /* likewise */
  PP_CHANGE_LINKS,           /* both at once, which helps where each alone leaves the other to wait for */
  PP_CHANGE_LATENCY,         /* 10 % down, both ways, of a group */
  PP_CHANGE_DEVICE,          /* computes 10 % faster: a stage takes 1 / 1.1 of its length */
  PP_CHANGE_SERVER,          /* every slot, likewise */
  PP_CHANGE_SLOT,            /* one more; not with space-share */
  PP_CHANGE_SERVER_UPLINK,   /* rates of the server's link 10 % up; where devices share it */
  PP_CHANGE_SERVER_DOWNLINK, /* likewise */
  PP_CHANGE_SERVER_LINKS,    /* both at once */
  PP_CHANGE_COUNT,
} pp_change_kind;

enum { PP_CHANGE_OF_ALL = -1 }; /* instead of a group */

/* Local. The makespan of the scenario with that change, by running the timeline again; plans stay as they are. `group`
 * is ignored where the change is the server's. */
PP_MUST_CHECK pp_status pp_change_makespan(const pp_scenario *scenario, pp_change_kind change, int group,
                                           int64_t *makespan_ns);

#endif
