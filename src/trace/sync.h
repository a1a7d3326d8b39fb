/* Names of files that last. */
#ifndef PP_TRACE_SYNC_H
#define PP_TRACE_SYNC_H

/* Local. The name itself is durable once its directory is. */
void pp_sync_directory(const char *path);

#endif
