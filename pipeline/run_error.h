/* error.json: why the last run in a folder failed. The next one that succeeds removes it. */
#ifndef PIPELINE_RUN_ERROR_H
#define PIPELINE_RUN_ERROR_H

/* Writes OUT/error.json {status, message, stage, time} with the current message, unless another run is at work there or
 * rc is no failure of the run itself (an interruption, which is gone on from). stage: where it ended, or NULL. A file
 * that cannot be written is no further error; the message stays as it was. */
void run_error_write(const char *out, int rc, const char *stage);
/* The same of a run that said nothing, as one that was killed. ERR_IO: it cannot be written. */
int run_error_write_text(const char *out, int status, const char *message);
void run_error_remove(const char *out);

#endif
