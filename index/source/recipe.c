/* SPDX-License-Identifier: MIT */
/*
 * Form: "CRCP", u32 version (1), then parts. A part begins with a varint; its lowest two bits say what it is, the rest
 * is a number N: 0  end (N = 0); nothing follows 1  N literal bytes, which follow 2  N zeros 3  payload of op N: a
 * varint count of fragments follows, then that many (gap behind the last one, length) pairs; count 0: one varint
 * length, the content from its start
 *
 * Most of a header block is zeros, and most padding: runs of ZERO_RUN and more are counted, not stored. Where parts are
 * cut depends on the tar's bytes only, so that equal tars have equal recipes.
 */
#include "recipe.h"

#include <stdlib.h>

enum { VERSION = 1, ZERO_RUN = 24, LITERAL_MAX = 32 << 10, BATCH = 64 << 10 };
enum part { PART_END, PART_LITERAL, PART_ZEROS, PART_PAYLOAD };

struct recipe {
    int (*sink)(void *ctx, const void *p, size_t n, struct err *e);
    void *ctx;
    struct buf out;     /* finished, not yet given to the sink */
    struct buf literal; /* pending literal … */
    uint64_t zeros;     /* … and the zeros behind it */
};

int recipe_new(int (*sink)(void *ctx, const void *p, size_t n, struct err *e), void *ctx, struct recipe **ret,
               struct err *e)
{
    struct recipe *r = calloc(1, sizeof *r);
    if (!r || buf_append(&r->out, "CRCP", 4) < 0 || buf_u32(&r->out, VERSION) < 0) {
        recipe_free(r);
        return err_nomem(e);
    }
    r->sink = sink;
    r->ctx = ctx;
    *ret = r;
    return 0;
}

void recipe_free(struct recipe *r)
{
    if (!r)
        return;
    buf_release(&r->out);
    buf_release(&r->literal);
    free(r);
}

static int give(struct recipe *r, size_t atleast, struct err *e)
{
    if (r->out.len < atleast)
        return 0;
    if (r->out.len && r->sink(r->ctx, r->out.p, r->out.len, e) < 0)
        return -1;
    r->out.len = 0;
    return 0;
}

static int flush_literal(struct recipe *r, struct err *e)
{
    if (!r->literal.len)
        return 0;
    if (buf_varint(&r->out, (uint64_t)r->literal.len << 2 | PART_LITERAL) < 0 ||
        buf_append(&r->out, r->literal.p, r->literal.len) < 0)
        return err_nomem(e);
    r->literal.len = 0;
    return give(r, BATCH, e);
}

static int append_literal(struct recipe *r, const uint8_t *p, size_t n, struct err *e)
{
    while (n) {
        size_t k = LITERAL_MAX - r->literal.len;
        if (k > n)
            k = n;
        if (buf_append(&r->literal, p, k) < 0)
            return err_nomem(e);
        p += k;
        n -= k;
        if (r->literal.len == LITERAL_MAX && flush_literal(r, e) < 0)
            return -1;
    }
    return 0;
}

/* The zeros behind the pending literal are over: short runs join it, long ones are a part. */
static int settle_zeros(struct recipe *r, struct err *e)
{
    static const uint8_t zero[ZERO_RUN];
    uint64_t n = r->zeros;
    r->zeros = 0;
    if (n < ZERO_RUN)
        return append_literal(r, zero, (size_t)n, e);
    if (flush_literal(r, e) < 0)
        return -1;
    return buf_varint(&r->out, n << 2 | PART_ZEROS) < 0 ? err_nomem(e) : 0;
}

static size_t count_zeros(const uint8_t *p, size_t n)
{
    static const uint8_t zero[64];
    size_t i = 0;
    while (n - i >= sizeof zero && !memcmp(p + i, zero, sizeof zero))
        i += sizeof zero;
    while (i < n && !p[i])
        i++;
    return i;
}

int recipe_literal(struct recipe *r, const void *p, size_t n, struct err *e)
{
    const uint8_t *q = p;
    while (n) {
        size_t z = count_zeros(q, n);
        r->zeros += z;
        q += z;
        n -= z;
        if (!n)
            return 0;
        const uint8_t *end = memchr(q, 0, n);
        size_t k = end ? (size_t)(end - q) : n;
        if (r->zeros && settle_zeros(r, e) < 0)
            return -1;
        if (append_literal(r, q, k, e) < 0)
            return -1;
        q += k;
        n -= k;
    }
    return 0;
}

static int begin_payload(struct recipe *r, uint32_t op, uint64_t fragments, struct err *e)
{
    if (settle_zeros(r, e) < 0 || flush_literal(r, e) < 0)
        return -1;
    if (buf_varint(&r->out, (uint64_t)op << 2 | PART_PAYLOAD) < 0 || buf_varint(&r->out, fragments) < 0)
        return err_nomem(e);
    return 0;
}

int recipe_payload(struct recipe *r, uint32_t op, uint64_t length, struct err *e)
{
    if (begin_payload(r, op, 0, e) < 0)
        return -1;
    return buf_varint(&r->out, length) < 0 ? err_nomem(e) : give(r, BATCH, e);
}

int recipe_fragments(struct recipe *r, uint32_t op, const struct tar_fragment *f, size_t n, struct err *e)
{
    uint64_t end = 0;
    if (!n)
        return 0;
    if (begin_payload(r, op, n, e) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (buf_varint(&r->out, f[i].off - end) < 0 || buf_varint(&r->out, f[i].len) < 0)
            return err_nomem(e);
        end = f[i].off + f[i].len;
    }
    return give(r, BATCH, e);
}

int recipe_finish(struct recipe *r, struct err *e)
{
    if (settle_zeros(r, e) < 0 || flush_literal(r, e) < 0)
        return -1;
    if (buf_varint(&r->out, PART_END) < 0)
        return err_nomem(e);
    return give(r, 0, e);
}

/* --- reading --- */

struct replay {
    const struct recipe_replay *to;
    struct stream *s;
    uint64_t left; /* of the tar's size */
};

static int malformed(struct replay *r, struct err *e)
{
    return err_set(e, ERR_DAMAGED, "recipe is malformed at offset %llu", (unsigned long long)r->s->pos);
}

static int take_number(struct replay *r, uint64_t *ret, struct err *e)
{
    uint8_t b[10];
    const uint8_t *p, *from = b;
    size_t n;
    for (size_t i = 0; i < sizeof b; i++) {
        if (stream_run(r->s, 1, &p, &n, e) < 0)
            return -1;
        if (!n)
            return malformed(r, e);
        b[i] = *p;
        if (!(b[i] & 0x80))
            return get_varint(&from, b + i + 1, ret) < 0 ? malformed(r, e) : 0;
    }
    return malformed(r, e);
}

static int spend(struct replay *r, uint64_t n, struct err *e)
{
    if (n > r->left)
        return err_set(e, ERR_DAMAGED, "recipe makes more than the layer's %llu bytes",
                       (unsigned long long)r->to->size);
    r->left -= n;
    return 0;
}

static int replay_literal(struct replay *r, uint64_t n, struct err *e)
{
    const uint8_t *p;
    size_t k;
    while (n) {
        if (stream_run(r->s, n > SIZE_MAX ? SIZE_MAX : (size_t)n, &p, &k, e) < 0)
            return -1;
        if (!k)
            return malformed(r, e);
        if (r->to->literal(r->to->ctx, p, k, e) < 0)
            return -1;
        n -= k;
    }
    return 0;
}

static int replay_zeros(struct replay *r, uint64_t n, struct err *e)
{
    static const uint8_t zero[4096];
    while (n) {
        size_t k = n < sizeof zero ? (size_t)n : sizeof zero;
        if (r->to->literal(r->to->ctx, zero, k, e) < 0)
            return -1;
        n -= k;
    }
    return 0;
}

static int replay_payload(struct replay *r, uint64_t op, struct err *e)
{
    uint64_t count, gap, len, end = 0;
    if (op > UINT32_MAX)
        return malformed(r, e);
    if (take_number(r, &count, e) < 0)
        return -1;
    bool whole = count == 0;
    for (uint64_t i = 0; i < (whole ? 1 : count); i++) {
        gap = 0;
        if ((!whole && take_number(r, &gap, e) < 0) || take_number(r, &len, e) < 0)
            return -1;
        if (!len || gap > INT64_MAX || len > INT64_MAX || end > (uint64_t)INT64_MAX - gap)
            return malformed(r, e);
        if (spend(r, len, e) < 0 || r->to->payload(r->to->ctx, (uint32_t)op, end + gap, len, e) < 0)
            return -1;
        end += gap + len;
    }
    return 0;
}

static int replay_parts(struct replay *r, struct err *e)
{
    uint64_t v;
    for (;;) {
        if (take_number(r, &v, e) < 0)
            return -1;
        uint64_t n = v >> 2;
        switch ((enum part)(v & 3)) {
        case PART_END:
            return n ? malformed(r, e) : 0;
        case PART_LITERAL:
            if (spend(r, n, e) < 0 || replay_literal(r, n, e) < 0)
                return -1;
            break;
        case PART_ZEROS:
            if (spend(r, n, e) < 0 || replay_zeros(r, n, e) < 0)
                return -1;
            break;
        case PART_PAYLOAD:
            if (replay_payload(r, n, e) < 0)
                return -1;
            break;
        }
    }
}

int recipe_replay(struct stream *s, const struct recipe_replay *to, struct err *e)
{
    struct replay r = {.to = to, .s = s, .left = to->size};
    uint8_t head[8];
    const uint8_t *p;
    size_t n;
    if (stream_read(s, head, sizeof head, &n, e) < 0)
        return -1;
    if (n < sizeof head || memcmp(head, "CRCP", 4) != 0)
        return err_set(e, ERR_DAMAGED, "not a recipe");
    if (get_u32(head + 4) != VERSION)
        return err_set(e, ERR_UNSUPPORTED, "recipe of version %u: this program knows version %d", get_u32(head + 4),
                       VERSION);
    if (replay_parts(&r, e) < 0)
        return -1;
    if (stream_run(s, 1, &p, &n, e) < 0)
        return -1;
    return n ? malformed(&r, e) : 0;
}
