/* Runs code that must end in a fault, in a child process, and checks what it says. */
#ifndef SIMT_CHILD_H
#define SIMT_CHILD_H

/* fn runs in a child; it must not return. Fails the test unless the child was ended by a signal or by a sanitizer and
 * its stderr contains `message`. */
void child_must_die(void (*fn)(void), const char *message);

#endif
