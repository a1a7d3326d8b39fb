#include "timeline/path.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* A record under the device it belongs to, or in one of two lists of the whole run. Times are when it ended. */
typedef struct entry {
  int64_t list, time_ns;
  int64_t record;
} entry;

typedef struct finder {
  const pp_scenario *scenario;
  bool comes_and_goes; /* devices do, or aggregates do not wait for all */
  const pp_stage_record *records;
  int64_t entry_count;
  entry *entries; /* by list, time and record */
} finder;

/* Lists after the devices' own: what slots did, and models that reached the server, by their arrival. */
static int64_t slots_list(const pp_scenario *scenario) { return scenario->device_count; }
static int64_t models_list(const pp_scenario *scenario) { return (int64_t)scenario->device_count + 1; }

static uint32_t bit(pp_stage stage) { return UINT32_C(1) << stage; }

static bool is_up(int32_t stage) { return stage == PP_STAGE_UPLOAD || stage == PP_STAGE_MODEL_UPLOAD; }
static bool is_down(int32_t stage) { return stage == PP_STAGE_DOWNLOAD || stage == PP_STAGE_MODEL_DOWNLOAD; }
static bool on_server(int32_t stage) {
  return stage == PP_STAGE_AGGREGATE || pp_stage_resource((pp_stage)stage) == PP_RESOURCE_SERVER;
}

static const pp_network_config *network_of(const pp_scenario *scenario, int32_t device) {
  return scenario->classes[scenario->class_of[device]].network;
}

static int64_t latency_of(const pp_scenario *scenario, const pp_stage_record *record) {
  if (record->bytes == 0)
    return 0; /* no transfer, or one that was cut: nothing arrives */
  if (is_up(record->stage))
    return network_of(scenario, record->device)->up_latency_ns;
  return is_down(record->stage) ? network_of(scenario, record->device)->down_latency_ns : 0;
}

static int compare_entries(const void *a, const void *b) {
  const entry *x = a, *y = b;
  if (x->list != y->list)
    return x->list < y->list ? -1 : 1;
  if (x->time_ns != y->time_ns)
    return x->time_ns < y->time_ns ? -1 : 1;
  return x->record < y->record ? -1 : 1;
}

static pp_status finder_init(finder *of, const pp_scenario *scenario, int64_t count, const pp_stage_record *records) {
  *of = (finder){.scenario = scenario,
                 .comes_and_goes = scenario->buffer == 0 && !pp_scenario_waits_for_all(scenario),
                 .records = records};
  PP_TRY(pp_alloc(2 * (size_t)count, sizeof *of->entries, "the stages of the run", &of->entries));
  for (int64_t at = 0; at < count; at++) {
    const pp_stage_record *record = &records[at];
    if (record->device >= 0)
      of->entries[of->entry_count++] = (entry){record->device, record->end_ns, at};
    if (on_server(record->stage))
      of->entries[of->entry_count++] = (entry){slots_list(scenario), record->end_ns, at};
    if (record->stage == PP_STAGE_MODEL_UPLOAD)
      of->entries[of->entry_count++] =
          (entry){models_list(scenario), record->end_ns + latency_of(scenario, record), at};
  }
  qsort(of->entries, (size_t)of->entry_count, sizeof *of->entries, compare_entries);
  return NULL;
}

/* The first entry of the list that is not before the time. */
static int64_t lower_bound(const finder *of, int64_t list, int64_t time_ns) {
  int64_t low = 0, high = of->entry_count;
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    const entry *at = &of->entries[middle];
    if (at->list < list || (at->list == list && at->time_ns < time_ns))
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* What a predecessor has to be; -2: anything. */
typedef struct wanted {
  int64_t list, time_ns;
  uint32_t stages;
  int32_t device, slot, iteration, micro_batch;
} wanted;

static wanted any_of(int64_t list, int64_t time_ns, uint32_t stages) {
  return (wanted){list, time_ns, stages, -2, -2, -2, -2};
}

static const pp_stage_record *find(const finder *of, wanted what) {
  for (int64_t at = lower_bound(of, what.list, what.time_ns);
       at < of->entry_count && of->entries[at].list == what.list && of->entries[at].time_ns == what.time_ns; at++) {
    const pp_stage_record *record = &of->records[of->entries[at].record];
    if ((what.stages & bit((pp_stage)record->stage)) != 0 && (what.device == -2 || what.device == record->device) &&
        (what.slot == -2 || what.slot == record->slot) &&
        (what.iteration == -2 || what.iteration == record->iteration) &&
        (what.micro_batch == -2 || what.micro_batch == record->micro_batch))
      return record;
  }
  return NULL;
}

/* The same micro-batch's stage that ended then. */
static const pp_stage_record *find_same(const finder *of, const pp_stage_record *record, int64_t time_ns,
                                        uint32_t stages) {
  wanted what = any_of(record->device, time_ns, stages);
  what.iteration = record->iteration;
  what.micro_batch = record->micro_batch;
  return find(of, what);
}

static const uint32_t device_stages =
    UINT32_C(1) << PP_STAGE_FORWARD | UINT32_C(1) << PP_STAGE_BACKWARD | UINT32_C(1) << PP_STAGE_DEVICE_UPDATE;
static const uint32_t server_stages = UINT32_C(1) << PP_STAGE_SERVER_FORWARD | UINT32_C(1) << PP_STAGE_SERVER_BACKWARD |
                                      UINT32_C(1) << PP_STAGE_SERVER_UPDATE |
                                      UINT32_C(1) << PP_STAGE_SERVER_BACKWARD_INPUT |
                                      UINT32_C(1) << PP_STAGE_SERVER_BACKWARD_WEIGHT;
static const uint32_t up_stages = UINT32_C(1) << PP_STAGE_UPLOAD | UINT32_C(1) << PP_STAGE_MODEL_UPLOAD;
static const uint32_t down_stages = UINT32_C(1) << PP_STAGE_DOWNLOAD | UINT32_C(1) << PP_STAGE_MODEL_DOWNLOAD;

/* The transfer that held the link until then. */
static const pp_stage_record *find_holder(const finder *of, const pp_stage_record *record) {
  bool shared = network_of(of->scenario, record->device)->half_duplex;
  uint32_t stages = shared ? up_stages | down_stages : is_up(record->stage) ? up_stages : down_stages;
  return find(of, any_of(record->device, record->start_ns, stages));
}

static const pp_stage_record *before_device_stage(const finder *of, const pp_stage_record *record) {
  int64_t sent_ns = record->start_ns - network_of(of->scenario, record->device)->down_latency_ns;
  const pp_stage_record *data = NULL;
  if (record->stage == PP_STAGE_BACKWARD)
    data = find_same(of, record, sent_ns, bit(PP_STAGE_DOWNLOAD));
  else if (record->stage == PP_STAGE_FORWARD)
    data = find(of, any_of(record->device, sent_ns, bit(PP_STAGE_MODEL_DOWNLOAD)));
  return data != NULL ? data : find(of, any_of(record->device, record->start_ns, device_stages));
}

static const pp_stage_record *before_server_stage(const finder *of, const pp_stage_record *record) {
  if (record->stage == PP_STAGE_SERVER_FORWARD) {
    int64_t sent_ns = record->start_ns - network_of(of->scenario, record->device)->up_latency_ns;
    const pp_stage_record *data = find_same(of, record, sent_ns, bit(PP_STAGE_UPLOAD));
    if (data != NULL)
      return data;
  }
  wanted slot = any_of(slots_list(of->scenario), record->start_ns, server_stages | bit(PP_STAGE_AGGREGATE));
  slot.slot = record->slot;
  const pp_stage_record *held = find(of, slot);
  return held != NULL ? held : find(of, any_of(record->device, record->start_ns, server_stages));
}

/* Nobody waits for the others: an update that became complete, or what slot 0 did before. */
static const pp_stage_record *before_async_aggregate(const finder *of, const pp_stage_record *record) {
  wanted slot = any_of(slots_list(of->scenario), record->start_ns, server_stages | bit(PP_STAGE_AGGREGATE));
  const pp_stage_record *found =
      find(of, any_of(models_list(of->scenario), record->start_ns, bit(PP_STAGE_MODEL_UPLOAD)));
  slot.slot = 0;
  found = found != NULL ? found : find(of, slot);
  return found != NULL ? found : find(of, any_of(slots_list(of->scenario), record->start_ns, server_stages));
}

/* Likewise: the aggregate that the model came of, else what completed the device's own update. */
static const pp_stage_record *before_async_model(const finder *of, const pp_stage_record *record) {
  const pp_stage_record *found = find(of, any_of(slots_list(of->scenario), record->start_ns, bit(PP_STAGE_AGGREGATE)));
  wanted update = any_of(models_list(of->scenario), record->start_ns, bit(PP_STAGE_MODEL_UPLOAD));
  update.device = record->device;
  found = found != NULL ? found : find(of, update);
  return found != NULL ? found : find(of, any_of(record->device, record->start_ns, server_stages));
}

/* A device that fell silent at that instant, for which nobody waits any more: what it did last. */
static const pp_stage_record *find_silence(const finder *of, int64_t time_ns) {
  const pp_stage_record *found = NULL;
  for (int32_t device = 0; device < of->scenario->device_count && found == NULL; device++) {
    int64_t sent_ns = time_ns - network_of(of->scenario, device)->down_latency_ns;
    found = find(of, any_of(device, time_ns, bit(PP_STAGE_DEVICE_UPDATE)));
    found = found != NULL ? found : find(of, any_of(device, sent_ns, bit(PP_STAGE_MODEL_DOWNLOAD)));
  }
  return found;
}

/* Where an aggregate does not wait for all: a model, the deadline (which counts from the end of the aggregate before),
 * what a slot or a replica did, or who fell silent. */
static const pp_stage_record *before_partial_aggregate(const finder *of, const pp_stage_record *record) {
  int64_t start_ns = record->start_ns, deadline_ns = of->scenario->deadline_ns, slots = slots_list(of->scenario);
  const pp_stage_record *found = find(of, any_of(models_list(of->scenario), start_ns, bit(PP_STAGE_MODEL_UPLOAD)));
  if (found == NULL && deadline_ns > 0)
    found = find(of, any_of(slots, start_ns - deadline_ns, bit(PP_STAGE_AGGREGATE)));
  if (found == NULL && start_ns != deadline_ns)
    found = find(of, any_of(slots, start_ns, server_stages));
  return found != NULL || start_ns == deadline_ns ? found : find_silence(of, start_ns);
}

/* What ended, or arrived, when the record started and held it until then; NULL: nothing did. */
static const pp_stage_record *predecessor(const finder *of, const pp_stage_record *record) {
  const pp_stage_record *found = NULL;
  int64_t start_ns = record->start_ns;
  switch ((pp_stage)record->stage) {
  case PP_STAGE_FORWARD:
  case PP_STAGE_BACKWARD:
  case PP_STAGE_DEVICE_UPDATE:
    return before_device_stage(of, record);
  case PP_STAGE_SERVER_FORWARD:
  case PP_STAGE_SERVER_BACKWARD:
  case PP_STAGE_SERVER_UPDATE:
  case PP_STAGE_SERVER_BACKWARD_INPUT:
  case PP_STAGE_SERVER_BACKWARD_WEIGHT:
    return before_server_stage(of, record);
  case PP_STAGE_UPLOAD:
    found = find_same(of, record, start_ns, bit(PP_STAGE_FORWARD));
    break;
  case PP_STAGE_DOWNLOAD:
    found = find_same(of, record, start_ns, bit(PP_STAGE_SERVER_BACKWARD) | bit(PP_STAGE_SERVER_BACKWARD_INPUT));
    break;
  case PP_STAGE_MODEL_UPLOAD:
    found = find(of, any_of(record->device, start_ns, bit(PP_STAGE_DEVICE_UPDATE)));
    break;
  case PP_STAGE_AGGREGATE:
    if (of->scenario->buffer > 0)
      return before_async_aggregate(of, record);
    if (of->comes_and_goes)
      return before_partial_aggregate(of, record);
    found = find(of, any_of(models_list(of->scenario), start_ns, bit(PP_STAGE_MODEL_UPLOAD)));
    return found != NULL ? found : find(of, any_of(slots_list(of->scenario), start_ns, server_stages));
  case PP_STAGE_MODEL_DOWNLOAD:
    if (of->scenario->buffer > 0)
      return before_async_model(of, record);
    /* In `sl` what another device has just uploaded. */
    found = find(of, any_of(slots_list(of->scenario), start_ns, bit(PP_STAGE_AGGREGATE)));
    if (found == NULL)
      found = find(of, any_of(models_list(of->scenario), start_ns, bit(PP_STAGE_MODEL_UPLOAD)));
    break;
  }
  return found != NULL ? found : find_holder(of, record);
}

/* The last that ended by then in the device's list, or among what slots did. */
static const pp_stage_record *last_before(const finder *of, const pp_stage_record *record) {
  const pp_stage_record *last = NULL;
  int64_t lists[] = {record->device, slots_list(of->scenario)};
  for (int which = record->device >= 0 ? 0 : 1; which < 2; which++) {
    int64_t at = lower_bound(of, lists[which], record->start_ns + 1) - 1;
    if (at < 0 || of->entries[at].list != lists[which])
      continue;
    const pp_stage_record *other = &of->records[of->entries[at].record];
    if (other != record && (last == NULL || other->end_ns > last->end_ns))
      last = other;
  }
  return last;
}

static void add(pp_path *path, const pp_scenario *scenario, int32_t device, int kind, int64_t length_ns) {
  if (length_ns == 0)
    return;
  int group = device < 0 ? -1 : scenario->classes[scenario->class_of[device]].group;
  pp_path_part *part = &path->parts[(group + 1) * PP_PATH_KINDS + kind];
  *part = (pp_path_part){group, kind, part->count + 1, part->length_ns + length_ns};
}

static void walk(const finder *of, const pp_stage_record *record, pp_path *path) {
  int64_t time_ns = path->makespan_ns;
  while (record != NULL) {
    /* Between its end and what it led to: a transfer's latency, else a wait. */
    int64_t latency_ns = latency_of(of->scenario, record), after_ns = time_ns - record->end_ns;
    if (after_ns < latency_ns)
      latency_ns = after_ns;
    add(path, of->scenario, record->device, PP_PATH_WAIT, after_ns - latency_ns);
    add(path, of->scenario, record->device, is_up(record->stage) ? PP_PATH_UP_LATENCY : PP_PATH_DOWN_LATENCY,
        latency_ns);
    add(path, of->scenario, record->device, record->stage, record->end_ns - record->start_ns);
    time_ns = record->start_ns;
    const pp_stage_record *before = predecessor(of, record);
    /* Who comes and goes does so at instants of its own, which nothing in the run has led to. */
    if (before == NULL && time_ns > 0 && !of->comes_and_goes)
      before = last_before(of, record);
    if (before == NULL)
      add(path, of->scenario, record->device, PP_PATH_WAIT, time_ns);
    record = before;
  }
}

static int compare_parts(const void *a, const void *b) {
  const pp_path_part *x = a, *y = b;
  if (x->length_ns != y->length_ns)
    return x->length_ns > y->length_ns ? -1 : 1;
  if (x->group != y->group)
    return x->group < y->group ? -1 : 1;
  return x->kind < y->kind ? -1 : x->kind > y->kind;
}

pp_status pp_path_find(const pp_scenario *scenario, int64_t makespan_ns, int64_t count, const pp_stage_record *records,
                       pp_path *out) {
  finder of;
  int groups = 0;
  for (int index = 0; index < scenario->class_count; index++)
    groups = scenario->classes[index].group >= groups ? scenario->classes[index].group + 1 : groups;
  *out = (pp_path){0};
  size_t room = (size_t)(groups + 1) * PP_PATH_KINDS;
  PP_TRY(pp_alloc(room, sizeof *out->parts, "the critical path", &out->parts));
  pp_status status = finder_init(&of, scenario, count, records);
  if (status != NULL) {
    pp_path_fini(out);
    return status;
  }
  const pp_stage_record *last = NULL;
  int64_t last_ns = 0;
  for (int64_t at = 0; at < count; at++) {
    int64_t end_ns = records[at].end_ns + latency_of(scenario, &records[at]);
    end_ns = end_ns < makespan_ns ? end_ns : makespan_ns; /* who departs does not see the arrival */
    if (end_ns > last_ns) {
      last_ns = end_ns;
      last = &records[at];
    }
  }
  out->makespan_ns = makespan_ns;
  walk(&of, last, out);
  free(of.entries);
  qsort(out->parts, room, sizeof *out->parts, compare_parts);
  while (out->part_count < (int)room && out->parts[out->part_count].length_ns > 0)
    out->part_count++;
  return NULL;
}

static pp_status append_round(int64_t *count, int64_t *room, pp_stage_record **records, const pp_round_times *round) {
  if (*count + round->record_count > *room) {
    int64_t larger = 2 * (*count + round->record_count);
    pp_stage_record *grown = realloc(*records, (size_t)larger * sizeof *grown);
    if (grown == NULL)
      return pp_fail_memory("the stages of the run", (unsigned long long)larger * sizeof *grown);
    *records = grown;
    *room = larger;
  }
  if (round->record_count > 0)
    memcpy(*records + *count, round->records, (size_t)round->record_count * sizeof **records);
  *count += round->record_count;
  return NULL;
}

pp_status pp_path_of_scenario(const pp_scenario *scenario, pp_path *out) {
  pp_timeline *timeline = NULL;
  pp_stage_record *records = NULL;
  int64_t count = 0, room = 0;
  pp_round_times times = {.is_last = false};
  pp_timeline_totals totals;
  PP_TRY(pp_timeline_create(scenario, true, &timeline));
  pp_status status = NULL;
  while (!times.is_last) {
    PP_TRY_GOTO(status, pp_timeline_next_round(timeline, &times), done);
    PP_TRY_GOTO(status, append_round(&count, &room, &records, &times), done);
  }
  PP_TRY_GOTO(status, pp_timeline_finish(timeline, &totals), done);
  status = pp_path_find(scenario, totals.makespan_ns, count, records, out);
done:
  pp_timeline_destroy(timeline);
  free(records);
  return status;
}

void pp_path_fini(pp_path *path) {
  free(path->parts);
  *path = (pp_path){0};
}

const char *pp_path_kind_name(int kind) {
  switch (kind) {
  case PP_PATH_UP_LATENCY:
    return "up_latency";
  case PP_PATH_DOWN_LATENCY:
    return "down_latency";
  case PP_PATH_WAIT:
    return "wait";
  default:
    return pp_stage_name((pp_stage)kind);
  }
}
