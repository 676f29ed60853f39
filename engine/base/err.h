/* Errors: functions that can fail return 0 or a negative enum err. The message is set once, where the fault is found,
 * and printed once, by the command. It is kept per thread. */
#ifndef ENGINE_BASE_ERR_H
#define ENGINE_BASE_ERR_H

#include <stdarg.h>

enum err {
	ERR_FAIL = -1,        /* internal, or a limit of the program            exit 1  */
	ERR_NOMEM = -2,       /* an allocation failed                           exit 1  */
	ERR_IO = -3,          /* the file system refused: full, permission      exit 1  */
	ERR_CONFIG = -4,      /* usage or config                                exit 2  */
	ERR_DATA = -5,        /* a data set is missing, truncated, inconsistent exit 3  */
	ERR_CHECKPOINT = -6,  /* a checkpoint is broken or does not fit         exit 4  */
	ERR_DEVICE = -7,      /* a device, an ISA or a backend lacks something  exit 5  */
	ERR_GATE = -8,        /* a gate or an acceptance limit was not met      exit 6  */
	ERR_INTERRUPTED = -9, /* SIGINT, SIGTERM, SIGHUP, SIGXCPU; what was finished is saved  exit 75 */
};

/* Sets the message and returns `code`, so that callers write `return err_set(ERR_IO, "%s: short read", path);`. */
int err_set(enum err code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Puts "context: " in front of the current message; returns `code` unchanged. For use while passing an error up. */
int err_context(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The current message, "" if none; borrowed, valid until the next err_* call of this thread. */
const char *err_message(void);
void err_clear(void);
/* The exit status of the program for a result: 0 for 0, otherwise as in enum err. */
int err_exit_status(int code);

#endif
