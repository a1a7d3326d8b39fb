/* What must not stay behind where a signal ends the program: files and directories that are not finished, and whoever
 * works on them. */
#ifndef PP_APP_LEFTOVER_H
#define PP_APP_LEFTOVER_H

#include <stdbool.h>
#include <sys/types.h>

/* Local, once. From here on HUP, INT, PIPE and TERM, unless they are ignored, remove what is noted below before they
 * end the program as ever. */
void pp_leftover_begin(void);

/* mkstemp and mkdtemp whose result is noted; `path` ends in XXXXXX. Return -1 and false with errno. */
int pp_leftover_make_file(char *path);
bool pp_leftover_make_directory(char *path);
/* fork, and waitpid without its interruptions: of one child at a time, which is ended before what is noted is removed.
 */
pid_t pp_leftover_fork(void);
pid_t pp_leftover_wait(pid_t pid, int *how);
/* Notes a file that somebody makes; a directory is to be noted before what it holds. What finds no room is not noted.
 */
void pp_leftover_note(const char *path);
/* rename, where `to` is noted if it lies in a directory that is. */
bool pp_leftover_rename(const char *from, const char *to);
/* Forgets what has got its name, or is no more; of a directory also what it holds. */
void pp_leftover_forget(const char *path);

#endif
