/* The program's version and the commit that it was built from ("unknown" outside a checkout, "-dirty" with changes). */
#ifndef PIPELINE_VERSION_H
#define PIPELINE_VERSION_H

extern const char program_version[], program_commit[];

#endif
