/* SPDX-License-Identifier: MIT */
/*
 * tap: checks of a unit test, printed as TAP. A test is a main() of ok()/is_*() calls that ends in
 * `return tap_done();`. Exit code 0 only when all held. One thread.
 */
#ifndef CAIRN_TAP_H
#define CAIRN_TAP_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int tap_run, tap_failed;

#define ok(cond, ...)          tap_ok(!!(cond), #cond, __FILE__, __LINE__, __VA_ARGS__)
#define is_str(got, want, ...) tap_str((got), (want), __FILE__, __LINE__, __VA_ARGS__)
#define is_int(got, want, ...) tap_int((long long)(got), (long long)(want), __FILE__, __LINE__, __VA_ARGS__)

__attribute__((format(printf, 5, 6), unused)) static int tap_ok(int good, const char *expr, const char *file, int line,
                                                                const char *fmt, ...)
{
    va_list ap;
    printf("%sok %d - ", good ? "" : "not ", ++tap_run);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    if (!good) {
        tap_failed++;
        printf("# %s:%d: %s\n", file, line, expr);
    }
    return good;
}

__attribute__((format(printf, 5, 6), unused)) static int tap_str(const char *got, const char *want, const char *file,
                                                                 int line, const char *fmt, ...)
{
    char name[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    int good = got && want ? !strcmp(got, want) : got == want;
    tap_ok(good, "strings are equal", file, line, "%s", name);
    if (!good)
        printf("#   got:  %s\n#   want: %s\n", got ? got : "(null)", want ? want : "(null)");
    return good;
}

__attribute__((format(printf, 5, 6), unused)) static int tap_int(long long got, long long want, const char *file,
                                                                 int line, const char *fmt, ...)
{
    char name[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    int good = got == want;
    tap_ok(good, "numbers are equal", file, line, "%s", name);
    if (!good)
        printf("#   got:  %lld\n#   want: %lld\n", got, want);
    return good;
}

static inline int tap_done(void)
{
    printf("1..%d\n", tap_run);
    return tap_failed ? 1 : 0;
}

#endif
