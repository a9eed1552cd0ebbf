/* SPDX-License-Identifier: MIT */
#include "out.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void table_init(struct table *t, const char *spec)
{
    *t = (struct table){.columns = 1};
    for (const char *p = spec; *p; p++)
        t->columns += *p == '|';
    t->right = calloc(t->columns, sizeof *t->right);
    t->failed = !t->right;
    for (size_t c = 0; c < t->columns && !t->failed; c++) {
        size_t n = strcspn(spec, "|");
        bool right = *spec == '>';
        t->right[c] = right;
        table_cellf(t, "%.*s", (int)(n - right), spec + right);
        spec += n + (spec[n] == '|');
    }
}

void table_cell(struct table *t, const char *text)
{
    if (t->count == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 64;
        char **v = realloc(t->cells, cap * sizeof *v);
        if (!v) {
            t->failed = true;
            return;
        }
        t->cells = v;
        t->cap = cap;
    }
    t->cells[t->count] = strdup(text);
    if (t->cells[t->count])
        out_plain(t->cells[t->count++], ' ');
    else
        t->failed = true;
}

void table_cellf(struct table *t, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    table_cell(t, text);
}

/* Characters, not bytes, so that UTF-8 aligns. */
static size_t width(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += (*s & 0xc0) != 0x80;
    return n;
}

int table_print(struct table *t, struct err *e)
{
    size_t *w = calloc(t->columns, sizeof *w);
    if (!w || t->failed) {
        free(w);
        return err_nomem(e);
    }
    for (size_t i = 0; i < t->count; i++) {
        size_t n = width(t->cells[i]);
        if (n > w[i % t->columns])
            w[i % t->columns] = n;
    }
    for (size_t i = 0; i < t->count; i++) {
        size_t c = i % t->columns, pad = w[c] - width(t->cells[i]);
        bool last = c + 1 == t->columns;
        if (t->right[c])
            printf("%*s%s", (int)pad, "", t->cells[i]);
        else
            printf("%s%*s", t->cells[i], last ? 0 : (int)pad, "");
        fputs(last ? "\n" : "   ", stdout);
    }
    free(w);
    return 0;
}

void table_release(struct table *t)
{
    for (size_t i = 0; i < t->count; i++)
        free(t->cells[i]);
    free(t->cells);
    free(t->right);
    *t = (struct table){0};
}

void human_size(uint64_t n, char out[16])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double v = (double)n;
    size_t u = 0;
    while (v >= 999.5 && u + 1 < sizeof units / sizeof *units) {
        v /= 1000;
        u++;
    }
    snprintf(out, 16, "%.*f%s", u == 0 || v >= 99.95 ? 0 : v >= 9.995 ? 1 : 2, v, units[u]);
}

void human_age(int64_t then, char out[32])
{
    static const struct {
        int64_t seconds;
        const char *name;
    } units[] = {{31557600, "year"}, {2629800, "month"}, {604800, "week"},
                 {86400, "day"},     {3600, "hour"},     {60, "minute"}};
    int64_t age;
    if (__builtin_sub_overflow((int64_t)time(NULL), then, &age))
        age = INT64_MAX;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        int64_t n = age / units[i].seconds;
        if (n >= 1) {
            snprintf(out, 32, "%" PRId64 " %s%s ago", n, units[i].name, n == 1 ? "" : "s");
            return;
        }
    }
    snprintf(out, 32, age > 1 ? "%" PRId64 " seconds ago" : "just now", age);
}

void rfc3339(int64_t t, char out[32])
{
    time_t tt = (time_t)t;
    struct tm tm;
    if (!gmtime_r(&tt, &tm) || strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        snprintf(out, 32, "%" PRId64, t);
}

int out_json(struct json *j, struct err *e)
{
    struct buf b = {0};
    int rc = j && json_dump(j, 2, &b) == 0 ? 0 : err_nomem(e);
    if (rc == 0) {
        fwrite(b.p, 1, b.len, stdout);
        putchar('\n');
    }
    buf_release(&b);
    json_unref(j);
    return rc;
}

int out_finish(struct err *e)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    return err_sys(e, errno ? errno : EIO, "write standard output");
}

/* Bytes of the control character at s: C0, DEL, or C1 as UTF-8 (U+009B begins a sequence as ESC [ does); 0: none. */
static size_t control(const char *s, size_t n)
{
    unsigned char c = (unsigned char)s[0], next = n > 1 ? (unsigned char)s[1] : 0;
    if (c < ' ' || c == 0x7f)
        return 1;
    return c == 0xc2 && next >= 0x80 && next < 0xa0 ? 2 : 0;
}

void out_name(const char *s, size_t n)
{
    bool tty = isatty(STDOUT_FILENO);
    for (size_t i = 0; i < n; i++) {
        size_t k = tty ? control(s + i, n - i) : 0;
        for (size_t j = 0; j < k; j++)
            printf("\\%03o", (unsigned char)s[i + j]);
        if (k)
            i += k - 1;
        else
            putchar(s[i]);
    }
}

char *out_plain(char *s, char instead)
{
    size_t n = strlen(s), to = 0;
    for (size_t i = 0, k; i < n; i++) {
        if ((k = control(s + i, n - i)))
            i += k - 1;
        s[to++] = k ? instead : s[i];
    }
    s[to] = '\0';
    return s;
}
