/* SPDX-License-Identifier: MIT */
/* The bounded queue: order, waiting, closing, aborting; and the growing vector of the same pipeline (segvec). */
#include "../../index/segvec.h"
#include "../../index/workqueue.h"
#include "tap.h"

#include <unistd.h>

static int numbers[1000];

static void basics(void)
{
    struct workqueue q, none = {0};
    struct timespec past = {0};
    bool late;
    ok(!workqueue_init(&q, 2), "init");
    ok(!workqueue_put(&q, &numbers[0]) && !workqueue_try_put(&q, &numbers[1]), "two fit");
    ok(workqueue_try_put(&q, &numbers[2]) < 0, "the third doesn't");
    ok(workqueue_get(&q) == &numbers[0] && workqueue_drain(&q) == &numbers[1], "in order");
    ok(!workqueue_drain(&q), "empty");
    ok(!workqueue_get_until(&q, &past, &late) && late, "too late");
    ok(!workqueue_put(&q, &numbers[3]), "put");
    workqueue_close(&q);
    ok(workqueue_put(&q, &numbers[4]) < 0, "closed for more");
    ok(workqueue_get_until(&q, &past, &late) == &numbers[3] && !late, "what is in it still comes");
    ok(!workqueue_get_until(&q, &past, &late) && !late, "then the end");
    workqueue_release(&q);
    ok(!workqueue_init(&q, 2) && !workqueue_put(&q, &numbers[0]), "again");
    workqueue_abort(&q);
    ok(!workqueue_get(&q) && workqueue_put(&q, &numbers[1]) < 0, "aborted: nothing goes in or out");
    ok(workqueue_drain(&q) == &numbers[0], "but what is left can be taken out");
    workqueue_release(&q);
    workqueue_release(&none);
}

struct both {
    struct workqueue q;
    _Atomic int sum, got, refused;
};

static void *produce(void *ctx)
{
    struct both *b = ctx;
    for (int i = 0; i < 1000; i++)
        if (workqueue_put(&b->q, &numbers[i]) < 0)
            b->refused++;
    return NULL;
}

static void *consume(void *ctx)
{
    struct both *b = ctx;
    const int *p;
    while ((p = workqueue_get(&b->q))) {
        b->sum += *p;
        b->got++;
    }
    return NULL;
}

static void threads(void)
{
    static struct both b;
    pthread_t p[3], c[3];
    ok(!workqueue_init(&b.q, 4), "init");
    for (int i = 0; i < 3; i++) {
        pthread_create(&p[i], NULL, produce, &b);
        pthread_create(&c[i], NULL, consume, &b);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(p[i], NULL);
    workqueue_close(&b.q);
    for (int i = 0; i < 3; i++)
        pthread_join(c[i], NULL);
    is_int(b.got, 3000, "all items");
    is_int(b.sum, 3 * 499500, "each once");
    workqueue_release(&b.q);

    static struct both a;
    ok(!workqueue_init(&a.q, 4), "init");
    pthread_create(&p[0], NULL, produce, &a);
    usleep(20000);
    workqueue_abort(&a.q);
    pthread_join(p[0], NULL);
    ok(a.refused == 996, "abort wakes a producer that waits: %d", a.refused);
    workqueue_release(&a.q);
}

static void vector(void)
{
    struct segvec v = SEGVEC(uint32_t);
    int bad = 0;
    uint32_t *first = NULL;
    for (uint32_t i = 0; i < 100000; i++) {
        uint32_t *p = segvec_add(&v);
        if (!p)
            break;
        if (!i)
            first = p;
        bad += *p != 0;
        *p = i;
    }
    is_int(v.count, 100000, "all added");
    for (uint32_t i = 0; i < v.count; i++)
        bad += *(uint32_t *)segvec_at(&v, i) != i;
    ok(!bad, "zeroed at first, then what was put in");
    ok(first == segvec_at(&v, 0), "elements don't move");
    segvec_release(&v);
    ok(!v.count && v.size == sizeof(uint32_t), "empty again");
}

int main(void)
{
    for (int i = 0; i < 1000; i++)
        numbers[i] = i;
    basics();
    threads();
    vector();
    return tap_done();
}
