/* The program's standard streams: what reaches them, and what happens when it cannot. */
#ifndef PIPELINE_OUTPUT_H
#define PIPELINE_OUTPUT_H

#include <stdbool.h>

/* To be called first in main.
 *
 * Descriptors 0, 1 and 2 that are closed are opened in such a way that using them fails. Otherwise the first files that
 * the program opens would get these numbers, and its messages would be written into them.
 *
 * From then on names of others (files, classes, labels, layers) cannot steer a terminal: control characters on standard
 * output and standard error are written as \u001b, which JSON reads as the same character. Line ends and tabs stay.
 *
 * Writing to a pipe that nobody reads is an error of write and ends nothing (SIGPIPE is ignored). */
void output_open(void);

/* Writes what is buffered. ERR_IO "standard output: REASON" if something could not be written, now or earlier. */
int output_check(void);
/* Nobody wants to read standard output: it was closed when the program began, or is a pipe whose reader has gone. */
bool output_unwanted(void);
/* Ends as programs do that write to a pipe that nobody reads, unless whoever started this one has SIGPIPE ignored. */
void output_end_unread(void);

/* Writes to standard error without the replacement of control characters. */
void output_control(const char *text);

#endif
