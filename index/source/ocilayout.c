/* SPDX-License-Identifier: MIT */
/*
 * Entries of index.json that have the same name are one image for several platforms; so is an entry that names a
 * further index. Attestations and other artifacts are passed over.
 */
#include "ocilayout.h"
#include "../io.h"
#include "../json.h"
#include "../limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define NESTING_MAX 8

struct ocilayout {
    struct blob_source blobs;
    int dirfd; /* -1: in a tar */
    const struct blobtar *tar;
    struct image_index index;
    const struct image_descriptor **images; /* of index, without artifacts */
    size_t n;
};

bool ocilayout_is(const char *path)
{
    struct stat st;
    char *p[3] = {0};
    bool is = false;
    if (asprintf(&p[0], "%s/oci-layout", path) >= 0 && asprintf(&p[1], "%s/index.json", path) >= 0 &&
        asprintf(&p[2], "%s/blobs", path) >= 0)
        is = stat(p[0], &st) == 0 || (stat(p[1], &st) == 0 && stat(p[2], &st) == 0);
    free(p[0]);
    free(p[1]);
    free(p[2]);
    return is;
}

static int open_blob(struct blob_source *b, const struct digest *d, struct stream **ret, uint64_t *ret_size,
                     struct err *e)
{
    struct ocilayout *o = (struct ocilayout *)b;
    char hex[DIGEST_HEX_LEN + 1], name[96];
    struct stat st;
    digest_hex(d, hex);
    snprintf(name, sizeof name, "blobs/sha256/%s", hex);
    if (o->tar) {
        struct blobtar_member m;
        if (blobtar_find(o->tar, name, &m, e) < 0)
            return e->kind == ERR_NOT_FOUND ? err_set(e, ERR_NOT_FOUND, "blob is missing in the archive") : -1;
        *ret_size = m.size;
        return blobtar_stream(o->tar, &m, ret, e);
    }
    /* Not to wait for a writer if somebody put a fifo there. */
    int fd = openat(o->dirfd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return err_set(e, ERR_NOT_FOUND, "blob is missing: no %s", name);
    if (fd < 0 || fstat(fd, &st) < 0) {
        err_sys(e, errno, "%s", name);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        return err_set(e, ERR_INPUT, "%s is not a plain file", name);
    }
    *ret_size = (uint64_t)st.st_size;
    return stream_open_fd(fd, true, 0, *ret_size, ret, e);
}

static int get_file(struct ocilayout *o, const char *name, struct buf *b, struct err *e)
{
    return o->tar ? blobtar_get(o->tar, name, LIMIT_JSON_DOC, b, e)
                  : io_read_file(o->dirfd, name, LIMIT_JSON_DOC, b, e);
}

static int check_version(struct ocilayout *o, struct err *e)
{
    struct buf b = {0};
    struct json *doc;
    if (get_file(o, "oci-layout", &b, e) < 0) {
        buf_release(&b);
        if (e->kind != ERR_NOT_FOUND)
            return -1;
        err_clear(e); /* older writers had none; the index says enough */
        return 0;
    }
    int r = json_parse(b.p, b.len, LIMIT_JSON_DOC, "oci-layout", &doc, e);
    buf_release(&b);
    if (r < 0)
        return -1;
    const char *v = json_str(json_get(doc, "imageLayoutVersion"));
    if (!v || strcmp(v, "1.0.0") != 0)
        r = err_set(e, ERR_UNSUPPORTED, "oci-layout: version \"%.40s\", only 1.0.0 is known", v ? v : "(none)");
    json_unref(doc);
    return r;
}

static int load(struct ocilayout *o, struct err *e)
{
    struct buf b = {0};
    o->blobs.open = open_blob;
    int r = check_version(o, e);
    if (r == 0)
        r = get_file(o, "index.json", &b, e);
    if (r == 0)
        r = image_index_parse(b.p, b.len, NULL, "index.json", &o->index, e);
    buf_release(&b);
    if (r < 0)
        return -1;
    o->images = calloc(o->index.n + 1, sizeof *o->images);
    if (!o->images)
        return err_nomem(e);
    for (size_t i = 0; i < o->index.n; i++)
        if (!o->index.v[i].artifact)
            o->images[o->n++] = &o->index.v[i];
    return 0;
}

static int make(int dirfd, const struct blobtar *t, struct ocilayout **ret, struct err *e)
{
    struct ocilayout *o = calloc(1, sizeof *o);
    if (!o) {
        if (dirfd >= 0)
            close(dirfd);
        return err_nomem(e);
    }
    o->dirfd = dirfd;
    o->tar = t;
    if (load(o, e) < 0) {
        ocilayout_close(o);
        return -1;
    }
    *ret = o;
    return 0;
}

int ocilayout_open_dir(const char *path, struct ocilayout **ret, struct err *e)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? err_sys(e, errno, "%s", path) : make(fd, NULL, ret, e);
}

int ocilayout_open_tar(const struct blobtar *t, struct ocilayout **ret, struct err *e)
{
    return make(-1, t, ret, e);
}

void ocilayout_close(struct ocilayout *o)
{
    if (!o)
        return;
    if (o->dirfd >= 0)
        close(o->dirfd);
    image_index_release(&o->index);
    free(o->images);
    free(o);
}

size_t ocilayout_count(const struct ocilayout *o)
{
    return o->n;
}

/* --- which --- */

static bool same_text(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

static bool same_name(const struct image_descriptor *a, const struct image_descriptor *b)
{
    return same_text(a->ref_name, b->ref_name) && same_text(a->image_name, b->image_name);
}

static bool wanted(const struct image_descriptor *d, const char *tag)
{
    char oci[DIGEST_OCI_LEN + 1];
    digest_oci(&d->digest, oci);
    return !tag || image_ref_matches(d->ref_name, tag) || image_ref_matches(d->image_name, tag) || !strcmp(oci, tag);
}

/* What the layout's images are called, for messages. */
static void list_names(const struct ocilayout *o, char *out, size_t cap)
{
    size_t len = 0;
    out[0] = 0;
    for (size_t i = 0; i < o->n && len < cap; i++) {
        const char *name = o->images[i]->ref_name ? o->images[i]->ref_name : o->images[i]->image_name;
        bool again = false;
        for (size_t k = 0; k < i; k++)
            again |= same_name(o->images[k], o->images[i]);
        if (!again)
            len += (size_t)snprintf(out + len, cap - len, "%s%.80s", len ? ", " : "", name ? name : "(nameless)");
    }
}

/* Follows indexes down to the manifest for the platform; its bytes are appended to out. */
static int find_manifest(struct ocilayout *o, const struct image_descriptor *const *v, size_t n,
                         const struct image_wanted *w, struct buf *out, char **ret_media_type, struct err *e)
{
    struct image_platform p;
    struct image_index inner = {0};
    const struct image_descriptor **list = NULL;
    if (image_platform_parse(w->platform, &p, e) < 0)
        return -1;
    int r = 0;
    size_t at = 0;
    for (int depth = 0; r == 0; depth++) {
        /* One image outside of an index is taken as it is: there is nothing to choose. */
        if (n != 1 || depth)
            r = image_index_select(v, n, &p, &at, e);
        if (r < 0)
            break;
        const struct image_descriptor *d = v[at];
        out->len = 0;
        r = image_blob_get(&o->blobs, &d->digest, d->size, d->media == MEDIA_INDEX ? "image index" : "manifest", out,
                           e);
        if (r < 0)
            break;
        if (d->media == MEDIA_MANIFEST) {
            *ret_media_type = strdup(d->media_type);
            r = *ret_media_type ? 0 : err_nomem(e);
            break;
        }
        struct image_index next;
        if (depth == NESTING_MAX)
            r = err_set(e, ERR_LIMIT, "indexes nested deeper than %d", NESTING_MAX);
        else
            r = image_index_parse(out->p, out->len, d->media_type, "image index", &next, e);
        if (r < 0)
            break;
        image_index_release(&inner);
        inner = next;
        free(list);
        list = calloc(inner.n + 1, sizeof *list);
        if (!list) {
            r = err_nomem(e);
            break;
        }
        for (size_t i = 0; i < inner.n; i++)
            list[i] = &inner.v[i];
        v = list;
        n = inner.n;
        at = 0;
    }
    free(list);
    image_index_release(&inner);
    image_platform_release(&p);
    return r;
}

/* One name, n entries (platforms). */
static int import_group(struct ocilayout *o, struct image_importer *im, const struct image_descriptor *const *v,
                        size_t n, const struct image_wanted *w, struct image_results *results, struct err *e)
{
    struct image_ref name = {0};
    struct buf manifest = {0};
    struct digest digest;
    char *media_type = NULL;
    bool is_new;
    if (image_ref_choose(w->name, v[0]->image_name, v[0]->ref_name, w->folder, &name, e) < 0)
        return -1;
    int r = find_manifest(o, v, n, w, &manifest, &media_type, e);
    if (r == 0)
        r = image_import(im, &o->blobs, manifest.p, manifest.len, media_type, name.repo, name.tag, &digest, &is_new, e);
    if (r == 0)
        r = image_results_add(results, name.repo, name.tag, &digest, is_new, e);
    if (r < 0 && o->n > 1)
        err_wrap(e, "%s%s%s", name.repo, name.tag ? ":" : "", name.tag ? name.tag : "");
    free(media_type);
    buf_release(&manifest);
    image_ref_release(&name);
    return r;
}

static int check_choice(const struct ocilayout *o, size_t groups, const struct image_wanted *w, struct err *e)
{
    char names[400];
    list_names(o, names, sizeof names);
    if (!o->n)
        return err_set(e, ERR_NOT_FOUND, "index.json has no images");
    if (!groups)
        return err_set(e, ERR_NOT_FOUND, "no image \"%.100s\" here; there is: %s", w->tag, names);
    if (groups > 1 && w->tag)
        return err_set(e, ERR_USAGE, "\"%.100s\" may be several images; there is: %s", w->tag, names);
    if (groups > 1 && w->name)
        return err_set(e, ERR_USAGE, "--name is for one image; choose one as PATH:TAG of: %s", names);
    return 0;
}

int ocilayout_import(struct ocilayout *o, struct image_importer *im, const struct image_wanted *w,
                     struct image_results *results, struct err *e)
{
    /* The first pass counts, the second imports. */
    const struct image_descriptor **group = calloc(o->n + 1, sizeof *group);
    bool *done = calloc(o->n + 1, sizeof *done);
    size_t groups = 0;
    int r = 0;
    if (!group || !done) {
        free(group);
        free(done);
        return err_nomem(e);
    }
    for (int pass = 0; r == 0 && pass < 2; pass++) {
        memset(done, 0, o->n + 1);
        for (size_t i = 0; r == 0 && i < o->n; i++) {
            size_t n = 1;
            if (done[i] || !wanted(o->images[i], w->tag))
                continue;
            group[0] = o->images[i];
            for (size_t k = i + 1; k < o->n; k++)
                if (!done[k] && same_name(o->images[i], o->images[k]) && wanted(o->images[k], w->tag)) {
                    done[k] = true;
                    group[n++] = o->images[k];
                }
            if (pass)
                r = import_group(o, im, group, n, w, results, e);
            else
                groups++;
        }
        if (!pass && r == 0)
            r = check_choice(o, groups, w, e);
    }
    free(group);
    free(done);
    return r;
}
