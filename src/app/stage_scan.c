#include "app/stage_scan.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

enum { BLOCK_ROWS = 8192 };

pp_status pp_stage_scan(const pp_report *report, const pp_report_run *run, pp_stage_visitor take, void *context) {
  const pp_results *results = report->files[run->file];
  int64_t count = run->info.stage_count;
  pp_stage_record *block = NULL;
  PP_TRY(pp_alloc(BLOCK_ROWS, sizeof *block, "stages", &block));
  pp_status status = NULL;
  bool more = true;
  for (int64_t first = 0; first < count && more; first += BLOCK_ROWS) {
    int64_t rows = count - first < BLOCK_ROWS ? count - first : BLOCK_ROWS;
    PP_TRY_GOTO(status, pp_results_read_stages(results, run->info.run, first, rows, block), done);
    for (int64_t row = 0; row < rows && more; row++) {
      if (block[row].device >= run->info.device_count) {
        status =
            pp_fail(PP_CODE_INPUT, "%s is damaged: row %lld of run %d's stages is of device %d, allowed is -1 to %lld",
                    pp_results_path(results), (long long)(first + row), run->info.run, block[row].device,
                    (long long)run->info.device_count - 1);
        goto done;
      }
      more = take(&block[row], context);
    }
  }
done:
  free(block);
  return status;
}

int64_t pp_stage_latency_ns(const pp_report_run *run, int group, bool up) {
  char key[80];
  snprintf(key, sizeof key, "devices.%d.network.%s_latency_ms", group, up ? "up" : "down");
  const char *text = pp_report_setting_text(run, key);
  if (text[0] == '\0') {
    snprintf(key, sizeof key, "devices.%d.network.latency_ms", group);
    text = pp_report_setting_text(run, key);
  }
  return llround(strtod(text, NULL) * 1e6);
}

pp_status pp_stage_groups(const pp_report *report, const pp_report_run *run, int32_t **out) {
  int64_t count = run->info.device_count;
  pp_device_row *rows = NULL;
  int32_t *groups = NULL;
  PP_TRY(pp_alloc(BLOCK_ROWS, sizeof *rows, "rows of devices", &rows));
  pp_status status = NULL;
  PP_TRY_GOTO(status, pp_alloc((size_t)count, sizeof *groups, "groups of devices", &groups), done);
  for (int64_t first = 0; first < count; first += BLOCK_ROWS) {
    int64_t block = count - first < BLOCK_ROWS ? count - first : BLOCK_ROWS;
    PP_TRY_GOTO(status, pp_results_read_devices(report->files[run->file], run->info.run, first, block, rows), done);
    for (int64_t row = 0; row < block; row++)
      groups[first + row] = rows[row].group;
  }
done:
  free(rows);
  if (status == NULL)
    *out = groups;
  else
    free(groups);
  return status;
}
