/* SPDX-License-Identifier: MIT */
/* cairn completion */
#include "command.h"

static int run(struct invocation *in, struct err *e)
{
    return help_completion(in->args[0], e);
}

const struct command cmd_completion = {
    .name = "completion",
    .args = "bash|zsh|fish",
    .summary = "print completion for a shell",
    .examples = "cairn completion bash >/etc/bash_completion.d/cairn",
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
