/* Room on the stacks, whatever the limit is that the program was started with (ulimit -s). */
#ifndef PIPELINE_STACK_H
#define PIPELINE_STACK_H

/* Calls f(argc, argv) with STACK_BYTES of stack and returns what it returns. Threads that are made from then on have as
 * much, of OpenMP and of libraries too: a small limit would be theirs, and a large one is address space that each
 * takes. -1: there is no memory for it. */
#define STACK_BYTES (8 << 20)
int stack_call(int (*f)(int argc, char **argv), int argc, char **argv);

#endif
