/* SPDX-License-Identifier: MIT */
/*
 * The flat tree is used as it was loaded, so tree_open is the only judge of foreign bytes: afterwards every index
 * and offset in it may be followed without a check. It is one pass over each section, with one counter a node
 * and one bit an entry beside it. The rules it enforces are listed in FORMAT.md, "Trees".
 */
#include "tree.h"

#include "buf.h"
#include "limits.h"
#include "treeform.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>

struct tree {
    uint8_t *p;
    size_t n;
    enum tree_kind kind;
    uint32_t count[TREE_SECTIONS];
    const struct tree_node *nodes;
    const struct tree_entry *entries;
    const struct tree_content *contents;
    const struct tree_chunk *chunks;
    const struct tree_xattr_set *sets;
    const struct tree_xattr *xattrs;
    const struct tree_op *ops;
    const struct digest *refs;
    const char *pool;
};

/* What the pass over the entries finds out about the nodes. */
struct names {
    uint32_t *count;  /* per node: entries of this tree that name it */
    uint8_t *owned;   /* bit per entry: belongs to a directory */
    uint32_t entries; /* entries owned so far */
    uint32_t dirs;    /* directories with a name */
};

static int bad(struct err *e, const char *what, uint32_t i)
{
    return err_set(e, ERR_DAMAGED, "tree: %s (number %" PRIu32 ")", what, i);
}

static bool in_pool(const struct tree *t, uint32_t off, uint32_t len)
{
    return (uint64_t)off + len <= t->count[TREE_SEC_POOL];
}

static bool is_dir(const struct tree_node *n)
{
    return S_ISDIR(n->mode);
}

static bool name_valid(const char *s, size_t n)
{
    if (!n || n > LIMIT_NAME || memchr(s, '/', n) || memchr(s, 0, n))
        return false;
    return s[0] != '.' || (n != 1 && (n != 2 || s[1] != '.'));
}

/* Relative, no empty part, no "." or ".."; "" is the root. */
static bool path_valid(const char *s, size_t n)
{
    if (n >= LIMIT_PATH)
        return false;
    for (size_t i = 0; n; i++) {
        const char *slash = memchr(s + i, '/', n - i);
        size_t end = slash ? (size_t)(slash - s) : n;
        if (!name_valid(s + i, end - i))
            return false;
        if (end == n)
            break;
        i = end;
    }
    return true;
}

static int name_cmp(const char *a, size_t an, const char *b, size_t bn)
{
    int c = memcmp(a, b, an < bn ? an : bn);
    return c ? c : (an > bn) - (an < bn);
}

/* --- opening --- */

static int open_header(struct tree *t, struct err *e)
{
    if (t->n < TREE_HEADER || memcmp(t->p, TREE_MAGIC, 8) != 0)
        return err_set(e, ERR_DAMAGED, "tree: this is no tree");
    uint32_t version = get_u32(t->p + 8), kind = get_u32(t->p + 12);
    if (version != TREE_VERSION)
        return err_set(e, ERR_UNSUPPORTED, "tree: version %" PRIu32 " isn't known to this program, which knows %d",
                       version, TREE_VERSION);
    if (kind < TREE_LAYER || kind > TREE_ROOTFS)
        return bad(e, "unknown kind", kind);
    t->kind = (enum tree_kind)kind;
    if (get_u64(t->p + 16) != t->n || t->n > LIMIT_TREE_BYTES)
        return err_set(e, ERR_DAMAGED, "tree: length is %zu, header says %" PRIu64, t->n, get_u64(t->p + 16));
    for (unsigned i = 0; i < TREE_SECTIONS; i++)
        t->count[i] = get_u32(t->p + 24 + 4 * i);
    for (size_t i = 24 + 4 * TREE_SECTIONS; i < TREE_HEADER; i++)
        if (t->p[i])
            return bad(e, "reserved header byte is set", (uint32_t)i);
    return 0;
}

/* Checks that the sections fill the buffer exactly and sets the pointers to them. */
static int open_sections(struct tree *t, struct err *e)
{
    const uint8_t *at[TREE_SECTIONS];
    uint64_t off = TREE_HEADER;
    for (unsigned i = 0; i < TREE_SECTIONS; i++) {
        uint64_t len = (uint64_t)t->count[i] * tree_section_size[i];
        if (len > t->n - off)
            return bad(e, "section ends behind the end", i);
        at[i] = t->p + off;
        off += len;
        for (; off % 8; off++)
            if (off >= t->n || t->p[off])
                return bad(e, "padding behind section", i);
    }
    if (off != t->n)
        return err_set(e, ERR_DAMAGED, "tree: %" PRIu64 " bytes behind the last section", (uint64_t)t->n - off);
    t->nodes = (const void *)at[TREE_SEC_NODES];
    t->entries = (const void *)at[TREE_SEC_ENTRIES];
    t->contents = (const void *)at[TREE_SEC_CONTENTS];
    t->chunks = (const void *)at[TREE_SEC_CHUNKS];
    t->sets = (const void *)at[TREE_SEC_XATTR_SETS];
    t->xattrs = (const void *)at[TREE_SEC_XATTRS];
    t->ops = (const void *)at[TREE_SEC_OPS];
    t->refs = (const void *)at[TREE_SEC_REFS];
    t->pool = (const void *)at[TREE_SEC_POOL];
    if (t->kind != TREE_LAYER && t->count[TREE_SEC_OPS])
        return err_set(e, ERR_DAMAGED, "tree: operations in a tree that is no layer");
    if (t->kind != TREE_ROOTFS && t->count[TREE_SEC_REFS])
        return err_set(e, ERR_DAMAGED, "tree: references in a tree that is no root filesystem");
    return 0;
}

/* Contents use up the chunks one after the other, each chunk once: so this is linear whatever the numbers say. */
static int check_contents(const struct tree *t, struct err *e)
{
    uint32_t next = 0;
    for (uint32_t i = 0; i < t->count[TREE_SEC_CONTENTS]; i++) {
        const struct tree_content *c = &t->contents[i];
        uint64_t end = 0, stored = 0;
        if (c->first_chunk != next || !c->chunk_count || c->chunk_count > t->count[TREE_SEC_CHUNKS] - next)
            return bad(e, "chunk range of content", i);
        if (!c->size || c->size > LIMIT_FILE || digest_is_zero(&c->digest))
            return bad(e, "size or digest of content", i);
        for (uint32_t k = next; k < next + c->chunk_count; k++) {
            const struct tree_chunk *h = &t->chunks[k];
            if (h->end <= end || h->end > c->size)
                return bad(e, "offset of chunk", k);
            if (!digest_is_zero(&h->digest)) {
                if (h->end - end > CHUNK_MAX)
                    return bad(e, "length of chunk", k);
                stored += h->end - end;
            }
            end = h->end;
        }
        if (end != c->size || stored != c->stored)
            return bad(e, "chunks don't add up to content", i);
        next += c->chunk_count;
    }
    return next == t->count[TREE_SEC_CHUNKS] ? 0 : bad(e, "chunk without content", next);
}

/* Sets use up the xattrs in the same way. */
static int check_xattrs(const struct tree *t, struct err *e)
{
    uint32_t next = 0;
    for (uint32_t i = 0; i < t->count[TREE_SEC_XATTR_SETS]; i++) {
        const struct tree_xattr_set *s = &t->sets[i];
        if (s->first != next || !s->count || s->count > t->count[TREE_SEC_XATTRS] - next)
            return bad(e, "range of xattr set", i);
        for (uint32_t k = next; k < next + s->count; k++) {
            const struct tree_xattr *x = &t->xattrs[k], *prev = x - 1;
            if (!in_pool(t, x->name, x->name_len) || !in_pool(t, x->value, x->value_len))
                return bad(e, "strings of xattr", k);
            if (!x->name_len || x->name_len > LIMIT_NAME || memchr(t->pool + x->name, 0, x->name_len) ||
                x->value_len > LIMIT_XATTR_VALUE)
                return bad(e, "name or length of xattr", k);
            if (k > next && name_cmp(t->pool + prev->name, prev->name_len, t->pool + x->name, x->name_len) >= 0)
                return bad(e, "order of xattr", k);
        }
        next += s->count;
    }
    return next == t->count[TREE_SEC_XATTRS] ? 0 : bad(e, "xattr without set", next);
}

static bool flags_valid(const struct tree *t, const struct tree_node *n)
{
    uint32_t allowed = 0;
    if (is_dir(n))
        allowed = t->kind == TREE_LAYER ? NODE_OPAQUE | NODE_IMPLICIT : t->kind == TREE_ROOTFS ? NODE_IMPLICIT : 0;
    else if (S_ISLNK(n->mode) && t->kind == TREE_LAYER)
        allowed = NODE_HARDLINK;
    else if (S_ISCHR(n->mode) && t->kind == TREE_LAYER && !n->rdev)
        allowed = NODE_WHITEOUT;
    return !(n->flags & ~allowed);
}

/* Fields of one node, whatever its neighbours say. */
static int check_node(const struct tree *t, uint32_t i, struct err *e)
{
    const struct tree_node *n = &t->nodes[i];
    uint32_t contents = t->count[TREE_SEC_CONTENTS];
    uint64_t size = 0;
    if (n->mode >> 16 || n->mtime_nsec >= 1000000000 || !flags_valid(t, n))
        return bad(e, "mode, time or flags of node", i);
    if (n->xattrs != TREE_NONE && n->xattrs >= t->count[TREE_SEC_XATTR_SETS])
        return bad(e, "xattrs of node", i);
    if (n->content != TREE_NONE && (!S_ISREG(n->mode) || n->content >= contents))
        return bad(e, "content of node", i);
    if (!is_dir(n) && n->parent != TREE_NONE)
        return bad(e, "parent of node", i);
    switch (n->mode & S_IFMT) {
    case S_IFREG:
        size = n->content == TREE_NONE ? 0 : t->contents[n->content].size;
        break;
    case S_IFLNK:
        size = n->count;
        if (!size || size >= LIMIT_PATH || !in_pool(t, n->first, n->count) || memchr(t->pool + n->first, 0, n->count))
            return bad(e, "target of symlink", i);
        break;
    case S_IFDIR:
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK:
        break;
    default:
        return bad(e, "type of node", i);
    }
    return n->size == size ? 0 : bad(e, "size of node", i);
}

static int check_entry(const struct tree *t, uint32_t dir, uint32_t i, struct names *nm, struct err *e)
{
    const struct tree_entry *en = &t->entries[i], *prev = en - 1;
    if (nm->owned[i / 8] & 1u << i % 8)
        return bad(e, "two directories have entry", i);
    nm->owned[i / 8] |= (uint8_t)(1u << i % 8);
    nm->entries++;
    if (!in_pool(t, en->name, en->name_len) || !name_valid(t->pool + en->name, en->name_len) || en->reserved)
        return bad(e, "name of entry", i);
    if (i > t->nodes[dir].first &&
        name_cmp(t->pool + prev->name, prev->name_len, t->pool + en->name, en->name_len) >= 0)
        return bad(e, "order of entry", i);
    if (en->tree != TREE_SELF) {
        if (en->tree >= t->count[TREE_SEC_REFS] || en->type > 15 ||
            !(1u << en->type & TREE_TYPES & ~(1u << S_IFDIR / 4096)))
            return bad(e, "reference or type of entry", i);
        return 0;
    }
    if (en->node >= t->count[TREE_SEC_NODES] || en->type != t->nodes[en->node].mode >> 12)
        return bad(e, "node or type of entry", i);
    nm->count[en->node]++;
    if (!is_dir(&t->nodes[en->node]))
        return 0;
    /* With the parent pointers, "once" is enough for a tree; node 0 has no name at all. */
    if (nm->count[en->node] > 1 || !en->node || t->nodes[en->node].parent != dir)
        return bad(e, "directory of entry", i);
    nm->dirs++;
    return 0;
}

static int check_dir(const struct tree *t, uint32_t dir, struct names *nm, struct err *e)
{
    const struct tree_node *n = &t->nodes[dir];
    uint32_t total = t->count[TREE_SEC_ENTRIES], before = nm->dirs;
    if (n->first > total || n->count > total - n->first)
        return bad(e, "entries of directory", dir);
    for (uint32_t i = n->first; i < n->first + n->count; i++)
        if (check_entry(t, dir, i, nm, e) < 0)
            return -1;
    /* A directory without a name (superseded within its layer) has nlink 0: check_links. */
    if (n->nlink != 2 + (nm->dirs - before) && n->nlink)
        return bad(e, "link count of directory", dir);
    return 0;
}

static int check_links(const struct tree *t, const struct names *nm, struct err *e)
{
    for (uint32_t i = 1; i < t->count[TREE_SEC_NODES]; i++) {
        const struct tree_node *n = &t->nodes[i];
        if (!nm->count[i]) {
            if (t->kind != TREE_LAYER || n->nlink || (is_dir(n) && (n->count || n->parent != TREE_NONE)))
                return bad(e, "no name for node", i);
        } else if (is_dir(n) ? n->nlink < 2 : n->nlink != nm->count[i]) {
            return bad(e, "link count of node", i);
        }
    }
    return 0;
}

/*
 * Each named directory has one name, in its parent. What is left to exclude are rings beside the tree: from the root,
 * all named directories must be met. nm->count is free for use as the queue.
 */
static int check_reach(const struct tree *t, struct names *nm, struct err *e)
{
    uint32_t *queue = nm->count, head = 0, tail = 0;
    queue[tail++] = 0;
    while (head < tail) {
        const struct tree_node *n = &t->nodes[queue[head++]];
        for (uint32_t i = 0; i < n->count; i++) {
            const struct tree_entry *en = &t->entries[n->first + i];
            if (en->type == S_IFDIR >> 12)
                queue[tail++] = en->node;
        }
    }
    return tail == nm->dirs + 1 ? 0 : err_set(e, ERR_DAMAGED, "tree: directories that the root doesn't lead to");
}

static int check_nodes(const struct tree *t, struct names *nm, struct err *e)
{
    const struct tree_node *root = &t->nodes[0];
    uint32_t n = t->count[TREE_SEC_NODES];
    for (uint32_t i = 0; i < n; i++)
        if (check_node(t, i, e) < 0)
            return -1;
    for (uint32_t i = 0; i < n; i++)
        if (is_dir(&t->nodes[i]) && check_dir(t, i, nm, e) < 0)
            return -1;
    if (nm->entries != t->count[TREE_SEC_ENTRIES])
        return err_set(e, ERR_DAMAGED, "tree: entries without directory");
    if (is_dir(root) ? root->parent != 0 || root->nlink < 2 : t->kind != TREE_PACKAGE || root->nlink != 1 || n != 1)
        return err_set(e, ERR_DAMAGED, "tree: root is out of line");
    if (check_links(t, nm, e) < 0)
        return -1;
    return is_dir(root) ? check_reach(t, nm, e) : 0;
}

static int check_ops(const struct tree *t, struct err *e)
{
    for (uint32_t i = 0; i < t->count[TREE_SEC_OPS]; i++) {
        const struct tree_op *o = &t->ops[i];
        bool node = o->kind == OP_NODE, link = o->kind == OP_HARDLINK;
        if (o->kind < OP_NODE || o->kind > OP_OPAQUE || o->reserved[0] || o->reserved[1])
            return bad(e, "kind of operation", i);
        if (node ? o->node >= t->count[TREE_SEC_NODES] : o->node != TREE_NONE)
            return bad(e, "node of operation", i);
        if (node && t->nodes[o->node].flags & (NODE_WHITEOUT | NODE_HARDLINK))
            return bad(e, "node of operation", i);
        if (!in_pool(t, o->path, o->path_len) || !path_valid(t->pool + o->path, o->path_len))
            return bad(e, "path of operation", i);
        if (link ? !in_pool(t, o->link, o->link_len) || !path_valid(t->pool + o->link, o->link_len)
                 : o->link || o->link_len)
            return bad(e, "link of operation", i);
    }
    return 0;
}

static int check(const struct tree *t, struct err *e)
{
    uint32_t n = t->count[TREE_SEC_NODES], entries = t->count[TREE_SEC_ENTRIES];
    if (!n)
        return err_set(e, ERR_DAMAGED, "tree: no root");
    if (check_contents(t, e) < 0 || check_xattrs(t, e) < 0 || check_ops(t, e) < 0)
        return -1;
    struct names nm = {.count = calloc(n, sizeof *nm.count), .owned = calloc((size_t)entries / 8 + 1, 1)};
    int r = nm.count && nm.owned ? check_nodes(t, &nm, e) : err_nomem(e);
    free(nm.count);
    free(nm.owned);
    return r;
}

int tree_open(uint8_t *p, size_t n, struct tree **ret, struct err *e)
{
    struct tree *t = calloc(1, sizeof *t);
    if (!t) {
        free(p);
        return err_nomem(e);
    }
    t->p = p;
    t->n = n;
    if (open_header(t, e) < 0 || open_sections(t, e) < 0 || check(t, e) < 0) {
        tree_close(t);
        return -1;
    }
    *ret = t;
    return 0;
}

void tree_close(struct tree *t)
{
    if (!t)
        return;
    free(t->p);
    free(t);
}

/* --- using --- */

enum tree_kind tree_kind(const struct tree *t)
{
    return t->kind;
}

size_t tree_bytes(const struct tree *t)
{
    return t->n;
}

uint32_t tree_node_count(const struct tree *t)
{
    return t->count[TREE_SEC_NODES];
}

const struct tree_node *tree_node(const struct tree *t, uint32_t node)
{
    return &t->nodes[node];
}

const struct tree_entry *tree_entry_at(const struct tree *t, const struct tree_node *dir, uint32_t i)
{
    return &t->entries[dir->first + i];
}

const struct tree_entry *tree_lookup(const struct tree *t, const struct tree_node *dir, const char *name, size_t len)
{
    if (!is_dir(dir))
        return NULL;
    const struct tree_entry *en = &t->entries[dir->first];
    uint32_t lo = 0, hi = dir->count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = name_cmp(name, len, t->pool + en[mid].name, en[mid].name_len);
        if (!c)
            return &en[mid];
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

const char *tree_string(const struct tree *t, uint32_t off)
{
    return t->pool + off;
}

uint32_t tree_content_count(const struct tree *t)
{
    return t->count[TREE_SEC_CONTENTS];
}

const struct tree_content *tree_content(const struct tree *t, uint32_t i)
{
    return &t->contents[i];
}

const struct tree_chunk *tree_chunk(const struct tree *t, uint32_t i)
{
    return &t->chunks[i];
}

uint32_t tree_chunk_count(const struct tree *t)
{
    return t->count[TREE_SEC_CHUNKS];
}

bool tree_has_xattrs(const struct tree *t)
{
    return t->count[TREE_SEC_XATTR_SETS] > 0;
}

uint32_t tree_xattr_count(const struct tree *t, const struct tree_node *n)
{
    return n->xattrs == TREE_NONE ? 0 : t->sets[n->xattrs].count;
}

const struct tree_xattr *tree_xattr(const struct tree *t, const struct tree_node *n, uint32_t i)
{
    return &t->xattrs[t->sets[n->xattrs].first + i];
}

uint32_t tree_op_count(const struct tree *t)
{
    return t->count[TREE_SEC_OPS];
}

const struct tree_op *tree_op(const struct tree *t, uint32_t i)
{
    return &t->ops[i];
}

uint32_t tree_ref_count(const struct tree *t)
{
    return t->count[TREE_SEC_REFS];
}

const struct digest *tree_ref(const struct tree *t, uint32_t i)
{
    return &t->refs[i];
}
