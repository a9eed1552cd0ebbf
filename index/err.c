/* SPDX-License-Identifier: MIT */
#define CAIRN_ERR_C
#include "err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char ellipsis[] = "\xe2\x80\xa6";

static void mark_cut(char *text, size_t cap)
{
    memcpy(text + cap - sizeof ellipsis, ellipsis, sizeof ellipsis);
}

static void vput(struct err *e, const char *fmt, va_list ap)
{
    int n = vsnprintf(e->text, sizeof e->text, fmt, ap);
    if (n < 0)
        e->text[0] = '\0';
    else if ((size_t)n >= sizeof e->text)
        mark_cut(e->text, sizeof e->text);
}

int err_set(struct err *e, enum err_kind kind, const char *fmt, ...)
{
    va_list ap;
    e->kind = kind;
    e->errnum = 0;
    va_start(ap, fmt);
    vput(e, fmt, ap);
    va_end(ap);
    return -1;
}

int err_sys(struct err *e, int errnum, const char *fmt, ...)
{
    va_list ap;
    char why[128];
    e->kind = errnum == ENOMEM ? ERR_NOMEM : ERR_SYSTEM;
    e->errnum = errnum;
    va_start(ap, fmt);
    vput(e, fmt, ap);
    va_end(ap);
    size_t len = strlen(e->text);
    int n = snprintf(e->text + len, sizeof e->text - len, ": %s", strerror_r(errnum, why, sizeof why));
    if (n >= 0 && (size_t)n >= sizeof e->text - len)
        mark_cut(e->text, sizeof e->text);
    return -1;
}

int err_nomem(struct err *e)
{
    return err_set(e, ERR_NOMEM, "out of memory");
}

int err_wrap(struct err *e, const char *fmt, ...)
{
    char inner[sizeof e->text];
    va_list ap;
    memcpy(inner, e->text, sizeof inner);
    va_start(ap, fmt);
    vput(e, fmt, ap);
    va_end(ap);
    size_t len = strlen(e->text);
    int n = snprintf(e->text + len, sizeof e->text - len, ": %s", inner);
    if (n >= 0 && (size_t)n >= sizeof e->text - len)
        mark_cut(e->text, sizeof e->text);
    return -1;
}

void err_clear(struct err *e)
{
    e->kind = ERR_NONE;
    e->errnum = 0;
    e->text[0] = '\0';
}
