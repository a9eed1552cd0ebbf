/* SPDX-License-Identifier: MIT */
/*
 * Importing packages. Order of package_add: declared hash and size, then the content address, then whether the name is
 * taken, and only when nothing is left to refuse: contents, tree, record.
 */
#include "package.h"

#include "narinfo.h"
#include "package_add.h"
#include "pathgraph.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

int package_results_add(struct package_results *r, const char *path, const struct digest *narhash, bool is_new,
                        struct err *e)
{
    if (r->n == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 16;
        struct package_result *v = reallocarray(r->v, cap, sizeof *v);
        if (!v)
            return err_nomem(e);
        r->v = v;
        r->cap = cap;
    }
    r->v[r->n] = (struct package_result){.path = strdup(path), .narhash = *narhash, .is_new = is_new};
    if (!r->v[r->n].path)
        return err_nomem(e);
    r->n++;
    return 0;
}

void package_results_release(struct package_results *r)
{
    for (size_t i = 0; i < r->n; i++)
        free(r->v[i].path);
    free(r->v);
    *r = (struct package_results){0};
}

int package_known(struct session *s, const char *base, bool *ret_known, struct digest *ret_narhash, struct err *e)
{
    struct cat_package p;
    struct json *j = session_recorded(s, "package", "name", base);
    const char *hex = json_str(json_get(j, "narhash"));
    if (hex && !digest_parse_hex(hex, strlen(hex), ret_narhash)) {
        *ret_known = true;
        return 0;
    }
    if (catalog_package(store_catalog(session_store(s)), base, &p, e) < 0) {
        if (e->kind != ERR_NOT_FOUND)
            return -1;
        err_clear(e);
        *ret_known = false;
        return 0;
    }
    *ret_known = true;
    *ret_narhash = p.narhash;
    cat_package_release(&p);
    return 0;
}

/* "sha256:<nix32>" */
struct spelled {
    char s[8 + DIGEST_NIX32_LEN];
};

static struct spelled spell(const struct digest *d)
{
    struct spelled r = {"sha256:"};
    nix32_encode(d->b, DIGEST_LEN, r.s + strlen("sha256:"));
    return r;
}

int package_same(const char *path, const struct digest *known, const struct digest *now, struct err *e)
{
    if (digest_eq(known, now))
        return 0;
    return err_set(
        e, ERR_EXISTS,
        "%s: the store has this path with NAR hash %s, here it has %s (remove the one in the store first if this one "
        "is the right one)",
        path, spell(known).s, spell(now).s);
}

static int check_declared(const struct nartree_result *r, const struct package_meta *m, struct err *e)
{
    if (m->narsize >= 0 && (uint64_t)m->narsize != r->narsize)
        return err_set(e, ERR_INPUT, "%s: its NAR has %" PRIu64 " bytes, not the %" PRId64 " that its metadata says",
                       m->path, r->narsize, m->narsize);
    if (m->narhash && !digest_eq(m->narhash, &r->narhash))
        return err_set(e, ERR_INPUT, "%s: its NAR has the hash %s, not the %s that its metadata says", m->path,
                       spell(&r->narhash).s, spell(m->narhash).s);
    return 0;
}

/* *ret_proved: path and contents are bound by the content address. One that doesn't hold is an error, one that can't be
 * checked isn't. */
static int check_ca(const struct nartree_result *r, const struct package_meta *m, bool *ret_proved, struct err *e)
{
    struct storepath_ca ca;
    *ret_proved = false;
    if (!m->ca)
        return 0;
    storepath_ca_parse(m->ca, &ca);
    if (ca.kind == STOREPATH_CA_OTHER)
        return 0;
    if (storepath_ca_check(&ca, m->path, m->refs, e) < 0)
        return -1;
    if (ca.kind != STOREPATH_CA_NAR && !r->is_file)
        return err_set(e, ERR_INPUT, "%s: its content address %s is that of a single file, which it isn't", m->path,
                       m->ca);
    const struct digest *have = ca.kind == STOREPATH_CA_NAR ? &r->modhash : &r->flat;
    if (!digest_eq(have, &ca.hash))
        return err_set(e, ERR_INPUT, "%s: its contents have the hash %s, not the one of its content address %s",
                       m->path, spell(have).s, m->ca);
    *ret_proved = true;
    return 0;
}

/* Strings of foreign metadata go into records: plain text only. */
static int check_text(const char *path, const char *what, const char *s, struct err *e)
{
    for (; *s; s++)
        if (*s < 0x20 || *s >= 0x7f)
            return err_set(e, ERR_INPUT, "%s: its %s has a character that isn't printable ASCII", path, what);
    return 0;
}

static int check_meta(const struct package_meta *m, struct err *e)
{
    for (const char *const *r = m->refs; r && *r; r++)
        if (storepath_check_base(*r, strlen(*r), e) < 0)
            return err_wrap(e, "%s: reference", m->path);
    if (m->deriver && storepath_check_base(m->deriver, strlen(m->deriver), e) < 0)
        return err_wrap(e, "%s: deriver", m->path);
    if (m->ca && check_text(m->path, "content address", m->ca, e) < 0)
        return -1;
    for (const char *const *s = m->sigs; s && *s; s++)
        if (check_text(m->path, "signature", *s, e) < 0)
            return -1;
    return 0;
}

static int by_string(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

/* Sorted, each once. */
static int sorted_copy(const char *const *list, char ***ret, struct err *e)
{
    char **v;
    size_t n = 0, k = 0;
    if (pathgraph_copy(list, &v) < 0)
        return err_nomem(e);
    while (v[n])
        n++;
    qsort(v, n, sizeof *v, by_string);
    for (size_t i = 0; i < n; i++)
        if (k && !strcmp(v[k - 1], v[i]))
            free(v[i]);
        else
            v[k++] = v[i];
    v[k] = NULL;
    *ret = v;
    return 0;
}

static struct json *string_array(const char *const *list)
{
    struct json *a = json_new_array();
    for (; a && list && *list; list++)
        if (json_add(a, json_new_str(*list)) < 0) {
            json_unref(a);
            return NULL;
        }
    return a;
}

static int record(struct session *s, const struct nartree_result *r, const struct package_meta *m, bool trusted,
                  const struct digest *tree, struct err *e)
{
    size_t dirlen;
    const char *base;
    char narhash[DIGEST_HEX_LEN + 1], treehash[DIGEST_HEX_LEN + 1];
    if (storepath_check(m->path, &dirlen, &base, e) < 0)
        return -1;
    digest_hex(&r->narhash, narhash);
    digest_hex(tree, treehash);
    struct json *j = json_new_object();
    if (json_set(j, "type", json_new_str("package")) < 0 || json_set(j, "name", json_new_str(base)) < 0 ||
        json_set(j, "dir", json_new_strn(m->path, dirlen)) < 0 || json_set(j, "narhash", json_new_str(narhash)) < 0 ||
        json_set(j, "narsize", json_new_int((int64_t)r->narsize)) < 0 ||
        json_set(j, "refs", string_array(m->refs)) < 0 || json_set(j, "deriver", json_new_str(m->deriver)) < 0 ||
        json_set(j, "ca", json_new_str(m->ca)) < 0 || json_set(j, "sigs", string_array(m->sigs)) < 0 ||
        json_set(j, "trusted", json_new_bool(trusted)) < 0 || json_set(j, "tree", json_new_str(treehash)) < 0 ||
        json_set(j, "time", json_new_int((int64_t)time(NULL))) < 0) {
        json_unref(j);
        return err_nomem(e);
    }
    return session_record(s, j, e);
}

/* m->refs are sorted. */
static int add_checked(struct session *s, struct nartree *t, const struct nartree_result *r,
                       const struct package_meta *m, bool *ret_new, struct err *e)
{
    bool proved, known;
    struct digest old, tree;
    size_t dirlen;
    const char *base;
    if (storepath_check(m->path, &dirlen, &base, e) < 0 || check_meta(m, e) < 0 || check_declared(r, m, e) < 0 ||
        check_ca(r, m, &proved, e) < 0 || package_known(s, base, &known, &old, e) < 0)
        return -1;
    if (known && package_same(m->path, &old, &r->narhash, e) < 0)
        return -1;
    if (!known && (nartree_store(t, &tree, e) < 0 || record(s, r, m, m->trusted || proved, &tree, e) < 0))
        return err_wrap(e, "%s", m->path);
    if (ret_new)
        *ret_new = !known;
    return 0;
}

int package_add(struct session *s, struct nartree *t, const struct nartree_result *r, const struct package_meta *m,
                bool *ret_new, struct err *e)
{
    struct package_meta sorted = *m;
    char **refs = NULL;
    if (sorted_copy(m->refs, &refs, e) < 0)
        return -1;
    sorted.refs = (const char *const *)refs;
    int rc = add_checked(s, t, r, &sorted, ret_new, e);
    pathgraph_free(refs);
    return rc;
}

/* The names to scan for. */
struct names {
    char **v;
    size_t n, cap;
};

static int names_add(struct names *c, const char *name)
{
    if (c->n == c->cap) {
        size_t cap = c->cap ? 2 * c->cap : 64;
        char **v = reallocarray(c->v, cap, sizeof *v);
        if (!v)
            return -1;
        c->v = v;
        c->cap = cap;
    }
    c->v[c->n] = strdup(name);
    return c->v[c->n] ? (c->n++, 0) : -1;
}

static int add_catalog_name(const struct cat_package *p, void *ctx)
{
    return names_add(ctx, p->name) < 0;
}

static int collect_names(struct session *s, const struct package_meta *m, const char *base, struct names *c,
                         struct err *e)
{
    if (!m->candidates) {
        int rc = catalog_each_package(store_catalog(session_store(s)), add_catalog_name, c, e);
        if (rc)
            return rc < 0 ? -1 : err_nomem(e);
    }
    for (const char *const *p = m->candidates; p && *p; p++)
        if (storepath_check_base(*p, strlen(*p), e) < 0)
            return err_wrap(e, "%s: candidate for a reference", m->path);
        else if (names_add(c, *p) < 0)
            return err_nomem(e);
    return names_add(c, base) < 0 ? err_nomem(e) : 0;
}

static int new_scan(struct session *s, const struct package_meta *m, const char *base, struct refscan **ret,
                    struct err *e)
{
    struct names c = {0};
    int rc = collect_names(s, m, base, &c, e);
    if (!rc)
        rc = refscan_new((const char *const *)c.v, c.n, ret, e);
    for (size_t i = 0; i < c.n; i++)
        free(c.v[i]);
    free(c.v);
    return rc;
}

/* Reads and adds, with the scan (or NULL: m->refs are given) and the knowledge whether the store has it. */
static int read_and_add(struct session *s, struct stream *nar, bool whole, const struct package_meta *m,
                        const char *base, bool known, struct refscan *scan, bool *ret_new, struct err *e)
{
    struct nartree_opts o = {.hash_only = known, .limit = m->narsize, .scan = scan, .self = m->ca ? base : NULL};
    struct nartree_result r;
    struct nartree *t;
    struct package_meta full = *m;
    char **found = NULL;
    if (nartree_read(s, nar, whole, &o, &t, &r, e) < 0)
        return err_wrap(e, "%s", m->path);
    int rc = scan ? refscan_found(scan, &found, e) : 0;
    if (found)
        full.refs = (const char *const *)found;
    if (!rc)
        rc = package_add(s, t, &r, &full, ret_new, e);
    pathgraph_free(found);
    nartree_free(t);
    return rc;
}

int package_import(struct session *s, struct stream *nar, bool whole, const struct package_meta *m, bool *ret_new,
                   struct err *e)
{
    size_t dirlen;
    const char *base;
    bool known;
    struct digest old;
    struct refscan *scan = NULL;
    if (storepath_check(m->path, &dirlen, &base, e) < 0 || package_known(s, base, &known, &old, e) < 0)
        return -1;
    if (!m->refs && new_scan(s, m, base, &scan, e) < 0)
        return -1;
    int rc = read_and_add(s, nar, whole, m, base, known, scan, ret_new, e);
    refscan_free(scan);
    return rc;
}
