/* SPDX-License-Identifier: MIT */
/*
 * The package side of an import: paths on disk, NARs, export streams, binary caches.
 */
#include "source_job.h"
#include "nixexport.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* A package has no use for an image's name, nor, unless something is signed, for keys. */
static int check_package_opts(const struct job *j, bool signed_source, const char *what, struct err *e)
{
    if (j->o->name)
        return err_set(e, ERR_USAGE, "%s: --name is for images", what);
    if (j->o->trusted_keys && !signed_source)
        return err_set(e, ERR_INPUT, "%s brings no signatures to check with --trusted-key", what);
    return 0;
}

static int record_package(struct job *j, const char *path, const struct digest *narhash, bool is_new, struct err *e)
{
    return package_results_add(&j->package_results, path, narhash, is_new, e);
}

/* nar (owned) as the package at path. */
static int import_nar(struct job *j, struct stream *nar, struct package_meta *m, struct err *e)
{
    struct stream *hash;
    struct digest d;
    uint64_t len;
    bool is_new = false;
    if (stream_open_hash(nar, &hash, e) < 0)
        return -1;
    int r = package_import(j->session, hash, true, m, &is_new, e);
    if (r == 0)
        r = stream_drain(hash, e);
    if (r == 0)
        r = stream_hash_final(hash, &d, &len, e);
    stream_close(hash);
    return r < 0 ? -1 : record_package(j, m->path, &d, is_new, e);
}

static void free_names(char **v)
{
    for (char **p = v; p && *p; p++)
        free(*p);
    free(v);
}

/* Base names in the store folder that holds path: what a package there may refer to. */
static int siblings(const char *path, char ***ret, struct err *e)
{
    char *dir = strndup(path, (size_t)(strrchr(path, '/') - path));
    DIR *d = dir ? opendir(*dir ? dir : "/") : NULL;
    size_t n = 0, cap = 64;
    char **v = calloc(cap, sizeof *v);
    free(dir);
    if (!d || !v) {
        if (d)
            closedir(d);
        free(v);
        return d ? err_nomem(e) : err_sys(e, errno, "folder of %s", path);
    }
    for (struct dirent *en; (en = readdir(d));) {
        struct err why = {0};
        if (storepath_check_base(en->d_name, strlen(en->d_name), &why) < 0)
            continue;
        char **bigger = n + 2 > cap ? reallocarray(v, cap *= 2, sizeof *v) : v;
        if (bigger)
            v = bigger;
        v[n] = bigger ? strdup(en->d_name) : NULL;
        if (!v[n]) {
            closedir(d);
            free_names(v);
            return err_nomem(e);
        }
        v[++n] = NULL;
    }
    closedir(d);
    *ret = v;
    return 0;
}

int job_import_dirnar(struct job *j, const char *path, const char *store_path, struct err *e)
{
    struct stream *nar, *counted;
    char **candidates = NULL;
    struct package_meta m = {.path = store_path, .narsize = -1};
    if (check_package_opts(j, false, "a path on disk", e) < 0 || job_no_tag(j, "a package", e) < 0)
        return -1;
    /* In a store of its own its neighbours are what it may refer to; elsewhere, what Cairn's store has. */
    if (!strcmp(path, store_path) && siblings(path, &candidates, e) < 0)
        return -1;
    m.candidates = (const char *const *)candidates;
    int r = dirnar_open(path, &nar, e);
    if (r == 0)
        r = counted_open(&j->counter, nar, "package", &counted, e);
    if (r == 0)
        r = import_nar(j, counted, &m, e);
    free_names(candidates);
    return r;
}

int job_import_nar(struct job *j, struct stream *s, struct err *e)
{
    struct package_meta m = {.path = j->o->store_path, .narsize = -1};
    int r = check_package_opts(j, false, "a NAR", e);
    if (r == 0 && !m.path)
        r = err_set(e, ERR_USAGE, "a NAR doesn't say its store path; say --store-path /nix/store/<hash>-<name>");
    if (r < 0) {
        stream_close(s);
        return -1;
    }
    return import_nar(j, s, &m, e);
}

int job_import_export(struct job *j, struct stream *s, struct err *e)
{
    if (check_package_opts(j, false, "an export stream", e) < 0)
        return -1;
    if (j->o->store_path)
        return err_set(e, ERR_USAGE, "an export stream says its own store paths; leave --store-path away");
    return nixexport_import(j->session, s, &j->package_results, e);
}

int job_import_bincache(struct job *j, struct err *e)
{
    const char *which = j->tag ? j->tag : j->o->store_path;
    const char *paths[] = {which, NULL};
    if (check_package_opts(j, true, "a binary cache", e) < 0)
        return -1;
    struct bincache_opts bo = {.closure = j->o->all_of_closure,
                               .keys = j->o->trusted_keys ? &j->keys : NULL,
                               .progress = j->o->progress,
                               .ctx = j->o->ctx};
    return bincache_import(j->session, j->path, which ? paths : NULL, &bo, &j->package_results, e);
}

static int hash_path(struct job *j, const char *path, struct digest *ret, uint64_t *ret_size, struct err *e)
{
    struct stream *nar, *counted, *hash;
    if (dirnar_open(path, &nar, e) < 0 || counted_open(&j->counter, nar, "hashing", &counted, e) < 0 ||
        stream_open_hash(counted, &hash, e) < 0)
        return -1;
    int r = stream_drain(hash, e);
    if (r == 0)
        r = stream_hash_final(hash, ret, ret_size, e);
    stream_close(hash);
    return r;
}

int job_add_path(struct job *j, const char *path, const char *name, struct err *e)
{
    static const char *const no_refs[] = {NULL};
    struct digest d;
    uint64_t size;
    char text[DIGEST_NIX32_LEN + 1], ca[DIGEST_NIX32_LEN + 32], *store_path;
    struct stream *nar, *counted;
    if (storepath_check_name(name, strlen(name), e) < 0 || hash_path(j, path, &d, &size, e) < 0 ||
        storepath_source(&d, name, &store_path, e) < 0)
        return -1;
    nix32_encode(d.b, DIGEST_LEN, text);
    snprintf(ca, sizeof ca, "fixed:r:sha256:%s", text);
    struct package_meta m = {.path = store_path, .narhash = &d, .narsize = (int64_t)size, .refs = no_refs, .ca = ca};
    int r = dirnar_open(path, &nar, e);
    if (r == 0)
        r = counted_open(&j->counter, nar, "package", &counted, e);
    if (r == 0)
        r = import_nar(j, counted, &m, e);
    free(store_path);
    return r;
}
