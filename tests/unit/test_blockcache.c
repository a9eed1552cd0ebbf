/* SPDX-License-Identifier: MIT */
/* The cache of decoded blocks: bound, order of eviction, single flight, errors; many threads at once. */
#include "../../index/blockcache.h"
#include "tap.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define LEN 1000

struct source {
    _Atomic int loads, in_flight, worst[64];
    _Atomic int fail; /* this block can't be loaded; -1: none */
    useconds_t delay;
};

static int load(void *ctx, uint64_t number, uint8_t **ret, uint32_t *ret_len, struct err *e)
{
    struct source *s = ctx;
    s->loads++;
    if (number < 64 && ++s->worst[number] > 1)
        s->in_flight++; /* twice at once */
    if (s->delay)
        usleep(s->delay);
    if (number < 64)
        s->worst[number]--;
    if (s->fail == (int)number)
        return err_set(e, ERR_DAMAGED, "block %d is damaged", s->fail);
    uint8_t *p = malloc(LEN);
    if (!p)
        return err_nomem(e);
    memset(p, (int)number, LEN);
    *ret = p;
    *ret_len = LEN;
    return 0;
}

static int touch(struct blockcache *c, uint64_t number)
{
    struct err e = {0};
    const struct cached_block *b;
    if (blockcache_get(c, number, &b, &e) < 0)
        return -1;
    int good = b->len == LEN && b->data[0] == (uint8_t)number && b->data[LEN - 1] == (uint8_t)number;
    blockcache_put(c, b);
    return good ? 0 : -1;
}

static void bound(void)
{
    struct source s = {.fail = -1};
    struct err e = {0};
    struct blockcache *c;
    struct blockcache_stats st;
    const struct cached_block *held[6];
    ok(!blockcache_new(3 * LEN, load, &s, &c, &e), "new");
    ok(!touch(c, 1) && !touch(c, 2) && !touch(c, 3) && s.loads == 3, "three fit");
    ok(!touch(c, 1) && s.loads == 3, "a hit doesn't load");
    ok(!touch(c, 4) && !blockcache_has(c, 2) && blockcache_has(c, 1), "the least recently used one goes");
    blockcache_stats(c, &st);
    is_int(st.cached_bytes, 3 * LEN, "bytes");
    is_int(st.hits, 1, "hits");
    is_int(st.misses, 4, "misses");
    is_int(st.decoded_bytes, 4 * LEN, "decoded");
    int bad = 0;
    for (uint64_t i = 0; i < 6; i++)
        bad += blockcache_get(c, 10 + i, &held[i], &e) < 0;
    blockcache_stats(c, &st);
    ok(!bad && st.cached_bytes == 6 * LEN, "blocks in use stay");
    for (size_t i = 0; i < 6; i++)
        bad += held[i]->data[5] != 10 + i;
    ok(!bad, "and keep their bytes");
    for (size_t i = 0; i < 6; i++)
        blockcache_put(c, held[i]);
    blockcache_stats(c, &st);
    is_int(st.cached_bytes, 3 * LEN, "back within the bound");
    blockcache_free(c);
    blockcache_free(NULL);
}

static void errors(void)
{
    struct source s = {.fail = 5};
    struct err e = {0};
    struct blockcache *c;
    const struct cached_block *b;
    ok(!blockcache_new(10 * LEN, load, &s, &c, &e), "new");
    ok(blockcache_get(c, 5, &b, &e) < 0 && e.kind == ERR_DAMAGED, "fails");
    is_str(e.text, "block 5 is damaged", "message");
    ok(!blockcache_has(c, 5), "not remembered");
    s.fail = -1;
    ok(!touch(c, 5), "the next one tries again");
    blockcache_free(c);
}

struct job {
    struct blockcache *c;
    unsigned seed;
    int bad, failed;
};

static void *wait_for_one(void *ctx)
{
    struct job *j = ctx;
    struct err e = {0};
    const struct cached_block *b;
    if (blockcache_get(j->c, 7, &b, &e) == 0)
        blockcache_put(j->c, b);
    else
        j->failed += e.kind == ERR_DAMAGED && !strcmp(e.text, "block 7 is damaged");
    return NULL;
}

static void single_flight(void)
{
    struct source s = {.fail = -1, .delay = 50000};
    struct err e = {0};
    struct job j[8];
    pthread_t t[8];
    struct blockcache *c;
    ok(!blockcache_new(10 * LEN, load, &s, &c, &e), "new");
    for (int i = 0; i < 8; i++) {
        j[i] = (struct job){.c = c};
        pthread_create(&t[i], NULL, wait_for_one, &j[i]);
    }
    for (int i = 0; i < 8; i++)
        pthread_join(t[i], NULL);
    is_int(s.loads, 1, "eight threads, one load");
    blockcache_free(c);

    int failed = 0;
    s.fail = 7;
    ok(!blockcache_new(10 * LEN, load, &s, &c, &e), "new");
    for (int i = 0; i < 8; i++) {
        j[i] = (struct job){.c = c};
        pthread_create(&t[i], NULL, wait_for_one, &j[i]);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(t[i], NULL);
        failed += j[i].failed;
    }
    is_int(failed, 8, "all who waited get the error");
    blockcache_free(c);
}

static void *hammer(void *ctx)
{
    struct job *j = ctx;
    for (int i = 0; i < 4000; i++) {
        uint64_t number = (uint64_t)rand_r(&j->seed) % 64;
        if (touch(j->c, number) < 0 && number != 13)
            j->bad++;
        if (i % 7 == 0)
            blockcache_has(j->c, number);
    }
    return NULL;
}

static void many_threads(void)
{
    struct source s = {.fail = 13};
    struct err e = {0};
    struct job j[8];
    pthread_t t[8];
    struct blockcache *c;
    struct blockcache_stats st;
    int bad = 0;
    ok(!blockcache_new(20 * LEN, load, &s, &c, &e), "new");
    for (unsigned i = 0; i < 8; i++) {
        j[i] = (struct job){.c = c, .seed = i + 1};
        pthread_create(&t[i], NULL, hammer, &j[i]);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(t[i], NULL);
        bad += j[i].bad;
    }
    is_int(bad, 0, "every block had its own bytes");
    is_int(s.in_flight, 0, "never two loads of one block at a time");
    blockcache_stats(c, &st);
    ok(st.cached_bytes <= 20 * LEN, "within the bound at the end");
    blockcache_free(c);
}

int main(void)
{
    bound();
    errors();
    single_flight();
    many_threads();
    return tap_done();
}
