/* SPDX-License-Identifier: MIT */
/* errmap: damage is EIO, never ENOENT; nothing maps to 0. */
#include "../../fs/errmap.h"

#include "tap.h"

#include <errno.h>

static int map(enum err_kind kind, int errnum)
{
    struct err e = {.kind = kind, .errnum = errnum};
    return errmap(&e);
}

int main(void)
{
    is_int(map(ERR_DAMAGED, 0), EIO, "damage");
    is_int(map(ERR_SYSTEM, ENOENT), EIO, "a missing pack looks like no missing file");
    is_int(map(ERR_SYSTEM, ENOSPC), EIO, "a full disk is not the reader's");
    is_int(map(ERR_SYSTEM, EACCES), EIO, "an unreadable pack is no missing permission");
    is_int(map(ERR_NOT_FOUND, 0), ESTALE, "a node that is gone");
    is_int(map(ERR_NOMEM, 0), ENOMEM, "no memory");
    is_int(map(ERR_UNSUPPORTED, 0), EOPNOTSUPP, "unsupported");
    is_int(map(ERR_CANCELLED, 0), EINTR, "cancelled");
    for (int k = ERR_NONE; k <= ERR_NOMEM; k++)
        ok(map((enum err_kind)k, 0) > 0 && map((enum err_kind)k, 0) != ENOENT, "kind %d is an error and not ENOENT", k);
    return tap_done();
}
