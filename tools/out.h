/* SPDX-License-Identifier: MIT */
/*
 * out: what commands print: aligned tables, sizes, ages, JSON documents. Standard output is for results; notes and
 * errors go to standard error. Write errors are noticed by out_finish (a full disk, a closed pipe).
 */
#ifndef CAIRN_OUT_H
#define CAIRN_OUT_H

#include "../index/json.h"

#include <stdbool.h>

#include <stdint.h>

/* A table is collected, then printed with columns as wide as needed. Cells are copied, control characters in them
 * become spaces (commands of several lines in histories, hostile names). */
struct table {
    char **cells;
    size_t columns, count, cap;
    bool *right; /* per column: aligned right */
    bool failed; /* a cell was lost for want of memory */
};
/* spec: column titles divided by "|"; a title that begins with ">" is aligned right. */
void table_init(struct table *t, const char *spec);
void table_cell(struct table *t, const char *text);
void table_cellf(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int table_print(struct table *t, struct err *e);
void table_release(struct table *t);

/* "188MB": decimal, three digits, as docker shows sizes. */
void human_size(uint64_t n, char out[16]);
/* "5 minutes ago"; times in the future are "just now". */
void human_age(int64_t then, char out[32]);
/* RFC 3339, UTC. */
void rfc3339(int64_t t, char out[32]);

/* Prints the document and a newline; takes j over (NULL: out of memory). */
int out_json(struct json *j, struct err *e);
/* Flushes standard output: ERR_SYSTEM when something couldn't be written. */
int out_finish(struct err *e);
/* Bytes of a name, made safe for a terminal: control characters as \ooo. */
void out_name(const char *s, size_t n);
/* For messages and cells: control characters in s are replaced; returns s. */
char *out_plain(char *s, char instead);

#endif
