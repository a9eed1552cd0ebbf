/* SPDX-License-Identifier: MIT */
/* err: context in front, errno behind, cut texts end with an ellipsis and never overrun. */
#include "../../index/err.h"

#include "tap.h"

#include <errno.h>

int main(void)
{
    struct err e = {0};
    is_int(err_set(&e, ERR_INPUT, "bad %s", "header"), -1, "err_set returns -1");
    is_int(e.kind, ERR_INPUT, "kind");
    is_str(e.text, "bad header", "text");
    is_int(err_wrap(&e, "entry %d", 3), -1, "err_wrap returns -1");
    is_str(e.text, "entry 3: bad header", "context comes in front");
    is_int(e.kind, ERR_INPUT, "kind stays");

    err_clear(&e);
    is_int(e.kind, ERR_NONE, "cleared");
    is_str(e.text, "", "cleared text");

    err_sys(&e, ENOENT, "open %s", "x");
    is_str(e.text, "open x: No such file or directory", "the system's words");
    is_int(e.kind, ERR_SYSTEM, "kind of a system error");
    is_int(e.errnum, ENOENT, "errno is kept");
    err_sys(&e, ENOMEM, "map");
    is_int(e.kind, ERR_NOMEM, "no memory is its own kind");
    is_int(err_nomem(&e), -1, "err_nomem returns -1");
    is_str(e.text, "out of memory", "its text");

    char longer[2 * sizeof e.text];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    err_set(&e, ERR_LIMIT, "%s", longer);
    is_int(strlen(e.text), sizeof e.text - 1, "a long text fills the room");
    ok(!strcmp(e.text + strlen(e.text) - 3, "\xe2\x80\xa6"), "and ends with an ellipsis");
    err_wrap(&e, "context");
    ok(!strncmp(e.text, "context: aaa", 12), "context of a long text");
    is_int(strlen(e.text), sizeof e.text - 1, "still in its room");
    err_sys(&e, EIO, "%s", longer);
    is_int(strlen(e.text), sizeof e.text - 1, "a long text with errno");
    return tap_done();
}
