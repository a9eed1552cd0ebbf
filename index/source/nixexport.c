/* SPDX-License-Identifier: MIT */
#include "nixexport.h"

#include "../limits.h"
#include "package_add.h"
#include "pathgraph.h"

#include <inttypes.h>
#include <stdlib.h>

#define NIXE     0x4558494eu
#define REFS_MAX 100000u /* of one path; the largest real closures have some tens of thousands of paths in all */

static const char what[] = "export stream";

static int need_u64(struct stream *in, uint64_t *ret, struct err *e)
{
    uint8_t b[8];
    if (stream_need(in, b, sizeof b, what, e) < 0)
        return -1;
    *ret = get_u64(b);
    return 0;
}

/* A string of less than cap bytes, without NUL bytes; out gets one at its end. */
static int need_str(struct stream *in, char *out, size_t cap, struct err *e)
{
    uint64_t n, at = in->pos;
    char pad[8];
    if (need_u64(in, &n, e) < 0)
        return -1;
    if (n >= cap)
        return err_set(e, ERR_INPUT, "%s, offset %" PRIu64 ": string of %" PRIu64 " bytes, at most %zu are allowed",
                       what, at, n, cap - 1);
    size_t n_pad = (8 - n % 8) % 8;
    if (stream_need(in, out, (size_t)n, what, e) < 0 || stream_need(in, pad, n_pad, what, e) < 0)
        return -1;
    out[n] = '\0';
    if (memchr(out, 0, (size_t)n))
        return err_set(e, ERR_INPUT, "%s, offset %" PRIu64 ": string with a NUL byte", what, at);
    for (size_t i = 0; i < n_pad; i++)
        if (pad[i])
            return err_set(e, ERR_INPUT, "%s, offset %" PRIu64 ": padding is not zero", what, at);
    return 0;
}

/* What stands behind a NAR. */
struct trailer {
    char path[LIMIT_PATH], deriver[LIMIT_PATH];
    size_t dirlen;
    char **refs; /* base names */
};

/* A full path in the same folder as t->path; *ret_base points into path. */
static int check_neighbour(const struct trailer *t, const char *path, const char **ret_base, struct err *e)
{
    size_t dirlen;
    if (storepath_check(path, &dirlen, ret_base, e) < 0)
        return -1;
    if (dirlen != t->dirlen || memcmp(path, t->path, dirlen) != 0)
        return err_set(e, ERR_INPUT, "%s is in another store than %s", path, t->path);
    return 0;
}

static int read_refs(struct stream *in, struct trailer *t, struct err *e)
{
    char path[LIMIT_PATH];
    const char *base;
    uint64_t n;
    size_t cap = 0;
    if (need_u64(in, &n, e) < 0)
        return -1;
    if (n > REFS_MAX)
        return err_set(e, ERR_LIMIT, "%s: %" PRIu64 " references, at most %u are allowed", t->path, n, REFS_MAX);
    for (size_t i = 0; i <= n; i++) {
        if (i == cap) { /* grows with what really came, not with what was announced */
            size_t more = cap ? 2 * cap : 16;
            char **v = reallocarray(t->refs, more, sizeof *v);
            if (!v)
                return err_nomem(e);
            t->refs = v;
            cap = more;
        }
        t->refs[i] = NULL;
        if (i == n)
            return 0;
        if (need_str(in, path, sizeof path, e) < 0 || check_neighbour(t, path, &base, e) < 0)
            return err_wrap(e, "%s: reference", t->path);
        t->refs[i] = strdup(base);
        if (!t->refs[i])
            return err_nomem(e);
    }
    return 0;
}

static int read_trailer(struct stream *in, struct trailer *t, const char **ret_base, const char **ret_deriver,
                        struct err *e)
{
    uint64_t v;
    char sig[LIMIT_PATH];
    *ret_deriver = NULL;
    if (need_u64(in, &v, e) < 0)
        return -1;
    if (v != NIXE)
        return err_set(e, ERR_INPUT, "%s, offset %" PRIu64 ": no mark 'NIXE' behind the NAR", what, in->pos - 8);
    if (need_str(in, t->path, sizeof t->path, e) < 0 || storepath_check(t->path, &t->dirlen, ret_base, e) < 0 ||
        read_refs(in, t, e) < 0 || need_str(in, t->deriver, sizeof t->deriver, e) < 0)
        return -1;
    if (t->deriver[0] && check_neighbour(t, t->deriver, ret_deriver, e) < 0)
        return err_wrap(e, "%s: deriver", t->path);
    if (need_u64(in, &v, e) < 0)
        return -1;
    if (v > 1)
        return err_set(e, ERR_INPUT, "%s, offset %" PRIu64 ": 0 or 1 expected, got %" PRIu64, what, in->pos - 8, v);
    return v ? need_str(in, sig, sizeof sig, e) : 0; /* a signature of a kind that nobody makes any more */
}

static int import_one(struct session *s, struct stream *in, struct trailer *t, struct package_results *results,
                      struct err *e)
{
    static const struct nartree_opts plain = {.limit = -1};
    struct nartree *tree;
    struct nartree_result r;
    const char *base, *deriver;
    bool is_new = false;
    if (nartree_read(s, in, false, &plain, &tree, &r, e) < 0)
        return err_wrap(e, "%s, path %zu", what, results->n + 1);
    int rc = read_trailer(in, t, &base, &deriver, e);
    if (!rc) {
        struct package_meta m = {
            .path = t->path, .narsize = -1, .refs = (const char *const *)t->refs, .deriver = deriver};
        rc = package_add(s, tree, &r, &m, &is_new, e);
    }
    nartree_free(tree);
    return rc < 0 ? -1 : package_results_add(results, t->path, &r.narhash, is_new, e);
}

static int import_all(struct session *s, struct stream *in, struct trailer *t, struct package_results *results,
                      struct err *e)
{
    uint64_t more;
    const uint8_t *p;
    size_t n;
    for (;;) {
        if (need_u64(in, &more, e) < 0)
            return -1;
        if (more > 1)
            return err_set(e, ERR_INPUT, "%s, offset %" PRIu64 ": 1 (one more path) or 0 (the end) expected", what,
                           in->pos - 8);
        if (!more)
            break;
        if (import_one(s, in, t, results, e) < 0)
            return -1;
        pathgraph_free(t->refs);
        t->refs = NULL;
    }
    uint64_t end = in->pos;
    if (stream_run(in, 1, &p, &n, e) < 0)
        return -1;
    return n ? err_set(e, ERR_INPUT, "%s: bytes follow its end, which is at offset %" PRIu64, what, end) : 0;
}

int nixexport_import(struct session *s, struct stream *in, struct package_results *results, struct err *e)
{
    struct trailer *t = calloc(1, sizeof *t);
    if (!t)
        return err_nomem(e);
    int rc = import_all(s, in, t, results, e);
    pathgraph_free(t->refs);
    free(t);
    return rc;
}
