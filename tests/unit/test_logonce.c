/* SPDX-License-Identifier: MIT */
/* logonce: each text once, and no end of memory. */
#include "../../fs/logonce.h"

#include "tap.h"

static void hook(void *ctx, const char *line)
{
    int *n = ctx;
    (void)line;
    ++*n;
}

static void keep(void *ctx, const char *line)
{
    snprintf(ctx, 64, "%s", line);
}

int main(void)
{
    struct logonce l;
    int n = 0;
    char text[64] = "";
    logonce_init(&l, hook, &n);
    for (int i = 0; i < 100; i++)
        logonce(&l, "block %d is damaged", i % 10);
    is_int(n, 10, "ten texts, ten lines");
    for (int i = 0; i < 10 * LOGONCE_KEEP; i++)
        logonce(&l, "other %d", i);
    is_int(n, 10 + 10 * LOGONCE_KEEP, "each new text is told");
    logonce(&l, "block 0 is damaged");
    is_int(n, 11 + 10 * LOGONCE_KEEP, "long forgotten, told again");
    logonce_release(&l);
    logonce_init(&l, keep, text);
    logonce(&l, "%s: %d", "x", 5);
    is_str(text, "x: 5", "the text");
    logonce_release(&l);
    logonce_init(&l, NULL, NULL);
    logonce(&l, "nobody listens");
    ok(1, "without a hook");
    logonce_release(&l);
    return tap_done();
}
