/* SPDX-License-Identifier: MIT */
#include "digestset.h"

struct wanted {
    const struct digestset *s;
    const struct digest *d;
};

static bool same(const void *ctx, uint32_t val)
{
    const struct wanted *w = ctx;
    return memcmp(w->s->items.p + (size_t)val * DIGEST_LEN, w->d->b, DIGEST_LEN) == 0;
}

static uint32_t hash_of(const struct digestset *s, const struct digest *d)
{
    return (uint32_t)hashkey_of(&s->key, 0, d->b, DIGEST_LEN);
}

int digestset_init(struct digestset *s)
{
    *s = (struct digestset){0};
    return hashkey_init(&s->key);
}

void digestset_release(struct digestset *s)
{
    hashtab_release(&s->table);
    buf_release(&s->items);
}

bool digestset_has(const struct digestset *s, const struct digest *d)
{
    struct wanted w = {s, d};
    return hashtab_find(&s->table, hash_of(s, d), same, &w) != HASHTAB_NONE;
}

int digestset_add(struct digestset *s, const struct digest *d)
{
    if (digestset_has(s, d))
        return 0;
    size_t n = s->items.len / DIGEST_LEN;
    if (n >= UINT32_MAX - 1 || buf_append(&s->items, d->b, DIGEST_LEN) < 0)
        return -1;
    if (hashtab_put(&s->table, hash_of(s, d), (uint32_t)n) == 0)
        return 0;
    s->items.len -= DIGEST_LEN;
    return -1;
}
