/* SPDX-License-Identifier: MIT */
/*
 * A window of 32 characters slides over the stream. It is tested from the right: on a character outside the alphabet
 * the window moves behind it, so that most of a binary is never looked at; what was found good stays known, so that
 * each byte of a long run of good characters is tested once. Windows that are all good are looked up in a small hash
 * table. Between two feeds the last 31 bytes are kept; windows that begin in them are looked at in a joint buffer.
 */
#include "refscan.h"

#include "../buf.h"
#include "storepath.h"

#include <inttypes.h>
#include <stdlib.h>

#define W STOREPATH_HASH_LEN

struct cand {
    char *base;
    bool found;
};

struct refscan {
    struct cand *v; /* sorted by base, so equal hash parts are neighbours */
    size_t n;
    uint32_t *slot; /* index + 1 of the first candidate with that hash part; 0 empty */
    size_t mask;
    uint64_t key[W / 8];
    bool good[256];
    uint8_t tail[W - 1];
    size_t n_tail;
};

static int by_base(const void *a, const void *b)
{
    const struct cand *x = a, *y = b;
    return strcmp(x->base, y->base);
}

/* Under a random key: the names may have been chosen so that they would collide. */
static size_t hash_part(const struct refscan *r, const uint8_t *p)
{
    uint64_t h = 0;
    for (size_t i = 0; i < W / 8; i++)
        h += get_u64(p + 8 * i) * r->key[i];
    return (size_t)(h >> 32);
}

static int fill_table(struct refscan *r)
{
    size_t size = 64;
    while (size < 4 * r->n)
        size *= 2;
    r->slot = calloc(size, sizeof *r->slot);
    if (!r->slot)
        return -1;
    r->mask = size - 1;
    for (size_t i = 0; i < r->n; i++) {
        if (i && !memcmp(r->v[i].base, r->v[i - 1].base, W))
            continue;
        size_t at = hash_part(r, (const uint8_t *)r->v[i].base) & r->mask;
        while (r->slot[at])
            at = (at + 1) & r->mask;
        r->slot[at] = (uint32_t)i + 1;
    }
    return 0;
}

int refscan_new(const char *const *candidates, size_t n, struct refscan **ret, struct err *e)
{
    struct refscan *r = calloc(1, sizeof *r);
    if (!r)
        return err_nomem(e);
    if (random_bytes(r->key, sizeof r->key) < 0) {
        free(r);
        return err_set(e, ERR_SYSTEM, "the system gives no random bytes");
    }
    for (size_t i = 0; i < W / 8; i++)
        r->key[i] |= 1;
    for (const char *c = "0123456789abcdfghijklmnpqrsvwxyz"; *c; c++)
        r->good[(unsigned char)*c] = true;
    r->v = calloc(n ? n : 1, sizeof *r->v);
    for (size_t i = 0; r->v && i < n; i++) {
        r->v[i].base = strdup(candidates[i]);
        if (!r->v[i].base)
            break;
        r->n++;
    }
    if (!r->v || r->n < n) {
        refscan_free(r);
        return err_nomem(e);
    }
    qsort(r->v, n, sizeof *r->v, by_base);
    if (fill_table(r) < 0) {
        refscan_free(r);
        return err_nomem(e);
    }
    *ret = r;
    return 0;
}

void refscan_free(struct refscan *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->n; i++)
        free(r->v[i].base);
    free(r->v);
    free(r->slot);
    free(r);
}

static void look_up(struct refscan *r, const uint8_t *p)
{
    for (size_t at = hash_part(r, p) & r->mask; r->slot[at]; at = (at + 1) & r->mask) {
        size_t i = r->slot[at] - 1;
        if (memcmp(r->v[i].base, p, W) != 0)
            continue;
        for (; i < r->n && !memcmp(r->v[i].base, p, W); i++)
            r->v[i].found = true;
        return;
    }
}

/* All windows inside [p, p + n). */
static void scan(struct refscan *r, const uint8_t *p, size_t n)
{
    size_t known = 0; /* characters at the window's left that are good */
    for (size_t i = 0; i + W <= n;) {
        size_t j = W;
        while (j > known && r->good[p[i + j - 1]])
            j--;
        if (j > known) { /* p[i + j - 1] is bad: behind it, W - j good ones are known */
            i += j;
            known = W - j;
            continue;
        }
        look_up(r, p + i);
        i++;
        known = W - 1;
    }
}

void refscan_feed(struct refscan *r, const void *data, size_t n)
{
    const uint8_t *p = data;
    uint8_t joint[2 * (W - 1)];
    size_t head = n < W - 1 ? n : W - 1;
    memcpy(joint, r->tail, r->n_tail);
    if (n)
        memcpy(joint + r->n_tail, p, head);
    scan(r, joint, r->n_tail + head);
    if (n >= W - 1) {
        scan(r, p, n);
        memcpy(r->tail, p + n - (W - 1), W - 1);
        r->n_tail = W - 1;
        return;
    }
    size_t all = r->n_tail + n, keep = all < W - 1 ? all : W - 1;
    memcpy(r->tail, joint + all - keep, keep);
    r->n_tail = keep;
}

int refscan_found(const struct refscan *r, char ***ret, struct err *e)
{
    size_t n = 0;
    char **v = calloc(r->n + 1, sizeof *v);
    if (!v)
        return err_nomem(e);
    for (size_t i = 0; i < r->n; i++) {
        if (!r->v[i].found || (n && !strcmp(v[n - 1], r->v[i].base)))
            continue;
        v[n] = strdup(r->v[i].base);
        if (!v[n++]) {
            while (n)
                free(v[--n]);
            free(v);
            return err_nomem(e);
        }
    }
    *ret = v;
    return 0;
}

/*
 * The hash modulo itself. Occurrences can overlap only if the hash part has a period; each is replaced as the reference
 * does it: left to right, searching on behind the place where one began.
 */
struct modhash {
    char hash[W];
    struct sha256 h;
    uint64_t pos; /* bytes hashed so far: offset of held[0] */
    size_t n_held;
    uint8_t held[W + 65536]; /* up to W - 1 bytes that could begin an occurrence, then new ones */
    struct buf places;       /* "|<offset>" */
};

int modhash_new(const char *hash, struct modhash **ret, struct err *e)
{
    struct modhash *m = calloc(1, sizeof *m);
    if (!m || sha256_init(&m->h) < 0) {
        free(m);
        return err_nomem(e);
    }
    memcpy(m->hash, hash, W);
    *ret = m;
    return 0;
}

void modhash_free(struct modhash *m)
{
    if (!m)
        return;
    sha256_release(&m->h);
    buf_release(&m->places);
    free(m);
}

/* Zeroes what is found in held, passes on all but the last `keep` bytes. */
static int settle(struct modhash *m, size_t keep, struct err *e)
{
    for (uint8_t *at = m->held; (at = memmem(at, m->n_held - (size_t)(at - m->held), m->hash, W)) != NULL; at += W) {
        memset(at, 0, W);
        uint64_t place = m->pos + (size_t)(at - m->held);
        if (buf_printf(&m->places, "|%" PRIu64, place) < 0)
            return err_nomem(e);
    }
    if (m->n_held <= keep)
        return 0;
    size_t n = m->n_held - keep;
    sha256_update(&m->h, m->held, n);
    memmove(m->held, m->held + n, keep);
    m->n_held = keep;
    m->pos += n;
    return 0;
}

int modhash_feed(struct modhash *m, const void *data, size_t n, struct err *e)
{
    const uint8_t *p = data;
    while (n) {
        size_t k = sizeof m->held - m->n_held;
        if (k > n)
            k = n;
        memcpy(m->held + m->n_held, p, k);
        m->n_held += k;
        p += k;
        n -= k;
        if (settle(m, W - 1, e) < 0)
            return -1;
    }
    return 0;
}

int modhash_final(struct modhash *m, struct digest *ret, struct err *e)
{
    if (settle(m, 0, e) < 0)
        return -1;
    sha256_update(&m->h, m->places.p, m->places.len);
    sha256_final(&m->h, ret);
    return 0;
}
