/* SPDX-License-Identifier: MIT */
/* errmap: the table of errmap.h. */
#include "errmap.h"

#include <errno.h>

int errmap(const struct err *e)
{
    switch (e->kind) {
    case ERR_NOMEM:
        return ENOMEM;
    case ERR_NOT_FOUND:
        /* A node id whose object is gone: as a file handle of a deleted file. */
        return ESTALE;
    case ERR_UNSUPPORTED:
        return EOPNOTSUPP;
    case ERR_CANCELLED:
        return EINTR;
    case ERR_NONE:
    case ERR_SYSTEM: /* the store's trouble (EMFILE, ENOSPC, ENOENT of a pack…), not the caller's */
    case ERR_INPUT:
    case ERR_LIMIT:
    case ERR_DAMAGED:
    case ERR_EXISTS:
    case ERR_USAGE:
    case ERR_BUSY:
        break;
    }
    return EIO;
}
