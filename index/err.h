/* SPDX-License-Identifier: MIT */
/*
 * err: the one error convention of Cairn.
 *
 * A function that can fail returns 0 or -1 and takes a `struct err *` as its last parameter. On -1 the
 * struct says what went wrong; on 0 it is untouched. Outputs named ret_* are set only on success.
 * Each level adds its context in front while the error travels up:
 *
 *     if (pack_open(dir, id, &p, e) < 0)
 *         return err_wrap(e, "read block %" PRIu64, block);
 *
 * gives "read block 17: open pack 00ab…: No such file or directory". The innermost text should say what
 * to do where that isn't obvious. Text is kept in the struct (no allocation, so setting an error never
 * fails); what doesn't fit is cut at the end with "…".
 * A struct err belongs to one thread. Initialise with `struct err e = {0};`; nothing to release.
 * index/ and fs/ never print: they return.
 */
#ifndef CAIRN_ERR_H
#define CAIRN_ERR_H

#include <stdarg.h>

enum err_kind {
    ERR_NONE = 0,
    ERR_SYSTEM,      /* a system call failed: errnum holds errno */
    ERR_INPUT,       /* foreign bytes that can't be accepted (malformed, refused, mismatch) */
    ERR_LIMIT,       /* input is beyond a limit of limits.h */
    ERR_DAMAGED,     /* the store holds something else than it should: EIO to readers, exit code 3 */
    ERR_NOT_FOUND,   /* no such object, path or name */
    ERR_EXISTS,      /* name is taken by something else */
    ERR_USAGE,       /* the caller asked for something that makes no sense: exit code 2 */
    ERR_BUSY,        /* somebody else uses it */
    ERR_CANCELLED,   /* the user asked to stop */
    ERR_UNSUPPORTED, /* well-formed, but not something Cairn (or this machine) can do */
    ERR_NOMEM,
};

struct err {
    enum err_kind kind;
    int errnum; /* errno for ERR_SYSTEM, else 0 */
    char text[1024];
};

/* Each returns -1, so that `return err_set(e, …)` reads well. */
int err_set(struct err *e, enum err_kind kind, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* ERR_SYSTEM; ": <strerror(errnum)>" is added behind the text. */
int err_sys(struct err *e, int errnum, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int err_nomem(struct err *e);
/* Puts "text: " in front; kind and errnum stay. */
int err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Back to ERR_NONE, to use the struct again after an error that was dealt with. */
void err_clear(struct err *e);

/* The analyser sees one file at a time and can't know that these give -1. */
#if defined(__clang_analyzer__) && !defined(CAIRN_ERR_C)
#define err_set(...)  (err_set(__VA_ARGS__), -1)
#define err_sys(...)  (err_sys(__VA_ARGS__), -1)
#define err_nomem(e)  (err_nomem(e), -1)
#define err_wrap(...) (err_wrap(__VA_ARGS__), -1)
#endif

#endif
