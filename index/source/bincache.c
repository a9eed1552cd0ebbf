/* SPDX-License-Identifier: MIT */
/*
 * Two passes. First the graph: narinfos are read from what is asked for downwards, each checked, signatures too, and
 * put in order. Then the NARs in that order. Whatever is wrong with metadata so comes out before the first large read.
 */
#include "bincache.h"

#include "../io.h"
#include "../limits.h"
#include "package_add.h"
#include "pathgraph.h"
#include "unpack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct node {
    struct narinfo info;
    bool signed_by_trusted;
};

struct cache {
    struct session *s;
    const char *dir; /* as given, for messages */
    int dirfd;
    char *store_dir; /* StoreDir of nix-cache-info */
    const struct bincache_opts *o;
    struct node *v; /* in the order of loading */
    size_t n, cap;
    uint64_t total; /* bytes of all NARs to read */
};

/* Opens a file inside the folder; symlinks may not lead out of it, special files aren't waited for. */
static int open_inside(const struct cache *c, const char *path, int *ret, struct stat *ret_st, struct err *e)
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, c->dirfd, path, &how, sizeof how);
    if (fd < 0 && errno == ENOSYS)
        fd = openat(c->dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT)
        return err_set(e, ERR_NOT_FOUND, "%s/%s: no such file", c->dir, path);
    if (fd < 0 && errno == EXDEV)
        return err_set(e, ERR_INPUT, "%s/%s: leads out of the cache", c->dir, path);
    if (fd < 0)
        return err_sys(e, errno, "open %s/%s", c->dir, path);
    int rc = 0;
    if (fstat(fd, ret_st) < 0)
        rc = err_sys(e, errno, "stat %s/%s", c->dir, path);
    else if (!S_ISREG(ret_st->st_mode))
        rc = err_set(e, ERR_INPUT, "%s/%s: is no regular file", c->dir, path);
    if (rc < 0)
        close(fd);
    else
        *ret = fd;
    return rc;
}

static int read_small(const struct cache *c, const char *path, struct buf *b, struct err *e)
{
    struct stat st = {0};
    int fd = -1;
    if (open_inside(c, path, &fd, &st, e) < 0)
        return -1;
    int rc;
    if (st.st_size > LIMIT_NARINFO)
        rc = err_set(e, ERR_LIMIT, "%s/%s: has %lld bytes, at most %u are allowed", c->dir, path, (long long)st.st_size,
                     LIMIT_NARINFO);
    else if (buf_append_zero(b, (size_t)st.st_size) < 0)
        rc = err_nomem(e);
    else
        rc = io_pread(fd, b->p, b->len, 0, path, e);
    close(fd);
    return rc;
}

/* A line "StoreDir: …", or the default without one. Unknown keys are ignored. */
static int read_cache_info(struct cache *c, struct err *e)
{
    static const char key[] = "StoreDir: ";
    struct buf b = {0};
    const char *value = STOREPATH_DIR;
    size_t len = strlen(value);
    if (read_small(c, "nix-cache-info", &b, e) < 0) {
        buf_release(&b);
        return e->kind == ERR_NOT_FOUND
                   ? err_set(e, ERR_INPUT, "%s: is no Nix binary cache: nix-cache-info is missing", c->dir)
                   : -1;
    }
    for (const char *p = (const char *)b.p, *end = p + b.len; p < end;) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        size_t n = (size_t)((nl ? nl : end) - p);
        if (n >= strlen(key) && !memcmp(p, key, strlen(key))) {
            value = p + strlen(key);
            len = n - strlen(key);
        }
        p += n + 1;
    }
    int rc = storepath_check_dir(value, len, e);
    if (rc < 0)
        err_wrap(e, "%s/nix-cache-info: StoreDir", c->dir);
    else if (!(c->store_dir = strndup(value, len)))
        rc = err_nomem(e);
    buf_release(&b);
    return c->store_dir ? rc : -1;
}

/* Plain relative path: no scheme, no empty, "." or ".." parts. */
static bool is_inside(const char *url)
{
    for (const char *p = url; *p;) {
        size_t n = strcspn(p, "/");
        if (!n || (n <= 2 && !memcmp(p, "..", n)) || (p == url && memchr(p, ':', n)))
            return false;
        p += n;
        if (*p && !*++p)
            return false;
    }
    return *url != '\0';
}

static int check_signature(const struct cache *c, struct node *nd, struct err *e)
{
    const struct narinfo *i = &nd->info;
    const char *key = NULL;
    struct storepath_ca ca = {.kind = STOREPATH_CA_OTHER};
    struct buf names = {0};
    if (!c->o->keys)
        return 0;
    if (narinfo_verify(i->path, &i->narhash, (uint64_t)i->narsize, (const char *const *)i->refs,
                       (const char *const *)i->sigs, c->o->keys, &key, e) < 0)
        return -1;
    nd->signed_by_trusted = key != NULL;
    if (i->ca)
        storepath_ca_parse(i->ca, &ca);
    if (key || ca.kind != STOREPATH_CA_OTHER) /* package_add proves the content address or refuses it */
        return 0;
    for (char **s = i->sigs; *s; s++)
        if (buf_printf(&names, "%s%.*s", s == i->sigs ? "" : ", ", (int)strcspn(*s, ":"), *s) < 0)
            return buf_release(&names), err_nomem(e);
    err_set(e, ERR_INPUT, "%s: no signature by a trusted key (signed by: %s)", i->path,
            names.len ? (char *)names.p : "nobody");
    buf_release(&names);
    return -1;
}

static int check_info(const struct cache *c, struct node *nd, const char *hash, struct err *e)
{
    const struct narinfo *i = &nd->info;
    if (strncmp(i->base, hash, STOREPATH_HASH_LEN) != 0)
        return err_set(e, ERR_INPUT, "is about another path, %s", i->path);
    if (strlen(c->store_dir) != i->dirlen || memcmp(c->store_dir, i->path, i->dirlen) != 0)
        return err_set(e, ERR_INPUT, "%s is not in the cache's store %s", i->path, c->store_dir);
    if (!is_inside(i->url))
        return err_set(e, ERR_INPUT, "URL '%s' isn't a plain path inside the cache", i->url);
    return check_signature(c, nd, e);
}

/* Reads the narinfo of a hash part. ERR_NOT_FOUND when there is none. *ret is valid until the next load. */
static int load(struct cache *c, const char *hash, struct node **ret, struct err *e)
{
    char file[STOREPATH_HASH_LEN + sizeof ".narinfo"];
    struct buf b = {0};
    memcpy(file, hash, STOREPATH_HASH_LEN);
    memcpy(file + STOREPATH_HASH_LEN, ".narinfo", sizeof ".narinfo");
    if (c->n == c->cap) {
        size_t cap = c->cap ? 2 * c->cap : 32;
        struct node *v = reallocarray(c->v, cap, sizeof *v);
        if (!v)
            return err_nomem(e);
        c->v = v;
        c->cap = cap;
    }
    struct node *nd = &c->v[c->n];
    *nd = (struct node){0};
    int rc = read_small(c, file, &b, e);
    if (!rc) {
        rc = narinfo_parse(b.p, b.len, &nd->info, e);
        if (!rc && check_info(c, nd, hash, e) < 0) {
            narinfo_release(&nd->info);
            rc = -1;
        }
        if (rc < 0)
            err_wrap(e, "%s/%s", c->dir, file);
    }
    buf_release(&b);
    if (rc < 0)
        return -1;
    c->n++;
    *ret = nd;
    return 0;
}

static int by_base(const void *a, const void *b)
{
    const struct node *x = a, *y = b;
    return strcmp(x->info.base, y->info.base);
}

static int base_is(const void *base, const void *b)
{
    const struct node *y = b;
    return strcmp(base, y->info.base);
}

/* What `name` refers to. A path that the cache lacks may be in the store already. */
static int refs_of(void *ctx, const char *name, const char *needed_by, char ***ret, struct err *e)
{
    struct cache *c = ctx;
    struct node *nd;
    bool known;
    struct digest hash;
    *ret = NULL;
    if (load(c, name, &nd, e) < 0) {
        if (e->kind != ERR_NOT_FOUND)
            return -1;
        err_clear(e);
        if (package_known(c->s, name, &known, &hash, e) < 0)
            return -1;
        if (known)
            return 0;
        if (!needed_by)
            return err_set(e, ERR_NOT_FOUND, "%s: the cache has no %s/%s", c->dir, c->store_dir, name);
        return err_set(e, ERR_NOT_FOUND, "%s: neither the cache nor the store has %s/%s, which %s refers to", c->dir,
                       c->store_dir, name, needed_by);
    }
    if (strcmp(nd->info.base, name) != 0)
        return err_set(e, ERR_INPUT, "%s: the cache has %s under the hash of %s", c->dir, nd->info.base, name);
    if (c->o->closure && pathgraph_copy((const char *const *)nd->info.refs, ret) < 0)
        return err_nomem(e);
    return 0;
}

/* A growing list of strings, NULL-terminated. */
struct list {
    char **v;
    size_t n, cap;
};

static int list_add(struct list *l, const char *s, size_t len, struct err *e)
{
    if (l->n + 2 > l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 32;
        char **v = reallocarray(l->v, cap, sizeof *v);
        if (!v)
            return err_nomem(e);
        l->v = v;
        l->cap = cap;
    }
    l->v[l->n] = strndup(s, len);
    l->v[l->n + 1] = NULL;
    return l->v[l->n++] ? 0 : err_nomem(e);
}

/* Adds the base name that a hash part stands for. */
static int add_by_hash(struct cache *c, const char *hash, struct list *out, struct err *e)
{
    struct node *nd = NULL;
    if (load(c, hash, &nd, e) < 0 || !nd)
        return -1;
    int rc = list_add(out, nd->info.base, strlen(nd->info.base), e);
    narinfo_release(&nd->info); /* it is loaded again when its turn comes */
    c->n--;
    return rc;
}

static int add_asked(struct cache *c, const char *path, struct list *out, struct err *e)
{
    const char *base = path;
    size_t dirlen = 0;
    if (storepath_is_hash(path, strlen(path))) {
        if (add_by_hash(c, path, out, e) == 0)
            return 0;
        return e->kind == ERR_NOT_FOUND
                   ? err_set(e, ERR_NOT_FOUND, "%s: the cache has no path with the hash %s", c->dir, path)
                   : -1;
    }
    if (path[0] == '/') {
        if (storepath_check(path, &dirlen, &base, e) < 0)
            return -1;
        if (dirlen != strlen(c->store_dir) || memcmp(path, c->store_dir, dirlen) != 0)
            return err_set(e, ERR_NOT_FOUND, "%s: the cache is of the store %s, it has no %s", c->dir, c->store_dir,
                           path);
    } else if (storepath_check_base(path, strlen(path), e) < 0)
        return -1;
    return list_add(out, base, strlen(base), e);
}

static int by_string(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

/* The hash parts of all narinfos, sorted. */
static int list_narinfos(const struct cache *c, struct list *out, struct err *e)
{
    const struct dirent *de;
    int fd = openat(c->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        rc = err_sys(e, errno, "open %s", c->dir);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    while (!rc && (errno = 0, (de = readdir(d)) != NULL))
        if (storepath_is_hash(de->d_name, strcspn(de->d_name, ".")) &&
            !strcmp(de->d_name + STOREPATH_HASH_LEN, ".narinfo"))
            rc = list_add(out, de->d_name, STOREPATH_HASH_LEN, e);
    if (!rc && errno)
        rc = err_sys(e, errno, "read the directory %s", c->dir);
    closedir(d);
    if (!rc && out->n)
        qsort(out->v, out->n, sizeof *out->v, by_string);
    return rc;
}

static int add_everything(struct cache *c, struct list *out, struct err *e)
{
    struct list hashes = {0};
    int rc = list_narinfos(c, &hashes, e);
    if (!rc && !hashes.n)
        rc = err_set(e, ERR_NOT_FOUND, "%s: the cache holds no path (no narinfo)", c->dir);
    for (size_t i = 0; !rc && i < hashes.n; i++)
        rc = add_by_hash(c, hashes.v[i], out, e);
    pathgraph_free(hashes.v);
    return rc;
}

/* A stream that passes on another's bytes, not owning it, and reports how many went by. */
struct meter {
    struct stream s;
    struct stream *inner;
    const struct cache *c;
    const char *what;
    uint64_t before;
};

static int meter_pull(struct stream *s, const uint8_t **p, size_t *n, struct err *e)
{
    struct meter *m = (struct meter *)s;
    if (m->c->o->progress)
        m->c->o->progress(m->c->o->ctx, m->what, m->before + m->inner->pos, m->c->total);
    return stream_run(m->inner, SIZE_MAX, p, n, e);
}

static int check_file(const struct narinfo *i, struct stream *file, struct err *e)
{
    struct digest got;
    uint64_t len;
    char want32[DIGEST_NIX32_LEN + 1], got32[DIGEST_NIX32_LEN + 1];
    if (!i->has_filehash)
        return 0;
    if (stream_drain(file, e) < 0 || stream_hash_final(file, &got, &len, e) < 0)
        return -1;
    if (digest_eq(&got, &i->filehash))
        return 0;
    nix32_encode(got.b, DIGEST_LEN, got32);
    nix32_encode(i->filehash.b, DIGEST_LEN, want32);
    return err_set(e, ERR_INPUT, "the file has the hash sha256:%s, not the FileHash sha256:%s", got32, want32);
}

/* Opens the NAR's file, as it is (*ret_file, owned by the other; hashed if there is a FileHash) and decompressed. */
static int open_nar(const struct cache *c, const struct narinfo *i, struct stream **ret_file, struct stream **ret,
                    struct err *e)
{
    struct stat st = {0};
    struct stream *file = NULL;
    int fd = -1;
    if (open_inside(c, i->url, &fd, &st, e) < 0)
        return -1;
    if (i->filesize >= 0 && st.st_size != i->filesize) {
        close(fd);
        return err_set(e, ERR_INPUT, "the file has %lld bytes, not the FileSize %" PRId64, (long long)st.st_size,
                       i->filesize);
    }
    if (stream_open_fd(fd, true, 0, UINT64_MAX, &file, e) < 0 ||
        (i->has_filehash && stream_open_hash(file, &file, e) < 0))
        return -1;
    *ret_file = file;
    return unpack_open_named(file, i->compression, ret, e);
}

static int import_opened(struct cache *c, const struct node *nd, uint64_t before, struct stream *file,
                         struct stream *nar, bool *ret_new, struct err *e)
{
    const struct narinfo *i = &nd->info;
    struct meter m = {.s.pull = meter_pull, .inner = nar, .c = c, .what = i->base, .before = before};
    struct nartree_opts o = {.limit = i->narsize, .self = i->ca ? i->base : NULL};
    struct nartree_result r;
    struct nartree *t;
    struct package_meta meta = {
        .path = i->path,
        .narhash = &i->narhash,
        .narsize = i->narsize,
        .refs = (const char *const *)i->refs,
        .deriver = i->deriver,
        .ca = i->ca,
        .sigs = (const char *const *)i->sigs,
        .trusted = nd->signed_by_trusted,
    };
    if (nartree_read(c->s, &m.s, true, &o, &t, &r, e) < 0)
        return -1;
    int rc = check_file(i, file, e);
    if (!rc)
        rc = package_add(c->s, t, &r, &meta, ret_new, e);
    nartree_free(t);
    return rc;
}

static int import_one(struct cache *c, const struct node *nd, uint64_t *done, struct package_results *results,
                      struct err *e)
{
    const struct narinfo *i = &nd->info;
    struct stream *file = NULL, *nar = NULL;
    struct digest old;
    bool known, is_new = false;
    if (package_known(c->s, i->base, &known, &old, e) < 0)
        return -1;
    if (known && package_same(i->path, &old, &i->narhash, e) < 0)
        return -1;
    if (!known) {
        if (open_nar(c, i, &file, &nar, e) < 0)
            return err_wrap(e, "%s, %s/%s", i->base, c->dir, i->url);
        int rc = import_opened(c, nd, *done, file, nar, &is_new, e);
        stream_close(nar);
        if (rc < 0)
            return err_wrap(e, "%s, %s/%s", i->base, c->dir, i->url);
    }
    *done += (uint64_t)i->narsize;
    if (c->o->progress)
        c->o->progress(c->o->ctx, i->base, *done, c->total);
    return package_results_add(results, i->path, &i->narhash, is_new, e);
}

static int import_all(struct cache *c, const char *const *paths, struct package_results *results, struct err *e)
{
    struct list asked = {0};
    char **order = NULL;
    uint64_t done = 0;
    int rc = 0;
    if (!paths)
        rc = add_everything(c, &asked, e);
    for (; !rc && paths && *paths; paths++)
        rc = add_asked(c, *paths, &asked, e);
    if (!rc && asked.n)
        rc = pathgraph_order((const char *const *)asked.v, refs_of, c, &order, e);
    if (!rc && c->n)
        qsort(c->v, c->n, sizeof *c->v, by_base);
    for (size_t i = 0; !rc && i < c->n; i++)
        if (__builtin_add_overflow(c->total, (uint64_t)c->v[i].info.narsize, &c->total))
            rc = err_set(e, ERR_INPUT, "%s: the NARs' sizes are absurd", c->dir);
    for (size_t i = 0; !rc && order && order[i]; i++) {
        const struct node *nd = c->n ? bsearch(order[i], c->v, c->n, sizeof *c->v, base_is) : NULL;
        if (nd) /* else the store has it */
            rc = import_one(c, nd, &done, results, e);
    }
    pathgraph_free(order);
    pathgraph_free(asked.v);
    return rc;
}

bool bincache_is(const char *dir)
{
    struct stat st;
    int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    bool is = fd >= 0 && !fstatat(fd, "nix-cache-info", &st, 0) && S_ISREG(st.st_mode);
    if (fd >= 0)
        close(fd);
    return is;
}

int bincache_import(struct session *s, const char *dir, const char *const *paths, const struct bincache_opts *o,
                    struct package_results *results, struct err *e)
{
    struct cache c = {.s = s, .dir = dir, .o = o, .dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (c.dirfd < 0)
        return err_sys(e, errno, "open %s", dir);
    int rc = read_cache_info(&c, e);
    if (!rc)
        rc = import_all(&c, paths, results, e);
    for (size_t i = 0; i < c.n; i++)
        narinfo_release(&c.v[i].info);
    free(c.v);
    free(c.store_dir);
    close(c.dirfd);
    return rc;
}
