/* SPDX-License-Identifier: MIT */
/*
 * The tar reader and what stands around it: any bytes are read as an archive; what is accepted must come apart into
 * literals and payload without loss, names must clean, and the recipe of it must replay to the same bytes; however the
 * stream is cut.
 */
#include "../../index/buf.h"
#include "../../index/source/entrypath.h"
#include "../../index/source/recipe.h"
#include "../../index/source/tar.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

struct steps {
    struct stream s;
    const uint8_t *p;
    size_t n, step;
};

static int steps_pull(struct stream *s, const uint8_t **p, size_t *n, struct err *e)
{
    struct steps *d = (struct steps *)s;
    (void)e;
    *n = d->n < d->step ? d->n : d->step;
    *p = d->p;
    d->p += *n;
    d->n -= *n;
    return 0;
}

struct state {
    struct recipe *recipe;
    struct buf written; /* the recipe */
    struct buf payload; /* of all ops, in order */
    size_t used;        /* of payload, while replaying */
    struct buf again;
};

static int to_recipe(void *ctx, const void *p, size_t n, struct err *e)
{
    return recipe_literal(((struct state *)ctx)->recipe, p, n, e);
}

static int to_buf(void *ctx, const void *p, size_t n, struct err *e)
{
    return buf_append(ctx, p, n) < 0 ? err_nomem(e) : 0;
}

static int replay_literal(void *ctx, const void *p, size_t n, struct err *e)
{
    return to_buf(&((struct state *)ctx)->again, p, n, e);
}

static int replay_payload(void *ctx, uint32_t op, uint64_t off, uint64_t len, struct err *e)
{
    struct state *st = ctx;
    (void)op;
    (void)off;
    if (len > st->payload.len - st->used)
        abort();
    st->used += (size_t)len;
    return to_buf(&st->again, st->payload.p + st->used - len, (size_t)len, e);
}

static int read_entry(struct tar *t, const struct tar_entry *en, struct state *st, struct buf *path, struct err *e)
{
    enum entry_role role;
    struct err ignored = {0};
    uint64_t at = 0, off, sum = 0;
    const uint8_t *p;
    size_t k;
    if (entrypath_clean(en->name, en->name_len, true, path, &ignored) == 0)
        (void)entrypath_role(path, &role, &ignored);
    if (en->number % 5 == 4)
        return 0; /* payload that isn't asked for is a literal */
    for (;;) {
        if (tar_data(t, &off, &p, &k, e) < 0)
            return -1;
        if (!k)
            break;
        if (off < at || off + k > en->size)
            abort();
        at = off + k;
        sum += k;
        if (buf_append(&st->payload, p, k) < 0)
            abort();
    }
    if (sum != en->stored)
        abort();
    if (!sum)
        return 0;
    return en->sparse ? recipe_fragments(st->recipe, en->number, en->fragments, en->fragment_count, e)
                      : recipe_payload(st->recipe, en->number, en->size, e);
}

static void one(const uint8_t *p, size_t n, size_t step)
{
    struct state st = {0};
    struct buf path = {0};
    struct err e = {0};
    struct tar *t;
    const struct tar_entry *en;
    struct steps s = {.s = {.pull = steps_pull}, .p = p, .n = n, .step = step};
    if (recipe_new(to_buf, &st.written, &st.recipe, &e) < 0 || tar_open(&s.s, to_recipe, &st, &t, &e) < 0)
        abort();
    int rc;
    while ((rc = tar_next(t, &en, &e)) == 0 && en && (rc = read_entry(t, en, &st, &path, &e)) == 0)
        ;
    if (rc == 0) {
        struct recipe_replay to = {.literal = replay_literal, .payload = replay_payload, .ctx = &st, .size = n};
        struct stream *again;
        if (tar_drain(t, &e) < 0 || recipe_finish(st.recipe, &e) < 0 ||
            stream_open_mem(st.written.p, st.written.len, &again, &e) < 0 || recipe_replay(again, &to, &e) < 0)
            abort();
        stream_close(again);
        if (st.again.len != n || (n && memcmp(st.again.p, p, n)))
            abort();
    } else if (e.kind != ERR_INPUT && e.kind != ERR_LIMIT) {
        abort();
    }
    tar_close(t);
    recipe_free(st.recipe);
    buf_release(&st.written);
    buf_release(&st.payload);
    buf_release(&st.again);
    buf_release(&path);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    one(p, n, SIZE_MAX);
    one(p, n, n < 4096 ? 1 : 511);
    return 0;
}
