/* What is arranged before any library begins, and until when. */
#ifndef PP_APP_START_H
#define PP_APP_START_H

/* INT, TERM and USR1 are held from the program's first moment, so that none comes before its handlers. This lets them
 * through. */
void pp_start_release_signals(void);

#endif
