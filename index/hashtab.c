/* SPDX-License-Identifier: MIT */
/* Linear probing with backward-shift deletion: no tombstones, so a table in steady use doesn't degrade. */
#include "hashtab.h"

#include "buf.h"
#include "crypto.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS_MIN 64u
#define SLOTS_MAX (1u << 31)

int hashkey_init(struct hashkey *k)
{
    return random_bytes(k->k, sizeof k->k);
}

static inline uint64_t rotl(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] = rotl(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] = rotl(v[2], 32);
}

static inline void sip_word(uint64_t v[4], uint64_t m)
{
    v[3] ^= m;
    sip_round(v);
    v[0] ^= m;
}

uint64_t hashkey_of(const struct hashkey *k, uint64_t seed, const void *p, size_t n)
{
    uint64_t v[4] = {k->k[0] ^ 0x736f6d6570736575u, k->k[1] ^ 0x646f72616e646f6du, k->k[0] ^ 0x6c7967656e657261u,
                     k->k[1] ^ 0x7465646279746573u};
    const uint8_t *b = p;
    uint64_t last = (uint64_t)(n + 8) << 56;
    sip_word(v, seed);
    for (; n >= 8; n -= 8, b += 8)
        sip_word(v, get_u64(b));
    for (size_t i = 0; i < n; i++)
        last |= (uint64_t)b[i] << (8 * i);
    sip_word(v, last);
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void hashtab_release(struct hashtab *t)
{
    free(t->v);
    *t = (struct hashtab){0};
}

uint32_t hashtab_find(const struct hashtab *t, uint32_t hash, bool (*eq)(const void *ctx, uint32_t val),
                      const void *ctx)
{
    if (!t->v)
        return HASHTAB_NONE;
    for (uint32_t i = hash & t->mask; t->v[i].val != HASHTAB_NONE; i = (i + 1) & t->mask)
        if (t->v[i].hash == hash && eq(ctx, t->v[i].val))
            return t->v[i].val;
    return HASHTAB_NONE;
}

static void put(struct hashtab *t, uint32_t hash, uint32_t val)
{
    uint32_t i = hash & t->mask;
    while (t->v[i].val != HASHTAB_NONE)
        i = (i + 1) & t->mask;
    t->v[i] = (struct hashtab_slot){hash, val};
}

int hashtab_put(struct hashtab *t, uint32_t hash, uint32_t val)
{
    uint32_t slots = t->v ? t->mask + 1 : 0;
    if (t->used >= slots - slots / 4) {
        if (slots >= SLOTS_MAX)
            return -1;
        struct hashtab n = {.used = t->used};
        uint32_t want = slots ? slots * 2 : SLOTS_MIN;
        n.v = malloc((size_t)want * sizeof *n.v);
        if (!n.v)
            return -1;
        memset(n.v, 0xff, (size_t)want * sizeof *n.v); /* val HASHTAB_NONE everywhere */
        n.mask = want - 1;
        for (uint32_t i = 0; i < slots; i++)
            if (t->v[i].val != HASHTAB_NONE)
                put(&n, t->v[i].hash, t->v[i].val);
        free(t->v);
        *t = n;
    }
    put(t, hash, val);
    t->used++;
    return 0;
}

void hashtab_remove(struct hashtab *t, uint32_t hash, uint32_t val)
{
    if (!t->v)
        return;
    uint32_t i = hash & t->mask;
    while (t->v[i].val != val) {
        if (t->v[i].val == HASHTAB_NONE)
            return;
        i = (i + 1) & t->mask;
    }
    t->used--;
    /* Close the gap: whoever stands behind it and belongs at or before it moves up. */
    for (uint32_t j = (i + 1) & t->mask; t->v[j].val != HASHTAB_NONE; j = (j + 1) & t->mask) {
        uint32_t home = t->v[j].hash & t->mask;
        if (((j - home) & t->mask) >= ((j - i) & t->mask)) {
            t->v[i] = t->v[j];
            i = j;
        }
    }
    t->v[i].val = HASHTAB_NONE;
}
