/* SPDX-License-Identifier: MIT */
/*
 * opt: options of a command line, described by a table and parsed by it.
 *
 * Long options take "--name VALUE" or "--name=VALUE" and may be cut short while that is unambiguous; short ones
 * cluster ("-lR", "-oFILE"); "--" ends options. Options and arguments may be mixed, unless the caller stops at the first
 * argument. An error names the option and, where one is near, what was meant.
 * The values are borrowed from argv. One thread.
 */
#ifndef CAIRN_OPT_H
#define CAIRN_OPT_H

#include "../index/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum opt_type {
    OPT_FLAG,
    OPT_STRING, /* the last one counts */
    OPT_LIST,   /* all count */
    OPT_SIZE,   /* bytes: 4096, 64K, 64M, 1G (powers of 1024; "KiB", "MiB" … are the same) */
    OPT_NUMBER,
};

struct opt_spec {
    char letter;      /* 0: none */
    const char *name; /* long, without dashes */
    enum opt_type type;
    const char *arg;    /* how help calls the value */
    const char *help;   /* one sentence, no full stop */
    const char *values; /* "nar|layer": nothing else is taken; NULL: anything */
};

struct opt_value {
    const struct opt_spec *spec;
    unsigned count; /* how often it was given */
    const char *str;
    uint64_t num;
    const char **list; /* NULL-terminated; OPT_LIST that was given */
};

struct opts {
    struct opt_value *v;
    size_t n;
};

/*
 * Parses argv[1..]. specs: tables, NULL-terminated list, the first that knows an option wins. args gets what is no
 * option (room for argc + 1). stop_at_arg: the first argument ends options. *ret_stop (may be NULL) is the index in
 * argv behind what was parsed. ERR_USAGE: release nothing.
 */
int opts_parse(const struct opt_spec *const *specs, int argc, char **argv, bool stop_at_arg, struct opts *ret,
               char **args, int *ret_arg_count, int *ret_stop, struct err *e);
void opts_release(struct opts *o);

/* By long name, which must be in a table (asserted). Flag: how often it was given. */
unsigned opt_flag(const struct opts *o, const char *name);
/* NULL when not given. */
const char *opt_str(const struct opts *o, const char *name);
const char *const *opt_list(const struct opts *o, const char *name);
/* dflt when not given. */
uint64_t opt_num(const struct opts *o, const char *name, uint64_t dflt);

/* "64M" and so on; -1 when it is no size. */
int opt_parse_size(const char *s, uint64_t *ret);
/* How many letters have to be changed, left out, put in or swapped; for "did you mean". */
unsigned opt_distance(const char *a, const char *b);
/* Whether a is near enough to what was typed to be what was meant. */
bool opt_near(const char *typed, const char *a);

#endif
