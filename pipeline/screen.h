/* The terminal's width. */
#ifndef PIPELINE_SCREEN_H
#define PIPELINE_SCREEN_H

/* Characters of a line on the terminal that a descriptor writes to: COLUMNS if it is set, else what the terminal says;
 * 0 where there is none, for whoever reads a pipe or a file wants whole lines. */
int screen_width(int fd);

#endif
