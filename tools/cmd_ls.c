/* SPDX-License-Identifier: MIT */
/* cairn ls */
#include "../index/treecache.h"
#include "command.h"
#include "object.h"
#include "out.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { TREES = 64 << 20 };

struct lister {
    struct treecache *c;
    const struct invocation *in;
    bool whole, all, first;
    struct json *list;
    struct err *e;
};

static char type_char(const struct tree_node *n)
{
    static const char types[] = "?pc?d?b?-?l?s???";
    return n->flags & NODE_HARDLINK ? 'h' : types[n->mode >> 12 & 15];
}

static void mode_text(const struct tree_node *n, char out[11])
{
    static const char bits[] = "rwxrwxrwx";
    out[0] = type_char(n);
    for (int i = 0; i < 9; i++)
        out[i + 1] = n->mode & 1u << (8 - i) ? bits[i] : '-';
    if (n->mode & S_ISUID)
        out[3] = n->mode & S_IXUSR ? 's' : 'S';
    if (n->mode & S_ISGID)
        out[6] = n->mode & S_IXGRP ? 's' : 'S';
    if (n->mode & S_ISVTX)
        out[9] = n->mode & S_IXOTH ? 't' : 'T';
    out[10] = '\0';
}

static void print_long(const struct tree *t, const struct tree_node *n)
{
    char mode[11], when[32] = "?";
    time_t time = (time_t)n->mtime;
    struct tm tm;
    mode_text(n, mode);
    if (localtime_r(&time, &tm))
        strftime(when, sizeof when, "%Y-%m-%d %H:%M", &tm);
    printf("%s %3u %5u %5u ", mode, n->nlink, n->uid, n->gid);
    if (S_ISCHR(n->mode) || S_ISBLK(n->mode))
        printf("%5u,%5u", n->rdev >> 20, n->rdev & 0xfffff);
    else
        printf("%11" PRIu64, n->size);
    printf(" %s ", when);
    (void)t;
}

static void print_target(const struct tree *t, const struct tree_node *n)
{
    if (!S_ISLNK(n->mode) && !(n->flags & NODE_HARDLINK))
        return;
    fputs(n->flags & NODE_HARDLINK ? " => " : " -> ", stdout);
    out_name(tree_string(t, n->first), n->count);
}

static int add_json(struct lister *l, const char *path, const struct tree *t, const struct tree_node *n)
{
    char type[2] = {type_char(n), '\0'}, mode[8];
    struct json *o = json_new_object();
    snprintf(mode, sizeof mode, "%04o", n->mode & 07777);
    int rc = json_set(o, "path", json_new_str(path)) | json_set(o, "type", json_new_str(type)) |
             json_set(o, "mode", json_new_str(mode)) | json_set(o, "uid", json_new_int(n->uid)) |
             json_set(o, "gid", json_new_int(n->gid)) | json_set(o, "nlink", json_new_int(n->nlink)) |
             json_set(o, "size", json_new_int((int64_t)n->size)) | json_set(o, "mtime", json_new_int(n->mtime));
    if (S_ISLNK(n->mode) || n->flags & NODE_HARDLINK)
        rc |= json_set(o, "target", json_new_strn(tree_string(t, n->first), n->count));
    rc |= json_add(l->list, o);
    return rc ? err_nomem(l->e) : 0;
}

static int print_node(struct lister *l, const struct place *p, const char *name, size_t len, const char *path)
{
    const struct tree *t = p->lt->tree;
    const struct tree_node *n = tree_node(t, p->node);
    if (l->in->json)
        return add_json(l, path, t, n);
    if (l->whole)
        print_long(t, n);
    out_name(name, len);
    if (l->whole)
        print_target(t, n);
    putchar('\n');
    return 0;
}

static void heading(struct lister *l, const char *path)
{
    if (l->in->json)
        return;
    if (!l->first)
        putchar('\n');
    l->first = false;
    out_name(path, strlen(path));
    puts(":");
}

/* Paths of directories still to be listed, in the order of ls -R. */
struct todo {
    char **path;
    size_t count, cap;
};

static int push(struct todo *t, char *path)
{
    if (t->count == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 64;
        char **v = realloc(t->path, cap * sizeof *v);
        if (!v)
            return -1;
        t->path = v;
        t->cap = cap;
    }
    t->path[t->count++] = path;
    return 0;
}

static int list_dir(struct lister *l, const struct place *dir, const char *path, struct todo *todo)
{
    const struct tree *t = dir->lt->tree;
    const struct tree_node *d = tree_node(t, dir->node);
    size_t base = todo->count;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < d->count; i++) {
        const struct tree_entry *en = tree_entry_at(t, d, i);
        const char *name = tree_string(t, en->name);
        struct place p;
        char *sub = NULL;
        if (asprintf(&sub, "%s/%.*s", strcmp(path, "/") == 0 ? "" : path, (int)en->name_len, name) < 0)
            return err_nomem(l->e);
        rc = treewalk_entry(l->c, dir, en, &p, l->e);
        if (rc == 0) {
            rc = print_node(l, &p, name, en->name_len, sub);
            bool is_dir = S_ISDIR(tree_node(p.lt->tree, p.node)->mode);
            treewalk_release(l->c, &p);
            if (rc == 0 && is_dir && l->all) {
                if (push(todo, sub) == 0)
                    continue;
                rc = err_nomem(l->e);
            }
        }
        free(sub);
    }
    /* Listed in order from a stack: turn the new ones round. */
    for (size_t a = base, b = todo->count; a + 1 < b; a++) {
        char *x = todo->path[a];
        todo->path[a] = todo->path[--b];
        todo->path[b] = x;
    }
    return rc;
}

static int list_all(struct lister *l, const struct place *root, const char *start)
{
    struct todo todo = {0};
    char *path = NULL;
    int rc = 0, n = (int)strlen(start);
    /* Paths are shown as "/etc/ssl", however the first one was written. */
    while (n > 0 && start[n - 1] == '/')
        n--;
    if (asprintf(&path, "%s%.*s", *start == '/' && n ? "" : "/", n, start) < 0)
        return err_nomem(l->e);
    if (push(&todo, path) < 0) {
        free(path);
        return err_nomem(l->e);
    }
    while (rc == 0 && todo.count) {
        struct place dir;
        path = todo.path[--todo.count];
        rc = treewalk_path(l->c, root, path, true, &dir, l->e);
        if (rc == 0) {
            if (l->all)
                heading(l, path);
            rc = list_dir(l, &dir, path, &todo);
            treewalk_release(l->c, &dir);
        }
        free(path);
    }
    while (todo.count)
        free(todo.path[--todo.count]);
    free(todo.path);
    return rc;
}

static int list_object(struct lister *l, struct store *s, const char *text)
{
    struct object o;
    const char *path;
    struct place root, at;
    if (object_find_path(s, text, &o, &path, l->e) < 0)
        return -1;
    int rc = treewalk_root(l->c, o.no, &root, l->e);
    object_release(&o);
    if (rc < 0)
        return -1;
    rc = treewalk_path(l->c, &root, path, !opt_has(l->in, "long"), &at, l->e);
    if (rc == 0) {
        if (S_ISDIR(tree_node(at.lt->tree, at.node)->mode) && !opt_has(l->in, "directory"))
            rc = list_all(l, &root, *path ? path : "/");
        else
            rc = print_node(l, &at, text, strlen(text), path);
        treewalk_release(l->c, &at);
    } else {
        err_wrap(l->e, "%s", text);
    }
    treewalk_release(l->c, &root);
    return rc;
}

static int run(struct invocation *in, struct err *e)
{
    struct store *s;
    struct lister l = {.in = in, .whole = opt_has(in, "long"), .all = opt_has(in, "recursive"), .first = true, .e = e};
    if (tool_store(in, 0, &s, e) < 0)
        return -1;
    int rc = treecache_new(s, TREES, &l.c, e);
    l.list = json_new_array();
    for (int i = 0; rc == 0 && i < in->arg_count; i++)
        rc = list_object(&l, s, in->args[i]);
    if (rc == 0 && in->json)
        rc = out_json(json_ref(l.list), e);
    json_unref(l.list);
    treecache_free(l.c);
    store_close(s);
    return rc < 0 ? -1 : EXIT_DONE;
}

static const struct option_def options[] = {
    {'l', "long", NULL, "mode, links, owner, size, time, target"},
    {'R', "recursive", NULL, "directories below, too"},
    {'d', "directory", NULL, "a directory itself, not what is in it"},
    {0, NULL, NULL, NULL},
};

const struct command cmd_ls = {
    .name = "ls",
    .args = "OBJECT[:PATH]…",
    .summary = "list files of an image, layer or package, without mounting",
    .text = "Links in PATH are resolved inside the object. In a layer, 'h' is a hard link to a file of a lower layer, "
            "'c' with 0,0 hides a file of one.",
    .examples = "cairn ls deb:nginx:/etc\ncairn ls -lR nginx # a package",
    .options = options,
    .min_args = 1,
    .max_args = -1,
    .run = run,
};
