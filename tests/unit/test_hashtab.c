/* SPDX-License-Identifier: MIT */
#include "tap.h"

#include "../../index/hashtab.h"

#include <stdlib.h>

static bool is_val(const void *ctx, uint32_t val)
{
    return *(const uint32_t *)ctx == val;
}

/* Against a plain array, with few different hashes so that runs are long and wrap round the end. */
static void test_random(uint32_t hashes)
{
    enum { N = 3000 };
    static bool in[N];
    struct hashtab t = {0};
    bool good = true;
    memset(in, 0, sizeof in);
    for (int i = 0; i < 60000; i++) {
        uint32_t v = (uint32_t)random() % N, h = v % hashes * 2654435761u;
        good &= (hashtab_find(&t, h, is_val, &v) == v) == in[v];
        if (in[v])
            hashtab_remove(&t, h, v);
        else
            good &= hashtab_put(&t, h, v) == 0;
        in[v] = !in[v];
    }
    uint32_t used = 0;
    for (uint32_t v = 0; v < N; v++) {
        good &= (hashtab_find(&t, v % hashes * 2654435761u, is_val, &v) == v) == in[v];
        used += in[v];
    }
    ok(good && used == t.used, "%u different hashes: it holds what was put in and not removed", hashes);
    hashtab_remove(&t, 5, 4000000);
    is_int(t.used, used, "removing what isn't there changes nothing");
    hashtab_release(&t);
}

int main(void)
{
    /* SipHash-1-3 of the bytes 0 to 14 under the zero key, as Python 3.11's hash() gives it with PYTHONHASHSEED=0. */
    struct hashkey zero = {{0, 0}}, a, b;
    static const uint8_t rest[] = {8, 9, 10, 11, 12, 13, 14};
    ok(hashkey_of(&zero, 0x0706050403020100u, rest, sizeof rest) == 0xf30eb725bb91c9eau, "vector");
    ok(hashkey_init(&a) == 0 && hashkey_init(&b) == 0 && memcmp(&a, &b, sizeof a) != 0, "keys are random");
    ok(hashkey_of(&a, 0, "abc", 3) != hashkey_of(&a, 1, "abc", 3), "the seed counts");
    ok(hashkey_of(&a, 0, "abc", 3) != hashkey_of(&a, 0, "abc\0", 4), "the length counts");
    struct hashtab t = {0};
    uint32_t v = 3;
    ok(hashtab_find(&t, 1, is_val, &v) == HASHTAB_NONE, "nothing in an empty table");
    hashtab_remove(&t, 1, 3);
    srandom(1);
    test_random(1);
    test_random(7);
    test_random(3000);
    return tap_done();
}
