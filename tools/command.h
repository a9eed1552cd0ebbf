/* SPDX-License-Identifier: MIT */
/*
 * command: the contract between the table of commands (table.c) and everything that is made from it: parsing, --help,
 * the manual pages, shell completion, and the check that they agree.
 *
 * One file a verb: tools/cmd_<verb>.c begins with what it is for and ends with its `const struct command cmd_<verb>`.
 * A command's run() gets an invocation whose options and arguments were checked against the table; it returns an exit
 * code, most often by way of `return fail(in, &e);`. It prints through out.h. There are no arrows between commands.
 */
#ifndef CAIRN_COMMAND_H
#define CAIRN_COMMAND_H

#include "opt.h"

#include "../index/err.h"
#include "../index/store.h"

enum exit_code {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_DAMAGED = 3,
    EXIT_CANCELLED = 130, /* as shells expect it of SIGINT */
};

/* What an argument is, for completion. */
enum complete_kind {
    COMPLETE_NONE,
    COMPLETE_FILE,
    COMPLETE_DIR,
    COMPLETE_OBJECT, /* images, packages, layers of the store */
    COMPLETE_COMMAND,
    COMPLETE_SHELL,
};

enum command_flags {
    COMMAND_HIDDEN = 1 << 0,      /* not in the list of commands */
    COMMAND_STOP_AT_ARG = 1 << 1, /* options end at the first argument: what follows belongs to somebody else */
};

struct example {
    const char *line, *what;
};

struct invocation;

struct command {
    const char *name;
    const char *args;    /* "SOURCE..."; NULL: none */
    const char *summary; /* one line, no full stop */
    /* Paragraphs with an empty line between; a line that begins with two spaces stands as it is. */
    const char *description;
    const struct opt_spec *opts;    /* ends with a NULL name; may be NULL */
    const struct example *examples; /* ends with a NULL line */
    int min_args, max_args;         /* max_args < 0: any number */
    enum complete_kind complete;
    int flags;
    int error_code;         /* 0: as enum exit_code has it; else fail() and wrong usage give this one (run: 125) */
    const char *exit_codes; /* more about exit codes, as description; may be NULL */
    int (*run)(struct invocation *in);
};

struct invocation {
    const struct command *cmd;
    struct opts opts; /* opt.h: opt_flag(&in->opts, "name") … */
    char **args;      /* NULL-terminated, borrowed from argv */
    int arg_count;
    const char *store; /* --store; NULL: see invocation_store */
    bool json, quiet, verbose;
};

/* All commands, in the order of help; NULL at the end. */
extern const struct command *const command_table[];
/* NULL when there is none of that name. */
const struct command *command_find(const char *name);
/* Options that every command takes; ends with a NULL name. */
extern const struct opt_spec global_opts[];

enum store_use {
    USE_READ,   /* a store that was asked for by name must be there; the default one is made */
    USE_CREATE, /* made when it isn't there */
};
/* Where the store is: --store, CAIRN_STORE, or the default; the caller frees it. */
int invocation_store_path(const struct invocation *in, char **ret, struct err *e);
/* Opens it; store_close it. */
int invocation_open(const struct invocation *in, enum store_use use, struct store **ret, struct err *e);

/* Prints "cairn: <verb>: <text>" and gives the exit code that goes with the kind. */
int fail(const struct invocation *in, const struct err *e);
/* The code alone. */
int exit_code_of(const struct command *cmd, const struct err *e);
/* "cairn: <verb>: …" on stderr, without an error; not with -q. */
void note(const struct invocation *in, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
