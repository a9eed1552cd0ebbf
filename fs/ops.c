/* SPDX-License-Identifier: MIT */
/*
 * ops: FUSE requests → view → replies. Every callback replies exactly once. No-open mode: OPEN and OPENDIR are
 * answered ENOSYS, the kernel never asks again and keeps all pages.
 */
#include "fs.h"

#include "../index/catalog.h"

#include "errmap.h"
#include "push.h"
#include "xattrs.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Seconds; some thirty years. Nothing that is told with this changes, except the names in lists, whose dentries the
 * watcher drops. */
static const double forever = 1e9;

static struct fs *fs_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

static void fail(fuse_req_t req, const struct err *e)
{
    int code = errmap(e);
    if (code == EIO)
        logonce(&fs_of(req)->log, "%s", e->text);
    fuse_reply_err(req, code);
}

/* Opens the id or replies with the error. */
static bool open_or_fail(fuse_req_t req, fuse_ino_t ino, struct vnode *n)
{
    struct err e = {0};
    if (view_open(&fs_of(req)->view, ino, n, &e) == 0)
        return true;
    fail(req, &e);
    return false;
}

/* This thread's reply buffer of FS_MAX_READ bytes; NULL: no memory. */
static char *reply_buffer(struct fs *fs)
{
    char *p = pthread_getspecific(fs->buffer);
    if (p)
        return p;
    p = aligned_alloc(4096, FS_MAX_READ);
    if (p && pthread_setspecific(fs->buffer, p) != 0) {
        free(p);
        return NULL;
    }
    return p;
}

static void op_init(void *userdata, struct fuse_conn_info *c)
{
    (void)userdata;
    /*
     * SPLICE_*: copying is 2.5 times as fast. AUTO_INVAL_DATA: pages never go stale. READDIRPLUS_AUTO: five times the
     * look-ups. POSIX_ACL: without it the kernel would show ACLs and not obey them. The price is a GETXATTR for each
     * inode that a user who doesn't own it looks at first; none for root's files and root.
     */
    c->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
                           FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_READDIRPLUS_AUTO);
    c->want |= c->capable &
               (FUSE_CAP_READDIRPLUS | FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_EXPLICIT_INVAL_DATA | FUSE_CAP_POSIX_ACL |
                FUSE_CAP_EXPORT_SUPPORT | FUSE_CAP_EXPIRE_ONLY | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_ASYNC_READ);
    c->max_background = 64;
    c->congestion_threshold = 48;
    c->max_read = FS_MAX_READ;
    c->max_readahead = FS_MAX_READ;
    c->time_gran = 1;
}

static void fill_entry(struct fuse_entry_param *p, uint64_t id, const struct stat *st)
{
    memset(p, 0, sizeof *p);
    p->ino = id;
    p->attr = *st;
    p->attr_timeout = p->entry_timeout = forever;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fs *fs = fs_of(req);
    struct vnode dir;
    struct found f;
    struct err e = {0};
    struct fuse_entry_param p;
    if (!open_or_fail(req, parent, &dir))
        return;
    int r = view_lookup(&fs->view, &dir, name, &f, &e);
    view_close(&fs->view, &dir);
    if (r < 0) {
        if (e.kind == ERR_USAGE)
            fuse_reply_err(req, ENOTDIR);
        else
            fail(req, &e);
    } else if (f.exists) {
        fill_entry(&p, f.id, &f.st);
        if (fuse_reply_entry(req, &p) < 0)
            objects_unref(fs->view.objects, nodeid_no(f.id), 1);
    } else if (f.final) {
        memset(&p, 0, sizeof p);
        p.entry_timeout = forever;
        fuse_reply_entry(req, &p);
    } else {
        fuse_reply_err(req, ENOENT);
    }
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
    objects_unref(fs_of(req)->view.objects, nodeid_no(ino), n);
    fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *v)
{
    for (size_t i = 0; i < count; i++)
        objects_unref(fs_of(req)->view.objects, nodeid_no(v[i].ino), v[i].nlookup);
    fuse_reply_none(req);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fs *fs = fs_of(req);
    struct vnode n;
    struct stat st;
    struct err e = {0};
    (void)fi;
    if (!open_or_fail(req, ino, &n))
        return;
    int r = view_attr(&fs->view, &n, &st, &e);
    view_close(&fs->view, &n);
    if (r < 0)
        fail(req, &e);
    else
        fuse_reply_attr(req, &st, forever);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
    struct fs *fs = fs_of(req);
    struct vnode n;
    char target[PATH_MAX];
    struct err e = {0};
    if (!open_or_fail(req, ino, &n))
        return;
    int r = view_readlink(&fs->view, &n, target, sizeof target, &e);
    view_close(&fs->view, &n);
    if (r == 0)
        fuse_reply_readlink(req, target);
    else if (e.kind == ERR_USAGE)
        fuse_reply_err(req, EINVAL);
    else
        fail(req, &e);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    (void)fi;
    fuse_reply_err(req, ENOSYS);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    struct fs *fs = fs_of(req);
    struct vnode n;
    struct err e = {0};
    size_t got = 0;
    char *buf = reply_buffer(fs);
    (void)fi;
    if (!buf || off < 0) {
        fuse_reply_err(req, buf ? EINVAL : ENOMEM);
        return;
    }
    if (!open_or_fail(req, ino, &n))
        return;
    int r = view_read(&fs->view, &n, buf, size < FS_MAX_READ ? size : FS_MAX_READ, (uint64_t)off, &got, &e);
    if (r == 0 && n.kind == V_NODE && n.n->size <= PUSH_MAX)
        push_note(fs->push, n.lt->no, n.node);
    view_close(&fs->view, &n);
    if (r == 0)
        fuse_reply_buf(req, buf, got);
    else if (e.kind == ERR_USAGE)
        fuse_reply_err(req, EINVAL);
    else
        fail(req, &e);
}

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
    struct fs *fs = fs_of(req);
    struct vnode n;
    struct err e = {0};
    uint64_t at = 0;
    (void)fi;
    if (off < 0 || (whence != SEEK_DATA && whence != SEEK_HOLE)) {
        fuse_reply_err(req, off < 0 ? ENXIO : EINVAL);
        return;
    }
    if (!open_or_fail(req, ino, &n))
        return;
    int r = view_seek(&fs->view, &n, (uint64_t)off, whence == SEEK_DATA, &at, &e);
    view_close(&fs->view, &n);
    if (r < 0)
        fail(req, &e);
    else if (at == UINT64_MAX)
        fuse_reply_err(req, ENXIO);
    else
        fuse_reply_lseek(req, (off_t)at);
}

/* --- directories --- */

/* A reply with more objects in it than this ends early; the kernel asks for the rest. */
enum { MAX_RUNS = 64 };

struct dirbuf {
    fuse_req_t req;
    char *p;
    size_t cap, used;
    bool plus;
    struct {
        uint32_t no, n;
    } run[MAX_RUNS]; /* entries with attributes, which the kernel counts as look-ups, by object */
    unsigned runs;
};

static bool count_run(struct dirbuf *b, uint32_t no)
{
    unsigned i = b->runs;
    /* From behind: neighbours mostly come from one layer. */
    while (i > 0 && b->run[i - 1].no != no)
        i--;
    if (i == 0) {
        if (b->runs == MAX_RUNS)
            return false;
        b->run[b->runs].no = no;
        b->run[b->runs].n = 0;
        i = ++b->runs;
    }
    b->run[i - 1].n++;
    return true;
}

static int emit(void *ctx, const char *name, uint64_t id, mode_t mode, const struct stat *st, uint64_t next)
{
    struct dirbuf *b = ctx;
    struct fuse_entry_param p;
    size_t left = b->cap - b->used, n;
    if (st) {
        fill_entry(&p, id, st);
    } else {
        memset(&p, 0, sizeof p); /* ino 0: a plain entry */
        p.attr.st_ino = id;
        p.attr.st_mode = mode;
    }
    n = b->plus ? fuse_add_direntry_plus(b->req, b->p + b->used, left, name, &p, (off_t)next)
                : fuse_add_direntry(b->req, b->p + b->used, left, name, &p.attr, (off_t)next);
    if (n > left || (st && b->plus && !count_run(b, nodeid_no(id))))
        return 1;
    b->used += n;
    return 0;
}

static void list_dir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, bool plus)
{
    struct fs *fs = fs_of(req);
    struct vnode n;
    struct err e = {0};
    struct dirbuf b = {.req = req, .p = reply_buffer(fs), .cap = size < FS_MAX_READ ? size : FS_MAX_READ, .plus = plus};
    if (!b.p) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    if (!open_or_fail(req, ino, &n))
        return;
    int r = view_readdir(&fs->view, &n, (uint64_t)off, plus, emit, &b, &e);
    bool changes = view_changes(&n);
    view_close(&fs->view, &n);
    if (r < 0) {
        if (e.kind == ERR_USAGE)
            fuse_reply_err(req, ENOTDIR);
        else
            fail(req, &e);
        return;
    }
    /*
     * In no-opendir mode the kernel keeps the pages of every directory for ever, once it has seen the end of it, which
     * is an empty reply. A directory whose names change ends with a reply too short to hold an entry instead: it is
     * read to the end all the same, and never taken for complete. (fs/README.md: what else was tried.)
     */
    if (b.used == 0 && changes && b.cap >= 8) {
        memset(b.p, 0, 8);
        b.used = 8;
    }
    for (unsigned i = 0; i < b.runs; i++)
        objects_ref(fs->view.objects, b.run[i].no, b.run[i].n);
    if (fuse_reply_buf(req, b.p, b.used) < 0)
        for (unsigned i = 0; i < b.runs; i++)
            objects_unref(fs->view.objects, b.run[i].no, b.run[i].n);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    (void)fi;
    list_dir(req, ino, size, off, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    (void)fi;
    list_dir(req, ino, size, off, true);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct cat_totals t = {0};
    struct err e = {0};
    (void)ino;
    if (catalog_totals(store_catalog(fs_of(req)->view.s), &t, &e) < 0) {
        fail(req, &e);
        return;
    }
    struct statvfs st = {.f_bsize = 4096, .f_frsize = 4096, .f_namemax = NAME_MAX};
    st.f_blocks = (t.pack_bytes + 4095) / 4096;
    st.f_files = t.chunks;
    fuse_reply_statfs(req, &st);
}

/* --- extended attributes --- */

static void reply_xattr(fuse_req_t req, const void *p, size_t n, size_t size)
{
    if (size == 0)
        fuse_reply_xattr(req, n);
    else if (n > size)
        fuse_reply_err(req, ERANGE);
    else
        fuse_reply_buf(req, p, n);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    struct fs *fs = fs_of(req);
    struct vnode n;
    const void *p = NULL;
    size_t len = 0;
    if (!open_or_fail(req, ino, &n))
        return;
    if (n.kind != V_NODE || xattrs_none(n.lt->tree) || xattrs_get(n.lt->tree, n.n, name, &p, &len) < 0)
        fuse_reply_err(req, ENODATA);
    else
        reply_xattr(req, p, len, size);
    view_close(&fs->view, &n);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    struct fs *fs = fs_of(req);
    struct vnode n;
    struct buf names = {0};
    int r = 0;
    if (!open_or_fail(req, ino, &n))
        return;
    if (n.kind == V_NODE && !xattrs_none(n.lt->tree))
        r = xattrs_list(n.lt->tree, n.n, &names);
    if (r < 0)
        fuse_reply_err(req, ENOMEM);
    else
        reply_xattr(req, names.p, names.len, size);
    buf_release(&names);
    view_close(&fs->view, &n);
}

/* --- writes: the mount is read-only, so these are asked for only after somebody remounted it read-write --- */

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int what, struct fuse_file_info *fi)
{
    (void)ino, (void)st, (void)what, (void)fi;
    fuse_reply_err(req, EROFS);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    (void)parent, (void)name, (void)mode, (void)rdev;
    fuse_reply_err(req, EROFS);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    (void)parent, (void)name, (void)mode;
    fuse_reply_err(req, EROFS);
}

static void op_remove(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    (void)parent, (void)name;
    fuse_reply_err(req, EROFS);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    (void)target, (void)parent, (void)name;
    fuse_reply_err(req, EROFS);
}

static void op_rename(fuse_req_t req, fuse_ino_t from, const char *name, fuse_ino_t to, const char *new_name,
                      unsigned flags)
{
    (void)from, (void)name, (void)to, (void)new_name, (void)flags;
    fuse_reply_err(req, EROFS);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
    (void)ino, (void)parent, (void)name;
    fuse_reply_err(req, EROFS);
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
    (void)parent, (void)name, (void)mode, (void)fi;
    fuse_reply_err(req, EROFS);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *p, size_t n, off_t off, struct fuse_file_info *fi)
{
    (void)ino, (void)p, (void)n, (void)off, (void)fi;
    fuse_reply_err(req, EROFS);
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
    (void)ino, (void)mode, (void)off, (void)len, (void)fi;
    fuse_reply_err(req, EROFS);
}

static void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *p, size_t n, int flags)
{
    (void)ino, (void)name, (void)p, (void)n, (void)flags;
    fuse_reply_err(req, EROFS);
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    (void)ino, (void)name;
    fuse_reply_err(req, EROFS);
}

const struct fuse_lowlevel_ops fs_ops = {
    .init = op_init,
    .lookup = op_lookup,
    .forget = op_forget,
    .forget_multi = op_forget_multi,
    .getattr = op_getattr,
    .readlink = op_readlink,
    .open = op_open,
    .opendir = op_open,
    .read = op_read,
    .lseek = op_lseek,
    .readdir = op_readdir,
    .readdirplus = op_readdirplus,
    .statfs = op_statfs,
    .getxattr = op_getxattr,
    .listxattr = op_listxattr,
    .setattr = op_setattr,
    .mknod = op_mknod,
    .mkdir = op_mkdir,
    .unlink = op_remove,
    .rmdir = op_remove,
    .symlink = op_symlink,
    .rename = op_rename,
    .link = op_link,
    .create = op_create,
    .write = op_write,
    .fallocate = op_fallocate,
    .setxattr = op_setxattr,
    .removexattr = op_removexattr,
};
