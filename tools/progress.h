/* SPDX-License-Identifier: MIT */
/*
 * progress: a bar on a terminal (standard error), nothing elsewhere unless verbose: then a line every few seconds.
 */
#ifndef CAIRN_PROGRESS_H
#define CAIRN_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    bool tty, lines, drawn;
    int64_t started, last; /* milliseconds */
};

void progress_init(struct progress *p, bool quiet, bool verbose);
/* total 0: not known. */
void progress_show(struct progress *p, const char *what, uint64_t done, uint64_t total);
void progress_end(struct progress *p); /* clears the bar */

#endif
