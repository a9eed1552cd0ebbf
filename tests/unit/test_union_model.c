/* SPDX-License-Identifier: MIT */
/*
 * Random stacks of layers against a naive model: a list of paths, changed one entry after the other the way an
 * extracting program does it on a disk (paths as strings, a set of strings for what the layer has put there). Simple
 * and slow, and nothing in common with union.c. CAIRN_SEED chooses the stacks, CAIRN_ROUNDS how many.
 */
#include "tap.h"
#include "unionlab.h"

enum { MAX_PATHS = 400, PATH_MAX_ = 160, MAX_LAYERS = 6, MAX_OPS = 14, MAX_INODES = 4096 };

struct inode {
    uint32_t mode;
    int64_t mtime; /* 0: made for want of an entry */
    char target[32];
};

struct path {
    char s[PATH_MAX_]; /* "/a/b"; the root is "" */
    int inode;
};

struct model {
    struct path p[MAX_PATHS];
    int n;
    char upper[MAX_PATHS][PATH_MAX_];
    int upper_n;
};

struct op {
    enum tree_op_kind kind;
    char path[64], link[64]; /* link: target of a symlink too */
    uint32_t mode;
    int64_t mtime;
};

static struct inode inodes[MAX_INODES];
static int inode_count;

static int new_inode(uint32_t mode, int64_t mtime, const char *target)
{
    if (inode_count == MAX_INODES)
        abort();
    struct inode *i = &inodes[inode_count];
    *i = (struct inode){.mode = mode, .mtime = mtime};
    snprintf(i->target, sizeof i->target, "%s", target ? target : "");
    return inode_count++;
}

static int at(const struct model *m, const char *path)
{
    for (int i = 0; i < m->n; i++)
        if (!strcmp(m->p[i].s, path))
            return i;
    return -1;
}

static bool is(const struct model *m, const char *path, uint32_t type)
{
    int i = at(m, path);
    return i >= 0 && (inodes[m->p[i].inode].mode & S_IFMT) == type;
}

static void add_path(struct model *m, const char *path, int inode)
{
    int i = at(m, path);
    if (i < 0) {
        if (m->n == MAX_PATHS)
            abort();
        i = m->n++;
        snprintf(m->p[i].s, PATH_MAX_, "%s", path);
    }
    m->p[i].inode = inode;
}

static bool below(const char *path, const char *top)
{
    size_t n = strlen(top);
    return !strncmp(path, top, n) && (path[n] == 0 || path[n] == '/');
}

static void remove_all(struct model *m, const char *path)
{
    for (int i = 0; i < m->n;) {
        if (below(m->p[i].s, path))
            m->p[i] = m->p[--m->n];
        else
            i++;
    }
}

static bool is_upper(const struct model *m, const char *path)
{
    for (int i = 0; i < m->upper_n; i++)
        if (!strcmp(m->upper[i], path))
            return true;
    return false;
}

static void cut(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash)
        *slash = 0;
}

/* All of path resolved, purely on strings: what isn't there counts as a plain name. */
static int join(const struct model *m, const char *path, char out[PATH_MAX_])
{
    char todo[2048], part[2048];
    int links = 0;
    snprintf(todo, sizeof todo, "%s", path);
    out[0] = 0;
    while (todo[0]) {
        size_t n = strcspn(todo, "/");
        snprintf(part, sizeof part, "%.*s", (int)n, todo);
        memmove(todo, todo + n + (todo[n] == '/'), strlen(todo + n + (todo[n] == '/')) + 1);
        if (!part[0] || !strcmp(part, "."))
            continue;
        if (!strcmp(part, "..")) {
            cut(out);
            continue;
        }
        size_t len = strlen(out);
        if (len + strlen(part) + 2 > PATH_MAX_)
            return -1;
        snprintf(out + len, PATH_MAX_ - len, "/%s", part);
        if (!is(m, out, S_IFLNK))
            continue;
        if (++links > 40)
            return -1;
        const char *target = inodes[m->p[at(m, out)].inode].target;
        if (target[0] == '/')
            out[0] = 0;
        else
            out[len] = 0;
        size_t more = strlen(target), left = strlen(todo);
        if (more + left + 2 > sizeof todo)
            return -1;
        memmove(todo + more + 1, todo, left + 1);
        memcpy(todo, target, more);
        todo[more] = '/';
    }
    return 0;
}

/* Parent resolved, last part as it is. */
static int locate(const struct model *m, const char *path, char dir[PATH_MAX_], char full[PATH_MAX_])
{
    char parent[64];
    const char *slash = strrchr(path, '/'), *last = slash ? slash + 1 : path;
    snprintf(parent, sizeof parent, "%.*s", slash ? (int)(slash - path) : 0, path);
    if (join(m, parent, dir) < 0 || strlen(dir) + strlen(last) + 2 > PATH_MAX_)
        return -1;
    sprintf(full, "%s/%s", dir, last);
    return 0;
}

static int mkdir_all(struct model *m, const char *dir)
{
    char sub[PATH_MAX_];
    for (size_t i = 1; i <= strlen(dir); i++) {
        if (dir[i] != '/' && dir[i])
            continue;
        snprintf(sub, sizeof sub, "%.*s", (int)i, dir);
        if (at(m, sub) < 0)
            add_path(m, sub, new_inode(S_IFDIR | 0755, 0, NULL));
        else if (!is(m, sub, S_IFDIR))
            return -1;
    }
    return 0;
}

static void add_upper(struct model *m, const char *path)
{
    char p[PATH_MAX_];
    for (snprintf(p, sizeof p, "%s", path); p[0]; cut(p))
        if (!is_upper(m, p) && m->upper_n < MAX_PATHS)
            snprintf(m->upper[m->upper_n++], PATH_MAX_, "%s", p);
}

static void hide(struct model *m, const char *path, bool opaque)
{
    /* Shorter paths first, so that a directory goes with all that is below it. */
    for (size_t len = 0; len < PATH_MAX_; len++)
        for (int i = 0; i < m->n; i++) {
            char s[PATH_MAX_];
            memcpy(s, m->p[i].s, sizeof s);
            if (strlen(s) != len || !below(s, path) || is_upper(m, s) || (opaque && !strcmp(s, path)) || !s[0])
                continue;
            remove_all(m, s);
            i = -1;
        }
}

static int apply(struct model *m, const struct op *o)
{
    char dir[PATH_MAX_], full[PATH_MAX_], tdir[PATH_MAX_], tfull[PATH_MAX_];
    if (o->kind == OP_OPAQUE) {
        if (join(m, o->path, dir) < 0)
            return -1;
        if (at(m, dir) >= 0 && is(m, dir, S_IFDIR))
            hide(m, dir, true);
        return 0;
    }
    if (!o->path[0]) {
        if (o->kind != OP_NODE || !S_ISDIR(o->mode))
            return -1;
        m->p[at(m, "")].inode = new_inode(o->mode, o->mtime, NULL);
        return 0;
    }
    if (locate(m, o->path, dir, full) < 0)
        return -1;
    if (o->kind == OP_WHITEOUT) {
        if (at(m, full) >= 0)
            hide(m, full, false);
        return 0;
    }
    if (mkdir_all(m, dir) < 0)
        return -1;
    if (!(o->kind == OP_NODE && S_ISDIR(o->mode) && is(m, full, S_IFDIR)))
        remove_all(m, full);
    if (o->kind == OP_HARDLINK) {
        if (!o->link[0] || locate(m, o->link, tdir, tfull) < 0 || at(m, tfull) < 0 || is(m, tfull, S_IFDIR))
            return -1;
        add_path(m, full, m->p[at(m, tfull)].inode);
    } else {
        add_path(m, full, new_inode(o->mode, o->mtime, S_ISLNK(o->mode) ? o->link : NULL));
    }
    add_upper(m, full);
    return 0;
}

/* --- random layers --- */

static unsigned rnd(unsigned n)
{
    return (unsigned)random() % n;
}

static void random_path(char *out, size_t n)
{
    unsigned parts = 1 + rnd(3) + (rnd(8) == 0);
    size_t len = 0;
    for (unsigned i = 0; i < parts; i++)
        len += (size_t)snprintf(out + len, n - len, "%s%c", i ? "/" : "", 'a' + (int)rnd(4));
}

static void random_op(struct op *o, int64_t mtime)
{
    static const char *const prefix[] = {"", "", "/", "../", "../../", "./", "z/../"};
    unsigned k = rnd(100);
    char p[32];
    *o = (struct op){.kind = OP_NODE, .mtime = mtime};
    random_path(o->path, sizeof o->path);
    if (k < 30) {
        o->mode = S_IFREG | 0644;
    } else if (k < 52) {
        o->mode = S_IFDIR | (rnd(2) ? 0755 : 0700);
    } else if (k < 67) {
        o->mode = S_IFLNK | 0777;
        random_path(p, sizeof p);
        snprintf(o->link, 32, "%s%s", prefix[rnd(7)], p);
    } else if (k < 80) {
        o->kind = OP_HARDLINK;
        random_path(o->link, sizeof o->link);
    } else if (k < 90) {
        o->kind = OP_WHITEOUT;
    } else if (k < 98) {
        o->kind = OP_OPAQUE;
    } else {
        o->mode = S_IFDIR | 0711;
    }
    if ((o->kind == OP_OPAQUE || k >= 98) && !rnd(3))
        o->path[0] = 0;
}

struct layer {
    struct op op[MAX_OPS];
    int n;
    struct lab_layer lab;
};

static void build(struct layer *l, unsigned id)
{
    lab_begin(&l->lab, id);
    for (int i = 0; i < l->n; i++) {
        const struct op *o = &l->op[i];
        if (o->kind == OP_NODE)
            lab_node(&l->lab, o->path, o->mode, S_ISLNK(o->mode) ? o->link : NULL, o->mtime);
        else
            lab_op(&l->lab, o->kind, o->path, o->kind == OP_HARDLINK ? o->link : NULL);
    }
}

/* --- comparing --- */

struct shown {
    const struct tree *owner;
    uint32_t node;
    int inode; /* of the model */
};

struct seen {
    struct shown v[MAX_PATHS];
    int n;
    char why[512];
};

static bool differs(struct seen *s, const char *path, const char *what)
{
    if (!s->why[0])
        snprintf(s->why, sizeof s->why, "%s: %s", path, what);
    return true;
}

static bool check_name(const struct model *m, const char *path, const struct tree *owner, const struct tree_node *n,
                       struct seen *s)
{
    int i = at(m, path), names = 0;
    if (i < 0)
        return differs(s, path, "shouldn't be there");
    const struct inode *k = &inodes[m->p[i].inode];
    for (int x = 0; x < m->n; x++)
        names += m->p[x].inode == m->p[i].inode;
    if (n->mode != k->mode || n->mtime != k->mtime)
        return differs(s, path, "mode or mtime");
    if (!(n->flags & NODE_IMPLICIT) != (k->mtime != 0 || !path[0]) && path[0])
        return differs(s, path, "NODE_IMPLICIT");
    if (S_ISLNK(n->mode) &&
        (strlen(k->target) != n->count || memcmp(k->target, tree_string(owner, n->first), n->count) != 0))
        return differs(s, path, "target");
    if (!S_ISDIR(n->mode) && n->nlink != (uint32_t)names)
        return differs(s, path, "link count");
    uint32_t node = (uint32_t)(n - tree_node(owner, 0));
    for (int x = 0; x < s->n; x++)
        if ((s->v[x].owner == owner && s->v[x].node == node) != (s->v[x].inode == m->p[i].inode))
            return differs(s, path, "one node for two files, or two nodes for one");
    s->v[s->n++] = (struct shown){owner, node, m->p[i].inode};
    return false;
}

static bool check_dir(const struct model *m, const struct tree *t, const struct tree_node *dir, const char *path,
                      const struct lab_layer *const *layers, unsigned n, struct seen *s)
{
    for (uint32_t i = 0; i < dir->count; i++) {
        const struct tree_entry *en = tree_entry_at(t, dir, i);
        const struct tree *owner;
        const struct tree_node *c = lab_entry_node(t, en, layers, n, &owner);
        char sub[PATH_MAX_];
        snprintf(sub, sizeof sub, "%s/%.*s", path, en->name_len, tree_string(t, en->name));
        if (c->mode >> 12 != en->type)
            return differs(s, sub, "type of entry");
        if (check_name(m, sub, owner, c, s) || (S_ISDIR(c->mode) && check_dir(m, t, c, sub, layers, n, s)))
            return true;
    }
    return false;
}

static void explain(const struct layer *const *l, unsigned n, const struct model *m)
{
    static const char *const names[] = {"", "", "hardlink", "whiteout", "opaque"};
    for (unsigned i = 0; i < n; i++)
        for (int k = 0; k < l[i]->n; k++) {
            const struct op *o = &l[i]->op[k];
            printf("#   layer %u: %s %s %s (%lld)\n", i,
                   o->kind == OP_NODE ? S_ISDIR(o->mode)   ? "dir"
                                        : S_ISLNK(o->mode) ? "symlink"
                                                           : "file"
                                      : names[o->kind],
                   o->path, o->link, (long long)o->mtime);
        }
    for (int i = 0; i < m->n; i++)
        printf("#   model: %s inode %d mode %o mtime %lld %s\n", m->p[i].s, m->p[i].inode, inodes[m->p[i].inode].mode,
               (long long)inodes[m->p[i].inode].mtime, inodes[m->p[i].inode].target);
}

struct tally {
    unsigned good, refused, alone;
};

/* Makes the layers' own trees; false when one is refused. */
static bool make_trees(struct layer *pool, unsigned n, struct err *e)
{
    for (unsigned i = 0; i < n; i++)
        if (lab_end(&pool[i].lab, e) < 0)
            return false;
    return true;
}

/* Draws a stack while the model follows it; returns whether the model refuses its last operation. */
static bool draw(struct model *m, struct layer *pool, unsigned *pool_n, const struct layer **stack, unsigned *stack_n)
{
    static struct model before;
    unsigned want = 1 + rnd(MAX_LAYERS);
    int64_t mtime = 0;
    bool refused = false;
    *pool_n = *stack_n = 0;
    inode_count = 0;
    m->n = 0;
    add_path(m, "", new_inode(S_IFDIR | 0755, 0, NULL));
    while (*stack_n < want && !refused) {
        m->upper_n = 0;
        if (*pool_n && !rnd(8)) { /* a layer that was there before */
            struct layer *l = &pool[rnd(*pool_n)];
            before = *m;
            int inodes_before = inode_count;
            bool bad = false;
            for (int i = 0; i < l->n && !bad; i++)
                bad = apply(m, &l->op[i]) < 0;
            if (bad) {
                *m = before;
                inode_count = inodes_before;
                want--;
            } else {
                stack[(*stack_n)++] = l;
            }
            continue;
        }
        struct layer *l = &pool[(*pool_n)++];
        unsigned ops = 1 + rnd(MAX_OPS);
        l->n = 0;
        for (unsigned i = 0; i < ops && !refused; i++) {
            before = *m;
            random_op(&l->op[l->n], ++mtime);
            if (apply(m, &l->op[l->n]) == 0) {
                l->n++;
            } else if (rnd(100) == 0) {
                l->n++;
                refused = true;
            } else {
                *m = before;
            }
        }
        build(l, *pool_n);
        stack[(*stack_n)++] = l;
    }
    return refused;
}

static void one_round(unsigned round, struct tally *tally)
{
    static struct model m;
    static struct layer pool[MAX_LAYERS];
    const struct layer *stack[MAX_LAYERS];
    const struct lab_layer *labs[MAX_LAYERS];
    unsigned pool_n, n;
    struct err e = {0};
    struct tree *t = NULL;
    struct seen s = {.n = 0};
    bool refused = draw(&m, pool, &pool_n, stack, &n);
    for (unsigned i = 0; i < n; i++)
        labs[i] = &stack[i]->lab;
    if (!make_trees(pool, pool_n, &e)) {
        /* Alone, a layer may be refused only for what no layer below it can make good. */
        if (!refused || e.kind != ERR_INPUT) {
            ok(0, "round %u: a layer alone is refused: %s", round, e.text);
            explain(stack, n, &m);
        }
        tally->alone++;
    } else if (lab_compile(labs, n, &t, &e) < 0) {
        if (!refused || e.kind != ERR_INPUT) {
            ok(0, "round %u: %s", round, e.text);
            explain(stack, n, &m);
        }
        tally->refused++;
    } else {
        bool bad = refused && differs(&s, "stack", "should be refused");
        bad = bad || check_name(&m, "", t, tree_node(t, 0), &s) || check_dir(&m, t, tree_node(t, 0), "", labs, n, &s) ||
              (s.n != m.n && differs(&s, "tree", "names are missing"));
        if (bad) {
            ok(0, "round %u: %s", round, s.why);
            explain(stack, n, &m);
        }
        tally->good++;
    }
    tree_close(t);
    for (unsigned i = 0; i < pool_n; i++)
        lab_release(&pool[i].lab);
}

int main(void)
{
    const char *seed_env = getenv("CAIRN_SEED"), *rounds_env = getenv("CAIRN_ROUNDS");
    unsigned seed = seed_env ? (unsigned)strtoul(seed_env, NULL, 0) : 20240611;
    unsigned rounds = rounds_env ? (unsigned)strtoul(rounds_env, NULL, 0) : 4000;
    struct tally tally = {0};
    printf("# seed %u (CAIRN_SEED), %u stacks (CAIRN_ROUNDS)\n", seed, rounds);
    srandom(seed);
    for (unsigned i = 0; i < rounds && tap_failed < 3; i++)
        one_round(i, &tally);
    ok(!tap_failed, "%u stacks equal the model; refused by both: %u, and %u for one layer alone", tally.good,
       tally.refused, tally.alone);
    ok(tally.good > rounds / 2 && tally.refused && tally.alone, "all outcomes were met");
    return tap_done();
}
