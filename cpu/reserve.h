/* Memory put aside for oneDNN. It is C++, and where an allocation of its fails it throws std::bad_alloc through its C
 * functions, which nothing can catch, or writes to a null pointer. */
#ifndef CPU_RESERVE_H
#define CPU_RESERVE_H

/* Puts RESERVE_BYTES aside, once. From then on C++ is given them when it finds no memory, and tries again. Where that
 * does not help either, where an exception is caught by nobody, or where oneDNN uses a null pointer, the program ends
 * with a message and status 1. ERR_NOMEM. */
#define RESERVE_BYTES (16 << 20)
int reserve_open(void);

/* Fills the reserve again if it was used. ERR_NOMEM: there is no memory to do so; what was begun has succeeded with the
 * last of it, and the work should end. */
int reserve_check(void);

#endif
