/* SPDX-License-Identifier: MIT */
/*
 * Which adapter for which source, and one session around all of it.
 *
 *   folder: /nix/store/… or --store-path → package; nix-cache-info → binary cache; oci-layout → images; else root
 * filesystem file, pipe: NAR → package; export stream → packages; tar of an image archive → images (through a spool
 * where it can't be read by name); other tar → root filesystem, read as it comes
 */
#include "source_job.h"
#include "blobtar.h"
#include "dockerarchive.h"
#include "layer.h"
#include "ocilayout.h"
#include "peek.h"
#include "source_probe.h"
#include "unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void import_result_release(struct import_result *r)
{
    for (size_t i = 0; i < r->n; i++) {
        free(r->v[i].name);
        free(r->v[i].id);
    }
    free(r->v);
    *r = (struct import_result){0};
}

/* --- what is asked for --- */

/* Splits PATH:TAG at the last colon that leaves something that exists. */
static int split_source(struct job *j, const char *source, struct err *e)
{
    struct stat st;
    if (!strcmp(source, "-") || !strncmp(source, "-:", 2)) {
        j->tag = source[1] ? source + 2 : NULL;
        return 0;
    }
    j->path = strdup(source);
    if (!j->path)
        return err_nomem(e);
    if (lstat(source, &st) == 0)
        return 0;
    int first = errno;
    for (size_t i = strlen(source); i-- > 1;) {
        if (source[i] != ':')
            continue;
        j->path[i] = 0;
        if (lstat(j->path, &st) == 0) {
            j->tag = source + i + 1;
            return *j->tag ? 0 : err_set(e, ERR_USAGE, "nothing behind the colon");
        }
    }
    return err_sys(e, first, "can't be opened");
}

static void cut_end(char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    if (n > k && !strcmp(s + n - k, end))
        s[n - k] = 0;
}

/* The last part of the real path, without what says only how it is packed. */
static int find_folder(struct job *j, bool is_dir, struct err *e)
{
    static const char *const packed[] = {".gz", ".zst", ".xz", ".bz2", ".lz4", ".lz", ".lzma", ".Z"};
    static const char *const tars[] = {".tar", ".tgz", ".txz", ".tzst", ".tbz", ".tbz2", ".tlz"};
    char *real = realpath(j->path, NULL);
    const char *slash = strrchr(real ? real : j->path, '/');
    j->folder = strdup(slash ? slash + 1 : j->path);
    free(real);
    if (!j->folder)
        return err_nomem(e);
    for (size_t i = 0; !is_dir && i < sizeof packed / sizeof *packed; i++)
        cut_end(j->folder, packed[i]);
    for (size_t i = 0; !is_dir && i < sizeof tars / sizeof *tars; i++)
        cut_end(j->folder, tars[i]);
    return 0;
}

int job_no_tag(const struct job *j, const char *what, struct err *e)
{
    return j->tag ? err_set(e, ERR_USAGE, "%s: there are no images to choose \"%.100s\" from", what, j->tag) : 0;
}

/* --- images --- */

static int need_importer(struct job *j, struct err *e)
{
    struct image_importer_opts io = {
        .platform = j->o->platform, .cancel = j->o->cancel, .progress = j->o->progress, .ctx = j->o->ctx};
    if (j->o->trusted_keys)
        return err_set(e, ERR_USAGE, "--trusted-key is for packages: images bring no signatures");
    return image_importer_new(j->session, &io, &j->images, e);
}

static struct image_wanted what_is_wanted(const struct job *j)
{
    return (struct image_wanted){
        .name = j->name.repo ? &j->name : NULL, .tag = j->tag, .platform = j->o->platform, .folder = j->folder};
}

static int import_layout(struct job *j, struct ocilayout *l, struct err *e)
{
    struct image_wanted w = what_is_wanted(j);
    return ocilayout_import(l, j->images, &w, &j->image_results, e);
}

static int import_layout_dir(struct job *j, struct err *e)
{
    struct ocilayout *l;
    if (need_importer(j, e) < 0 || ocilayout_open_dir(j->path, &l, e) < 0)
        return -1;
    int r = import_layout(j, l, e);
    ocilayout_close(l);
    return r;
}

/* A root filesystem; tar isn't closed. */
static int import_rootfs(struct job *j, struct stream *tar, struct err *e)
{
    struct image_ref name;
    struct digest manifest;
    bool is_new;
    if (job_no_tag(j, "a root filesystem", e) < 0 || (!j->images && need_importer(j, e) < 0) ||
        image_ref_choose(j->name.repo ? &j->name : NULL, NULL, NULL, j->folder, &name, e) < 0)
        return -1;
    int r = image_import_single(j->images, tar, j->o->platform, j->o->created_by, name.repo, name.tag, &manifest,
                                &is_new, e);
    if (r == 0)
        r = image_results_add(&j->image_results, name.repo, name.tag, &manifest, is_new, e);
    image_ref_release(&name);
    return r;
}

static int import_rootfs_dir(struct job *j, struct err *e)
{
    struct stream *tar, *counted;
    if (dirtar_open(j->path, &tar, e) < 0 || counted_open(&j->counter, tar, "folder", &counted, e) < 0)
        return -1;
    int r = import_rootfs(j, counted, e);
    stream_close(counted);
    return r;
}

static int import_archive(struct job *j, const struct blobtar *t, struct err *e)
{
    struct ocilayout *l;
    struct stream *s;
    struct image_wanted w = what_is_wanted(j);
    if (need_importer(j, e) < 0)
        return -1;
    if (ocilayout_open_tar(t, &l, e) == 0) {
        /* docker 25 writes both; its index may be empty where only its own form says anything. */
        bool use = ocilayout_count(l) || !dockerarchive_is(t);
        int r = use ? import_layout(j, l, e) : 0;
        ocilayout_close(l);
        if (use)
            return r;
    } else if (e->kind != ERR_NOT_FOUND) {
        return -1;
    } else {
        err_clear(e);
    }
    if (dockerarchive_is(t))
        return dockerarchive_import(t, j->images, &w, &j->image_results, e);
    /* It only began like an archive of images. */
    if (blobtar_whole(t, &s, e) < 0)
        return -1;
    int r = import_rootfs(j, s, e);
    stream_close(s);
    return r;
}

/* --- streams --- */

/* Whether the file can be read by name as it is: a plain tar in a plain file. */
static bool reads_in_place(const struct job *j, int fd)
{
    uint8_t head[512];
    struct stat st;
    return j->from_start && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
           pread(fd, head, sizeof head, 0) == (ssize_t)sizeof head &&
           source_probe(head, sizeof head) >= PROBE_TAR_ARCHIVE;
}

static int open_archive(struct job *j, int fd, struct stream *s, struct blobtar **ret, struct err *e)
{
    if (!reads_in_place(j, fd))
        return blobtar_spool(j->store, s, j->o->cancel, ret, e);
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return own < 0 ? err_sys(e, errno, "dup") : blobtar_open(own, j->o->cancel, ret, e);
}

/* s: unpacked, with peek. Owned. */
static int import_unpacked(struct job *j, int fd, struct stream *s, struct err *e)
{
    const uint8_t *p;
    size_t n;
    struct blobtar *t = NULL;
    int r = peek_bytes(s, PROBE_BYTES, &p, &n, e);
    enum probe what = r == 0 ? source_probe(p, n) : PROBE_UNKNOWN;
    if (r == 0 && what == PROBE_NAR)
        return job_import_nar(j, s, e);
    if (r == 0 && what != PROBE_UNKNOWN && what != PROBE_NIX_EXPORT && j->o->store_path)
        r = err_set(e, ERR_USAGE, "--store-path is for packages: this is a tar");
    if (r == 0)
        switch (what) {
        case PROBE_NIX_EXPORT:
            r = job_import_export(j, s, e);
            break;
        case PROBE_TAR_ARCHIVE:
            r = open_archive(j, fd, s, &t, e);
            if (r == 0) {
                /* What passed into the spool isn't what is to come. */
                j->counter.total = 0;
                r = import_archive(j, t, e);
                blobtar_close(t);
            }
            break;
        case PROBE_TAR:
            r = import_rootfs(j, s, e);
            break;
        default:
            r = err_set(e, ERR_INPUT,
                        "%s; accepted are: OCI layout (folder or tar), docker save archive, root filesystem (folder or "
                        "tar), NAR, "
                        "nix-store --export stream, Nix binary cache, store path",
                        n ? "not recognised" : "no data");
        }
    stream_close(s);
    return r;
}

static int import_stream(struct job *j, int fd, struct err *e)
{
    struct stream *raw, *counted, *plain, *peeked;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_sys(e, errno, "fstat");
    j->from_start = lseek(fd, 0, SEEK_CUR) == 0;
    if (S_ISREG(st.st_mode) && st.st_size > 0)
        counter_expect(&j->counter, (uint64_t)st.st_size);
    if (stream_open_fd(fd, false, 0, UINT64_MAX, &raw, e) < 0 ||
        counted_open(&j->counter, raw, "source", &counted, e) < 0)
        return -1;
    if (!S_ISREG(st.st_mode))
        counted_waits(counted, fd);
    if (unpack_open(counted, UNPACK_ANY, &plain, e) < 0 || peek_open(plain, &peeked, e) < 0)
        return -1;
    return import_unpacked(j, fd, peeked, e);
}

static bool in_nix_store(const char *path)
{
    size_t dirlen;
    const char *base;
    struct err why = {0};
    return storepath_check(path, &dirlen, &base, &why) == 0 && dirlen == strlen(STOREPATH_DIR) &&
           !strncmp(path, STOREPATH_DIR, dirlen);
}

/* "./result" means the store path that it points to. */
static int follow_to_store(struct job *j, struct err *e)
{
    char *real = realpath(j->path, NULL);
    if (!real)
        return err_sys(e, errno, "can't be opened");
    if (in_nix_store(real)) {
        free(j->path);
        j->path = real;
    } else {
        free(real);
    }
    return 0;
}

static int import_path(struct job *j, struct err *e)
{
    struct stat st, real;
    if (lstat(j->path, &st) < 0)
        return err_sys(e, errno, "can't be opened");
    for (size_t n = strlen(j->path); n > 1 && j->path[n - 1] == '/'; n--)
        j->path[n - 1] = 0;
    if (S_ISLNK(st.st_mode) && !in_nix_store(j->path) && follow_to_store(j, e) < 0)
        return -1;
    if (in_nix_store(j->path) && !j->o->store_path && !j->o->name)
        return job_import_dirnar(j, j->path, j->path, e);
    if (stat(j->path, &real) < 0)
        return err_sys(e, errno, "can't be opened");
    if (find_folder(j, S_ISDIR(real.st_mode), e) < 0)
        return -1;
    if (S_ISDIR(real.st_mode)) {
        if (bincache_is(j->path))
            return job_import_bincache(j, e);
        if (j->o->store_path)
            return job_import_dirnar(j, j->path, j->o->store_path, e);
        return ocilayout_is(j->path) ? import_layout_dir(j, e) : import_rootfs_dir(j, e);
    }
    int fd = open(j->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(e, errno, "can't be opened");
    uint8_t head[64];
    ssize_t n = S_ISREG(real.st_mode) && j->o->store_path ? pread(fd, head, sizeof head, 0) : 0;
    int r;
    /* With --store-path a file that is no NAR is the package itself. */
    if (S_ISREG(real.st_mode) && j->o->store_path && n >= 0 && source_probe(head, (size_t)n) != PROBE_NAR)
        r = job_import_dirnar(j, j->path, j->o->store_path, e);
    else
        r = import_stream(j, fd, e);
    close(fd);
    return r;
}

/* --- the session --- */

static int nar_id(const struct digest *d, char **ret, struct err *e)
{
    char text[DIGEST_NIX32_LEN + 1];
    nix32_encode(d->b, DIGEST_LEN, text);
    return asprintf(ret, "sha256:%s", text) < 0 ? err_nomem(e) : 0;
}

/* Moves the adapters' results into one list. */
static int collect(struct job *j, struct import_result *r, struct err *e)
{
    char oci[DIGEST_OCI_LEN + 1];
    size_t n = j->image_results.n + j->package_results.n;
    r->v = calloc(n ? n : 1, sizeof *r->v);
    if (!r->v)
        return err_nomem(e);
    r->nothing_new = true;
    for (size_t i = 0; i < j->image_results.n; i++) {
        struct image_result *im = &j->image_results.v[i];
        digest_oci(&im->manifest, oci);
        struct imported *to = &r->v[r->n++];
        *to = (struct imported){
            .kind = IMPORTED_IMAGE, .name = strdup(im->name), .id = strdup(oci), .is_new = im->is_new};
        if (!to->name || !to->id)
            return err_nomem(e);
        r->nothing_new &= !im->is_new;
    }
    for (size_t i = 0; i < j->package_results.n; i++) {
        struct package_result *p = &j->package_results.v[i];
        struct imported *to = &r->v[r->n++];
        *to = (struct imported){.kind = IMPORTED_PACKAGE, .name = strdup(p->path), .is_new = p->is_new};
        if (!to->name || nar_id(&p->narhash, &to->id, e) < 0)
            return err_nomem(e);
        r->nothing_new &= !p->is_new;
    }
    return 0;
}

static int prepare(struct job *j, struct err *e)
{
    struct session_opts so = {.threads = j->o->threads, .cancel = j->o->cancel};
    if (j->o->name && image_ref_parse(j->o->name, &j->name, e) < 0)
        return err_wrap(e, "--name");
    if (j->name.has_digest)
        return err_set(e, ERR_USAGE, "--name: a digest comes from the image, it can't be given");
    struct image_platform platform = {0};
    if (j->o->platform && image_platform_parse(j->o->platform, &platform, e) < 0)
        return err_wrap(e, "--platform");
    image_platform_release(&platform);
    size_t dirlen;
    const char *base;
    if (j->o->store_path && storepath_check(j->o->store_path, &dirlen, &base, e) < 0)
        return err_wrap(e, "--store-path");
    if (j->o->trusted_keys && trusted_keys_parse(j->o->trusted_keys, &j->keys, e) < 0)
        return err_wrap(e, "--trusted-key");
    return session_begin(j->store, &so, &j->session, e);
}

static void job_start(struct job *j, struct store *s, const struct import_opts *o)
{
    *j = (struct job){.store = s, .o = o, .counter = {.fn = o->progress, .ctx = o->ctx, .cancel = o->cancel}};
}

static void job_end(struct job *j)
{
    image_importer_free(j->images);
    session_end(j->session);
    image_results_release(&j->image_results);
    package_results_release(&j->package_results);
    image_ref_release(&j->name);
    trusted_keys_release(&j->keys);
    free(j->path);
    free(j->folder);
}

/* r: how the adapter did. Publishes or gives up. */
static int finish(struct job *j, int r, const char *verb, const char *source, struct import_result *ret, struct err *e)
{
    static const char nothing[] = "; nothing was imported";
    struct import_result res = {0};
    struct err stopped = {0};
    if (r == 0)
        r = collect(j, &res, e);
    if (r == 0 && !res.nothing_new)
        r = session_commit(j->session, e);
    if (r == 0 && j->session) {
        session_stats(j->session, &res.stats);
        *ret = res;
        return 0;
    }
    import_result_release(&res);
    /* What goes wrong after Ctrl-C goes wrong for its sake: the other end of the pipe got it, too. */
    if (counter_check(&j->counter, &stopped) < 0)
        *e = stopped;
    err_wrap(e, "%s %s", verb, source);
    size_t len = strlen(e->text);
    if (len + sizeof nothing <= sizeof e->text)
        memcpy(e->text + len, nothing, sizeof nothing);
    return -1;
}

int source_import(struct store *s, const char *source, const struct import_opts *o, struct import_result *ret,
                  struct err *e)
{
    struct job j;
    job_start(&j, s, o);
    int r = split_source(&j, source, e);
    if (r == 0)
        r = prepare(&j, e);
    if (r == 0)
        r = j.path ? import_path(&j, e) : import_stream(&j, STDIN_FILENO, e);
    r = finish(&j, r, "import", source, ret, e);
    job_end(&j);
    return r;
}

/* --- add --- */

int source_add(struct store *s, const char *path, const char *name, const struct import_opts *o,
               struct import_result *ret, struct err *e)
{
    struct job j;
    char *clean = strdup(path);
    struct import_opts plain = *o;
    plain.name = NULL; /* here it is the package's, which isn't an image reference */
    plain.store_path = NULL;
    plain.trusted_keys = NULL;
    job_start(&j, s, &plain);
    int r = prepare(&j, e);
    if (r == 0 && !clean)
        r = err_nomem(e);
    if (r == 0 && clean) {
        for (size_t n = strlen(clean); n > 1 && clean[n - 1] == '/'; n--)
            clean[n - 1] = 0;
        const char *slash = strrchr(clean, '/');
        r = job_add_path(&j, clean, name ? name : slash ? slash + 1 : clean, e);
    }
    r = finish(&j, r, "add", path, ret, e);
    free(clean);
    job_end(&j);
    return r;
}
