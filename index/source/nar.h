/* SPDX-License-Identifier: MIT */
/*
 * nar: the Nix archive format, read strictly and written canonically.
 *
 *   archive   = str("nix-archive-1") node
 *   node      = str("(") str("type") body str(")")
 *   body      = str("regular") [ str("executable") str("") ] str("contents") str(bytes)
 *             | str("symlink") str("target") str(target)
 *             | str("directory") { str("entry") str("(") str("name") str(n) str("node") node str(")") }
 *   str(s)    = u64le(len) s, zero bytes up to a multiple of 8
 *
 * There is exactly one encoding of a tree, and the parser accepts nothing else: names ascend strictly by bytes, padding
 * is zero, depth, names and targets are bounded (limits.h). So writing what was parsed gives the same bytes again. The
 * parser doesn't recurse and allocates nothing that grows with a length from the input.
 */
#ifndef CAIRN_NAR_H
#define CAIRN_NAR_H

#include "../stream.h"

#define NAR_TOKEN_MAX 32 /* longest keyword that is read at all */

/*
 * What the parser tells, in the order of the archive. Names belong to the parser, are valid during the call and aren't
 * NUL-terminated; the root has the empty name. Each returns 0, or -1 with e set, which ends the parse. All must be set,
 * but `bytes`, which may be NULL.
 */
struct nar_events {
    int (*dir_begin)(void *ctx, const char *name, size_t len, struct err *e);
    int (*dir_end)(void *ctx, struct err *e);
    int (*file_begin)(void *ctx, const char *name, size_t len, bool executable, uint64_t size, struct err *e);
    int (*file_data)(void *ctx, const uint8_t *p, size_t n, struct err *e); /* sums up to size */
    int (*file_end)(void *ctx, struct err *e);
    int (*symlink)(void *ctx, const char *name, size_t len, const char *target, size_t target_len, struct err *e);
    /* Every byte of the archive, in order, in runs of any length: for hashes and scans. */
    int (*bytes)(void *ctx, const uint8_t *p, size_t n, struct err *e);
};

/*
 * Reads one archive, up to and including its last closing parenthesis; what follows stays unread.
 * ERR_INPUT, ERR_LIMIT: the text names offset and, inside directories, the path.
 */
int nar_parse(struct stream *in, const struct nar_events *ev, void *ctx, struct err *e);

/*
 * Writing. The caller calls in the order of the grammar; the writer gathers tokens and passes bytes on in large runs.
 *   nar_writer_begin → node → nar_writer_end
 *   node = file_begin, data…, file_end | symlink | dir_begin { entry_begin node entry_end } dir_end
 * Order and validity of names are the caller's job; lengths of files are checked (ERR_INPUT when data falls short or
 * over).
 */
struct nar_writer {
    int (*write)(void *ctx, const void *p, size_t n, struct err *e);
    void *ctx;
    uint64_t left; /* of the file being written */
    uint64_t size;
    size_t n;
    uint8_t buf[8192];
};

int nar_writer_begin(struct nar_writer *w, int (*write)(void *, const void *, size_t, struct err *), void *ctx,
                     struct err *e);
int nar_writer_file_begin(struct nar_writer *w, bool executable, uint64_t size, struct err *e);
int nar_writer_data(struct nar_writer *w, const void *p, size_t n, struct err *e);
int nar_writer_file_end(struct nar_writer *w, struct err *e);
int nar_writer_symlink(struct nar_writer *w, const char *target, size_t len, struct err *e);
int nar_writer_dir_begin(struct nar_writer *w, struct err *e);
int nar_writer_entry_begin(struct nar_writer *w, const char *name, size_t len, struct err *e);
int nar_writer_entry_end(struct nar_writer *w, struct err *e);
int nar_writer_dir_end(struct nar_writer *w, struct err *e);
int nar_writer_end(struct nar_writer *w, struct err *e);
/* One string as NARs and export streams have it, and a number. */
int nar_writer_str(struct nar_writer *w, const void *p, size_t n, struct err *e);
int nar_writer_u64(struct nar_writer *w, uint64_t v, struct err *e);
int nar_writer_flush(struct nar_writer *w, struct err *e);

#endif
