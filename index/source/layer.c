/* SPDX-License-Identifier: MIT */
/*
 * From tar to tree in one pass. While it lasts, a file's node holds in `content` the slot of the session; after
 * session_flush the slots give way to contents of the tree. Directories come last: the union applies the layer's own
 * operations over nothing, with the same rules that later merge layers.
 *
 * The recipe is made at the same time and may be of any length (a hostile tar can be all headers), so what exceeds
 * some memory goes through a temporary file.
 */
#include "layer.h"
#include "entrypath.h"
#include "recipe.h"
#include "../io.h"
#include "../limits.h"
#include "../reader.h"
#include "../union.h"

#include <inttypes.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SPOOL_MEMORY = 4 << 20, SPOOL_PIECE = 256 << 10 };

/* The caller's stream under our own hash stream, which owns what it reads from. */
struct borrowed {
    struct stream s; /* first */
    struct stream *from;
};

/* Bytes of the recipe: in memory up to SPOOL_MEMORY, then in a file. */
struct spool {
    struct store *store;
    struct buf mem;
    int fd; /* -1: not needed so far */
    uint64_t in_file;
};

struct builder {
    struct session *s;
    struct borrowed in;
    struct stream *hash;
    struct tar *tar;
    struct treewrite *w;
    struct recipe *recipe;
    struct spool spool;
    struct buf ops; /* struct tree_op[], for the union */
    struct buf path, link;
    uint64_t holes;
    uint32_t entries;
};

/* --- small parts --- */

static int borrowed_pull(struct stream *s, const uint8_t **p, size_t *n, struct err *e)
{
    return stream_run(((struct borrowed *)s)->from, SIZE_MAX, p, n, e);
}

static void borrowed_close(struct stream *s)
{
    (void)s;
}

static int spool_write(void *ctx, const void *p, size_t n, struct err *e)
{
    struct spool *sp = ctx;
    if (buf_append(&sp->mem, p, n) < 0)
        return err_nomem(e);
    if (sp->mem.len < SPOOL_MEMORY)
        return 0;
    if (sp->fd < 0 && store_tmpfile(sp->store, &sp->fd, e) < 0)
        return -1;
    if (io_write(sp->fd, sp->mem.p, sp->mem.len, "temporary file of a layer's recipe", e) < 0)
        return -1;
    sp->in_file += sp->mem.len;
    sp->mem.len = 0;
    return 0;
}

static int take_literal(void *ctx, const void *p, size_t n, struct err *e)
{
    return recipe_literal(((struct builder *)ctx)->recipe, p, n, e);
}

static int add_op(struct builder *b, uint32_t kind, uint32_t node, struct err *e)
{
    struct tree_op op = {.kind = kind, .node = node, .path_len = (uint32_t)b->path.len};
    if (treewrite_string(b->w, b->path.p, b->path.len, &op.path, e) < 0)
        return -1;
    if (kind == OP_HARDLINK) {
        op.link_len = (uint32_t)b->link.len;
        if (treewrite_string(b->w, b->link.p, b->link.len, &op.link, e) < 0)
            return -1;
    }
    return buf_append(&b->ops, &op, sizeof op) < 0 ? err_nomem(e) : 0;
}

/* --- entries --- */

/* Type bits of a node; 0: a hard link; ERR_INPUT for what docker doesn't know either. */
static int entry_type(const struct tar_entry *en, mode_t *ret, struct err *e)
{
    switch (en->type) {
    case '0':
    case '7': /* contiguous: a file */
    case 'S': /* GNU sparse */
        *ret = S_IFREG;
        return 0;
    case '1':
        *ret = 0;
        return 0;
    case '2':
        *ret = S_IFLNK;
        return 0;
    case '3':
        *ret = S_IFCHR;
        return 0;
    case '4':
        *ret = S_IFBLK;
        return 0;
    case '5':
        *ret = S_IFDIR;
        return 0;
    case '6':
        *ret = S_IFIFO;
        return 0;
    default:
        return err_set(e, ERR_INPUT, "unhandled tar header type 0x%02x", (unsigned char)en->type);
    }
}

static int check_id(int64_t id, const char *what, struct err *e)
{
    if (id < 0 || id > (int64_t)UINT32_MAX - 1)
        return err_set(e, ERR_INPUT, "%s %" PRId64 " is out of range (0 to %u)", what, id, UINT32_MAX - 1);
    return 0;
}

static int fill_node(const struct tar_entry *en, mode_t type, struct tree_node *n, struct err *e)
{
    *n = (struct tree_node){.mode = type | (uint32_t)(en->mode & 07777),
                            .mtime = en->mtime,
                            .mtime_nsec = en->mtime_nsec,
                            .content = TREE_NONE,
                            .xattrs = TREE_NONE,
                            .parent = TREE_NONE};
    if (check_id(en->uid, "uid", e) < 0 || check_id(en->gid, "gid", e) < 0)
        return -1;
    n->uid = (uint32_t)en->uid;
    n->gid = (uint32_t)en->gid;
    if (type == S_IFREG) {
        if (en->size > LIMIT_FILE)
            return err_set(e, ERR_LIMIT, "a file of %" PRIu64 " bytes is over the limit of %" PRIu64, en->size,
                           LIMIT_FILE);
        n->size = en->size;
    } else if (type == S_IFCHR || type == S_IFBLK) {
        if (en->devmajor < 0 || en->devmajor > 0xfff || en->devminor < 0 || en->devminor > 0xfffff)
            return err_set(e, ERR_INPUT, "device number %" PRId64 ":%" PRId64 " is out of range", en->devmajor,
                           en->devminor);
        n->rdev = (uint32_t)en->devmajor << 20 | (uint32_t)en->devminor;
    }
    return 0;
}

static bool has_prefix(const struct xattr *x, const char *prefix)
{
    return x->name_len > strlen(prefix) && !memcmp(x->name, prefix, strlen(prefix));
}

/*
 * Which attributes an extraction would leave on the file: Linux knows four namespaces, and "user." on files and
 * directories only; docker goes on when the kernel says so.
 */
static bool kept_xattr(const struct xattr *x, mode_t type)
{
    if (has_prefix(x, "user."))
        return type == S_IFREG || type == S_IFDIR;
    return has_prefix(x, "security.") || has_prefix(x, "trusted.") || has_prefix(x, "system.");
}

static int add_xattrs(struct builder *b, const struct tar_entry *en, uint32_t node, mode_t type, struct err *e)
{
    size_t n = 0;
    uint64_t total = 0;
    for (size_t i = 0; i < en->xattr_count; i++) {
        struct xattr *x = &en->xattrs[i];
        total += x->name_len + x->value_len;
        if (!x->name_len)
            return err_set(e, ERR_INPUT, "an extended attribute without name");
        if (x->name_len > LIMIT_NAME || x->value_len > LIMIT_XATTR_VALUE || total > LIMIT_XATTR_TOTAL)
            return err_set(e, ERR_LIMIT,
                           "extended attributes over the limit (name %d bytes, value %u, all of an entry %u)",
                           LIMIT_NAME, LIMIT_XATTR_VALUE, LIMIT_XATTR_TOTAL);
        if (kept_xattr(x, type))
            en->xattrs[n++] = *x;
    }
    return treewrite_xattrs(b->w, node, en->xattrs, n, e);
}

static int set_target(struct builder *b, const struct tar_entry *en, struct tree_node *n, struct err *e)
{
    if (!en->link_len || memchr(en->link, 0, en->link_len))
        return err_set(e, ERR_INPUT, "a symbolic link without a proper target");
    if (en->link_len >= LIMIT_PATH)
        return err_set(e, ERR_LIMIT, "a link target of %zu bytes is over the limit of %d", en->link_len,
                       LIMIT_PATH - 1);
    n->size = n->count = (uint32_t)en->link_len;
    return treewrite_string(b->w, en->link, en->link_len, &n->first, e);
}

static int add_hole(struct builder *b, uint64_t n, struct err *e)
{
    if (n > LIMIT_HOLES - b->holes)
        return err_set(e, ERR_LIMIT, "the layer's sparse files have over %" PRIu64 " bytes of holes", LIMIT_HOLES);
    b->holes += n;
    return session_hole(b->s, n, e);
}

/* The file's bytes go to the session, their places to the recipe. tar_data's own errors say where they are. */
static int read_content(struct builder *b, const struct tar_entry *en, uint32_t op, uint32_t *ret_slot,
                        bool *ret_placed, struct err *e)
{
    uint64_t at = 0, off;
    const uint8_t *p;
    size_t n;
    if (session_content_begin(b->s, e) < 0)
        return -1;
    for (;;) {
        if (tar_data(b->tar, &off, &p, &n, e) < 0) {
            *ret_placed = true;
            return -1;
        }
        if (!n)
            off = en->size;
        if (off > at && add_hole(b, off - at, e) < 0)
            return -1;
        if (!n)
            break;
        if (session_data(b->s, p, n, e) < 0)
            return -1;
        at = off + n;
    }
    if (session_content_end(b->s, ret_slot, e) < 0)
        return -1;
    return en->sparse ? recipe_fragments(b->recipe, op, en->fragments, en->fragment_count, e)
                      : recipe_payload(b->recipe, op, en->size, e);
}

static int add_node(struct builder *b, const struct tar_entry *en, mode_t type, bool *ret_placed, struct err *e)
{
    struct tree_node n;
    uint32_t node, op = (uint32_t)(b->ops.len / sizeof(struct tree_op));
    if (!b->path.len && type != S_IFDIR)
        return err_set(e, ERR_INPUT, "the root must be a directory");
    if (fill_node(en, type, &n, e) < 0 || (type == S_IFLNK && set_target(b, en, &n, e) < 0) ||
        treewrite_node(b->w, &n, &node, e) < 0 || add_xattrs(b, en, node, type, e) < 0 ||
        add_op(b, OP_NODE, node, e) < 0)
        return -1;
    if (type != S_IFREG || !en->size)
        return 0;
    uint32_t slot;
    if (read_content(b, en, op, &slot, ret_placed, e) < 0)
        return -1;
    treewrite_node_at(b->w, node)->content = slot;
    return 0;
}

static int add_hardlink(struct builder *b, const struct tar_entry *en, struct err *e)
{
    if (check_id(en->uid, "uid", e) < 0 || check_id(en->gid, "gid", e) < 0)
        return -1;
    if (entrypath_clean(en->link, en->link_len, false, &b->link, e) < 0)
        return err_wrap(e, "target of the hard link");
    if (!b->path.len || !b->link.len)
        return err_set(e, ERR_INPUT, "a hard link from or to the root");
    return add_op(b, OP_HARDLINK, TREE_NONE, e);
}

static int add_entry(struct builder *b, const struct tar_entry *en, bool *ret_placed, struct err *e)
{
    enum entry_role role;
    mode_t type = 0;
    if (en->number > LIMIT_ENTRIES)
        return err_set(e, ERR_LIMIT, "the layer has over %u entries", LIMIT_ENTRIES);
    if (entrypath_clean(en->name, en->name_len, true, &b->path, e) < 0 || entry_type(en, &type, e) < 0 ||
        entrypath_role(&b->path, &role, e) < 0)
        return -1;
    switch (role) {
    case ENTRY_IGNORED:
        return 0;
    case ENTRY_WHITEOUT:
        return add_op(b, OP_WHITEOUT, TREE_NONE, e);
    case ENTRY_OPAQUE:
        return add_op(b, OP_OPAQUE, TREE_NONE, e);
    case ENTRY_NODE:
        break;
    }
    return type ? add_node(b, en, type, ret_placed, e) : add_hardlink(b, en, e);
}

static int read_tar(struct builder *b, struct err *e)
{
    const struct tar_entry *en;
    for (;;) {
        bool placed = false;
        if (tar_next(b->tar, &en, e) < 0)
            return -1;
        if (!en)
            break;
        b->entries = en->number;
        if (add_entry(b, en, &placed, e) < 0)
            return placed || e->kind == ERR_CANCELLED ? -1 : tar_wrap(b->tar, e);
    }
    return tar_drain(b->tar, e);
}

/* --- what is made of it --- */

/*
 * Adds the directories, then the operations. While union_write_layer adds to w, whose memory moves, the union reads
 * nodes and names through w. What is done with is freed at once: of a layer of a million entries, each list is tens of
 * MiB.
 */
static int write_directories(struct builder *b, struct err *e)
{
    struct union_ *u = NULL;
    uint32_t op_count = (uint32_t)(b->ops.len / sizeof(struct tree_op));
    const struct tree_op *ops = (const struct tree_op *)(const void *)b->ops.p;
    struct layer_ops l = {.nodes = treewrite_node_at(b->w, 0),
                          .pool = treewrite_string_at(b->w, 0),
                          .ops = ops,
                          .node_count = treewrite_node_count(b->w),
                          .op_count = op_count};
    int rc = union_new(UNION_KEEP_WHITEOUTS, &u, e);
    if (rc == 0)
        rc = union_apply_ops(u, &l, e);
    if (rc == 0)
        rc = union_write_layer(u, b->w, e);
    union_free(u);
    for (uint32_t i = 0; rc == 0 && i < op_count; i++)
        rc = treewrite_op(b->w, &ops[i], e);
    buf_release(&b->ops);
    return rc;
}

/* Slots of the session give way to contents of the tree. */
static int settle_contents(struct builder *b, struct err *e)
{
    uint32_t n = treewrite_node_count(b->w);
    for (uint32_t i = 0; i < n; i++) {
        struct tree_node *node = treewrite_node_at(b->w, i);
        struct content c;
        if (node->content == TREE_NONE)
            continue;
        if (session_content(b->s, node->content, &c, e) < 0 || treewrite_content(b->w, &c, &node->content, e) < 0)
            return -1;
    }
    return 0;
}

static int put_recipe(struct builder *b, struct digest *ret, struct err *e)
{
    struct spool *sp = &b->spool;
    if (sp->fd < 0)
        return session_put(b->s, sp->mem.p, sp->mem.len, ret, e);

    struct content c;
    struct buf piece = {0};
    uint32_t slot;
    int rc = session_content_begin(b->s, e);
    if (rc == 0 && buf_reserve(&piece, SPOOL_PIECE) < 0)
        rc = err_nomem(e);
    for (uint64_t at = 0; rc == 0 && at < sp->in_file;) {
        size_t n = sp->in_file - at < SPOOL_PIECE ? (size_t)(sp->in_file - at) : SPOOL_PIECE;
        rc = io_pread(sp->fd, piece.p, n, at, "temporary file of a layer's recipe", e);
        if (rc == 0)
            rc = session_data(b->s, piece.p, n, e);
        at += n;
    }
    if (rc == 0)
        rc = session_data(b->s, sp->mem.p, sp->mem.len, e);
    buf_release(&piece);
    if (rc < 0 || session_content_end(b->s, &slot, e) < 0 || session_flush(b->s, e) < 0 ||
        session_content_keep(b->s, slot, e) < 0 || session_content(b->s, slot, &c, e) < 0)
        return -1;
    *ret = c.digest;
    return 0;
}

static int record(struct builder *b, const struct layer_result *r, struct err *e)
{
    char diffid[DIGEST_OCI_LEN + 1], tree[DIGEST_HEX_LEN + 1], recipe[DIGEST_HEX_LEN + 1];
    digest_oci(&r->diffid, diffid);
    digest_hex(&r->tree_digest, tree);
    digest_hex(&r->recipe, recipe);
    struct json *j = json_new_object();
    if (!j || json_set(j, "type", json_new_str("layer")) < 0 || json_set(j, "diffid", json_new_str(diffid)) < 0 ||
        json_set(j, "tree", json_new_str(tree)) < 0 || json_set(j, "recipe", json_new_str(recipe)) < 0 ||
        json_set(j, "size", json_new_int((int64_t)r->size)) < 0 ||
        json_set(j, "entries", json_new_int(r->entries)) < 0 ||
        json_set(j, "time", json_new_int((int64_t)time(NULL))) < 0) {
        json_unref(j);
        return err_nomem(e);
    }
    return session_record(b->s, j, e);
}

static int parse_recorded(const struct json *j, struct layer_result *r, struct err *e)
{
    const char *tree = json_str(json_get(j, "tree")), *recipe = json_str(json_get(j, "recipe"));
    if (!tree || !recipe || digest_parse_hex(tree, strlen(tree), &r->tree_digest) < 0 ||
        digest_parse_hex(recipe, strlen(recipe), &r->recipe) < 0)
        return err_set(e, ERR_DAMAGED, "record of a layer is malformed");
    return 0;
}

/* Is the layer there already, from this session or in the store? Then its digests are set. */
static int find_recorded(struct builder *b, struct layer_result *r, bool *ret, struct err *e)
{
    char diffid[DIGEST_OCI_LEN + 1];
    struct cat_layer l;
    struct err not_found = {0};
    digest_oci(&r->diffid, diffid);
    const struct json *j = session_recorded(b->s, "layer", "diffid", diffid);
    *ret = true;
    if (j)
        return parse_recorded(j, r, e);
    if (catalog_layer(store_catalog(session_store(b->s)), &r->diffid, &l, &not_found) == 0) {
        r->tree_digest = l.tree;
        r->recipe = l.recipe;
        return 0;
    }
    *ret = false;
    if (not_found.kind == ERR_NOT_FOUND)
        return 0;
    *e = not_found;
    return -1;
}

/* The tree as bytes, stored and recorded, and opened. */
static int publish(struct builder *b, struct layer_result *r, struct err *e)
{
    struct buf tree = {0};
    struct digest d;
    bool known;
    int rc = -1;
    if (treewrite_finish(b->w, &tree, e) < 0 || find_recorded(b, r, &known, e) < 0)
        goto out;
    if (known) {
        /* Made by another version of this program, it may differ: nodes are those of the tree that is recorded. */
        sha256_of(tree.p, tree.len, &d);
        if (!digest_eq(&d, &r->tree_digest)) {
            rc = reader_tree(store_reader(session_store(b->s)), &r->tree_digest, &r->tree, e);
            goto out;
        }
    } else if (put_recipe(b, &r->recipe, e) < 0 || session_put(b->s, tree.p, tree.len, &r->tree_digest, e) < 0 ||
               record(b, r, e) < 0) {
        goto out;
    }
    size_t n;
    uint8_t *p = buf_steal(&tree, &n);
    rc = tree_open(p, n, &r->tree, e);
out:
    buf_release(&tree);
    return rc;
}

static int check_diffid(const struct layer_result *r, const struct digest *expect, struct err *e)
{
    char want[DIGEST_OCI_LEN + 1], got[DIGEST_OCI_LEN + 1];
    if (!expect || digest_eq(&r->diffid, expect))
        return 0;
    digest_oci(expect, want);
    digest_oci(&r->diffid, got);
    return err_set(e, ERR_INPUT, "diffID mismatch: the layer's bytes give %s, but it should be %s", got, want);
}

static int build(struct builder *b, const struct digest *expect, struct layer_result *r, struct err *e)
{
    uint32_t root;
    struct tree_node n = {.mode = S_IFDIR | 0755, .content = TREE_NONE, .xattrs = TREE_NONE, .flags = NODE_IMPLICIT};
    if (stream_open_hash(&b->in.s, &b->hash, e) < 0 || tar_open(b->hash, take_literal, b, &b->tar, e) < 0 ||
        treewrite_new(TREE_LAYER, &b->w, e) < 0 || recipe_new(spool_write, &b->spool, &b->recipe, e) < 0 ||
        treewrite_node(b->w, &n, &root, e) < 0)
        return -1;
    if (read_tar(b, e) < 0 || stream_hash_final(b->hash, &r->diffid, &r->size, e) < 0 || check_diffid(r, expect, e) < 0)
        return -1;
    r->entries = b->entries;
    if (recipe_finish(b->recipe, e) < 0 || session_flush(b->s, e) < 0 || write_directories(b, e) < 0 ||
        settle_contents(b, e) < 0)
        return -1;
    return publish(b, r, e);
}

int layer_import(struct session *s, struct stream *tar, const struct digest *expect, struct layer_result *ret,
                 struct err *e)
{
    struct layer_result r = {0};
    struct builder b = {.s = s,
                        .in = {.s = {.pull = borrowed_pull, .close = borrowed_close}, .from = tar},
                        .spool = {.store = session_store(s), .fd = -1}};
    int rc = build(&b, expect, &r, e);
    tar_close(b.tar);
    stream_close(b.hash);
    treewrite_free(b.w);
    recipe_free(b.recipe);
    buf_release(&b.spool.mem);
    if (b.spool.fd >= 0)
        close(b.spool.fd);
    buf_release(&b.ops);
    buf_release(&b.path);
    buf_release(&b.link);
    if (rc == 0)
        *ret = r;
    return rc;
}
