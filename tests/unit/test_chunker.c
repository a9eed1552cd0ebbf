/* SPDX-License-Identifier: MIT */
/* Cuts: bounds, distribution, that an insertion moves only the cuts near it, and golden cuts that must never change. */
#include "../../index/chunker.h"
#include "../../index/crypto.h"
#include "../../index/limits.h"
#include "tap.h"

#include <stdlib.h>

#define N (16u << 20)

static uint64_t seed;
static uint8_t next(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint8_t)(seed >> 32);
}

/* All cuts of [p, p+n) into ends; returns how many. */
static size_t cut_all(const uint8_t *p, size_t n, uint32_t *ends, size_t cap)
{
    size_t at = 0, count = 0;
    while (at < n && count < cap) {
        at += chunker_cut(p + at, n - at < CHUNK_MAX ? n - at : CHUNK_MAX);
        ends[count++] = (uint32_t)at;
    }
    return count;
}

static void distribution(const uint32_t *ends, size_t count)
{
    uint32_t min = UINT32_MAX, max = 0, last = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t len = ends[i] - last;
        last = ends[i];
        if (i + 1 < count && len < min)
            min = len;
        if (len > max)
            max = len;
    }
    ok(min > CHUNK_MIN, "no chunk but the last is short: %u", min);
    ok(max <= CHUNK_MAX, "none is too long: %u", max);
    uint32_t avg = (uint32_t)(N / count);
    ok(avg > CHUNK_AVG * 3 / 4 && avg < CHUNK_AVG * 5 / 4, "average near 64 KiB: %u", avg);
}

static void insertion(uint8_t *p, const uint32_t *ends, size_t count)
{
    static uint32_t moved[2048];
    memmove(p + 1000001, p + 1000000, N - 1000001);
    p[1000000] = 'x';
    size_t n = cut_all(p, N, moved, 2048), same = 0;
    for (size_t i = 0, k = 0; i < count; i++) {
        uint32_t want = ends[i] <= 1000000 ? ends[i] : ends[i] + 1;
        while (k < n && moved[k] < want)
            k++;
        same += k < n && moved[k] == want;
    }
    ok(same + 8 >= count, "one byte more moves few cuts: %zu of %zu stay", same, count);
}

int main(void)
{
    static uint32_t ends[2048];
    static const uint8_t zeros[CHUNK_MAX];
    char hex[65];
    struct digest d;
    uint8_t *p = malloc(N);
    if (!p)
        return 1;
    seed = 88172645463325252u;
    for (size_t i = 0; i < N; i++)
        p[i] = next();
    size_t count = cut_all(p, N, ends, 2048);
    ok(ends[count - 1] == N, "all bytes are in a chunk");
    distribution(ends, count);
    sha256_of(ends, count * sizeof *ends, &d);
    digest_hex(&d, hex);
    is_int(count, 218, "golden number of cuts");
    is_str(hex, "b87f14e1911d083250c73d90d7de3fc5777ff8a91fb4e8817823dc9fd7fa9ca2",
           "golden cuts (chunks of existing stores)");
    is_int(chunker_cut(p, 0), 0, "nothing");
    is_int(chunker_cut(p, 1), 1, "one byte");
    is_int(chunker_cut(p, CHUNK_MIN), CHUNK_MIN, "the minimum is one chunk");
    is_int(chunker_cut(p, CHUNK_MIN + 1), CHUNK_MIN + 1, "one more too");
    is_int(chunker_cut(p, N), ends[0], "bytes behind the cut don't matter");
    ok(chunker_cut(zeros, CHUNK_MAX) <= CHUNK_MAX, "zeros");
    insertion(p, ends, count);
    free(p);
    return tap_done();
}
