/* SPDX-License-Identifier: MIT */
/* cairn cat */
#include "../index/io.h"
#include "../index/treecache.h"
#include "command.h"
#include "object.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TREES = 64 << 20, PIECE = 1 << 20 };

static int copy(struct store *s, const struct place *p, struct err *e)
{
    const struct tree_node *n = tree_node(p->lt->tree, p->node);
    struct content_map m;
    uint64_t off = 0;
    size_t got;
    int rc = 0;
    if (S_ISDIR(n->mode))
        return err_set(e, ERR_USAGE, "is a directory");
    if (!S_ISREG(n->mode) || n->flags & NODE_HARDLINK)
        return err_set(e, ERR_USAGE, "is no regular file");
    if (n->content == TREE_NONE)
        return 0;
    char *buf = malloc(PIECE);
    if (!buf)
        return err_nomem(e);
    treecache_map(p->lt, n->content, &m);
    while (rc == 0 && off < n->size) {
        reader_prefetch(store_reader(s), &m, off + PIECE, PIECE);
        rc = reader_pread(store_reader(s), &m, buf, PIECE, off, &got, e);
        if (rc == 0)
            rc = io_write(STDOUT_FILENO, buf, got, "standard output", e);
        off += got;
    }
    free(buf);
    return rc;
}

static int cat(struct store *s, struct treecache *c, const char *text, struct err *e)
{
    struct object o;
    const char *path;
    struct place root, at;
    if (object_find_path(s, text, &o, &path, e) < 0)
        return -1;
    int rc = treewalk_root(c, o.no, &root, e);
    object_release(&o);
    if (rc < 0)
        return -1;
    rc = treewalk_path(c, &root, path, true, &at, e);
    if (rc == 0) {
        rc = copy(s, &at, e);
        treewalk_release(c, &at);
    }
    treewalk_release(c, &root);
    return rc < 0 ? err_wrap(e, "%s", text) : 0;
}

static int run(struct invocation *in, struct err *e)
{
    struct store *s;
    struct treecache *c = NULL;
    if (tool_store(in, 0, &s, e) < 0)
        return -1;
    int rc = treecache_new(s, TREES, &c, e);
    for (int i = 0; rc == 0 && i < in->arg_count; i++)
        rc = cat(s, c, in->args[i], e);
    treecache_free(c);
    store_close(s);
    return rc < 0 ? -1 : EXIT_DONE;
}

const struct command cmd_cat = {
    .name = "cat",
    .args = "OBJECT:PATH…",
    .summary = "print files of an image, layer or package, without mounting",
    .examples = "cairn cat deb:nginx:/etc/debian_version",
    .min_args = 1,
    .max_args = -1,
    .run = run,
};
