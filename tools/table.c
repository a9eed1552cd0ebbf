/* SPDX-License-Identifier: MIT */
/* table: the list of commands, in the order of help. */
#include "command.h"

#include <string.h>

/* clang-format off */
#define COMMANDS(X) \
    X(import) X(add) X(mount) X(umount) X(run) X(images) X(layers) X(packages) X(history) X(info) X(closure) X(why) \
    X(ls) X(cat) X(diff) X(tag) X(rm) X(export) X(verify) X(gc) X(rebuild) X(completion) X(mount_helper)
/* clang-format on */

#define DECLARE(name) extern const struct command cmd_##name;
COMMANDS(DECLARE)
#define ENTRY(name) &cmd_##name,
const struct command *const command_table[] = {COMMANDS(ENTRY) NULL};

const struct command *command_find(const char *name)
{
    for (size_t i = 0; command_table[i]; i++)
        if (!strcmp(command_table[i]->name, name))
            return command_table[i];
    return NULL;
}
