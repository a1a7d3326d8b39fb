/* HDF5 behind pp_status: its error stack is silenced and becomes one line. */
#ifndef PP_TRACE_H5_H
#define PP_TRACE_H5_H

#include <hdf5.h>
#include <stdbool.h>
#include <stdint.h>

#include "pipar/status.h"

/* An identifier that is closed when it leaves its scope, whatever it names. */
void pp_h5_close(hid_t *id);
#define PP_H5_AUTO __attribute__((cleanup(pp_h5_close))) hid_t

/* Runs `expr`, an HDF5 call or an assignment of its result, without HDF5 printing anything; a negative result returns
 * "cannot DOING PATH: reason" with `code`. */
#define PP_TRY_H5(code, doing, path, expr)                                                                             \
  do {                                                                                                                 \
    pp_status pp_h5_status_ = NULL;                                                                                    \
    H5E_BEGIN_TRY {                                                                                                    \
      if ((expr) < 0)                                                                                                  \
        pp_h5_status_ = pp_h5_fail((code), (doing), (path));                                                           \
    }                                                                                                                  \
    H5E_END_TRY                                                                                                        \
    if (pp_h5_status_ != NULL)                                                                                         \
      return pp_h5_status_;                                                                                            \
  } while (0)

/* Makes the error from HDF5's error stack: what the operating system said where it said something, otherwise the
 * innermost description. A write that failed is told as such (PP_CODE_RUN), whatever was being done. */
PP_MUST_CHECK pp_status pp_h5_fail(pp_code code, const char *doing, const char *path);

/* To be called before the first use of HDF5: nothing is left to its exit handler, which would go on writing to a file
 * that a failed write has left open. */
void pp_h5_begin(void);

/* Local. Closes a file with everything that is open in it. */
PP_MUST_CHECK pp_status pp_h5_file_close(hid_t *file, const char *path);

/* What `rows` rows are read or written with, of row_bytes in the file or in memory, whichever is more. HDF5 converts
 * them in a buffer that it clears each time, 1 MiB unless told: no larger than they are, then. The caller closes *out.
 * `doing` as above. */
PP_MUST_CHECK pp_status pp_h5_transfer(size_t row_bytes, int64_t rows, pp_code code, const char *doing,
                                       const char *path, hid_t *out);

/* Attributes of `location`, created; text has the fixed length of its bytes, at least `room`. `path` names the file in
 * errors. */
PP_MUST_CHECK pp_status pp_h5_attribute_text(hid_t location, const char *path, const char *name, const char *text,
                                             size_t room);
PP_MUST_CHECK pp_status pp_h5_attribute_integer(hid_t location, const char *path, const char *name, int64_t value);
PP_MUST_CHECK pp_status pp_h5_attribute_real(hid_t location, const char *path, const char *name, double value);
/* As h5py writes a bool: an enum FALSE, TRUE of one byte. */
PP_MUST_CHECK pp_status pp_h5_attribute_bool(hid_t location, const char *path, const char *name, bool value);
/* `count` texts as one array. */
PP_MUST_CHECK pp_status pp_h5_attribute_texts(hid_t location, const char *path, const char *name, int count,
                                              const char *const *texts);

/* New values of attributes that exist; a text is cut to the attribute's length. */
PP_MUST_CHECK pp_status pp_h5_attribute_set_text(hid_t location, const char *path, const char *name, const char *text);
PP_MUST_CHECK pp_status pp_h5_attribute_set_integer(hid_t location, const char *path, const char *name, int64_t value);
PP_MUST_CHECK pp_status pp_h5_attribute_set_real(hid_t location, const char *path, const char *name, double value);

/* Values of attributes; missing ones are errors (PP_CODE_INPUT). The text is the caller's to free. */
PP_MUST_CHECK pp_status pp_h5_attribute_get_text(hid_t location, const char *path, const char *name, char **out);
PP_MUST_CHECK pp_status pp_h5_attribute_get_integer(hid_t location, const char *path, const char *name, int64_t *out);
PP_MUST_CHECK pp_status pp_h5_attribute_get_real(hid_t location, const char *path, const char *name, double *out);
PP_MUST_CHECK pp_status pp_h5_attribute_get_bool(hid_t location, const char *path, const char *name, bool *out);

/* Opens for reading: a finished file plainly, one that is being written or whose writer was killed as a SWMR reader.
 * Errors (PP_CODE_INPUT): missing, not HDF5, cut short. */
PP_MUST_CHECK pp_status pp_h5_open_reading(const char *path, hid_t *out);

#endif
