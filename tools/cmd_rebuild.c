/* SPDX-License-Identifier: MIT */
/* cairn rebuild */
#include "../index/store.h"
#include "command.h"

#include <stdio.h>

static int run(struct invocation *in, struct err *e)
{
    if (store_rebuild(in->store, e) < 0)
        return -1;
    if (!in->quiet)
        puts("the catalog was made anew from the packs");
    return EXIT_DONE;
}

const struct command cmd_rebuild = {
    .name = "rebuild",
    .args = "",
    .summary = "make the catalog anew from the packs",
    .text = "For when catalog.db is damaged or lost: the packs hold all that it says. Refused while mounts or imports "
            "use the store.",
    .examples = "cairn rebuild && cairn verify",
    .run = run,
};
