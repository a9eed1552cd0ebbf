/* SPDX-License-Identifier: MIT */
/* refscan: hashes found in any context, overlapping, across feeds of any size, equal to a naive search; and the hash
 * modulo itself. */
#include "../../index/source/refscan.h"
#include "../../index/buf.h"
#include "tap.h"

#include <stdlib.h>

static const char alphabet[] = "0123456789abcdfghijklmnpqrsvwxyz";
static const unsigned seed = 42;

static uint32_t rnd(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void free_list(char **v)
{
    for (size_t i = 0; v && v[i]; i++)
        free(v[i]);
    free(v);
}

/* The found ones, joined by spaces. */
static char *scan(const char *const *cand, size_t n, const char *text, size_t len, size_t step)
{
    struct refscan *r;
    struct err e = {0};
    struct buf b = {0};
    char **found = NULL;
    if (refscan_new(cand, n, &r, &e) < 0)
        return NULL;
    for (size_t i = 0; i < len; i += step)
        refscan_feed(r, text + i, len - i < step ? len - i : step);
    refscan_feed(r, text, 0);
    refscan_found(r, &found, &e);
    buf_append(&b, "", 0);
    for (size_t i = 0; found && found[i]; i++)
        buf_printf(&b, "%s%s", i ? " " : "", found[i]);
    free_list(found);
    refscan_free(r);
    return (char *)buf_steal(&b, NULL);
}

static void is_found(const char *const *cand, size_t n, const char *text, const char *want, const char *what)
{
    static const size_t steps[] = {1, 2, 7, 31, 32, 33, 64, 4096};
    size_t wrong = 0;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        char *got = scan(cand, n, text, strlen(text), steps[i]);
        if (!got || strcmp(got, want)) {
            wrong++;
            printf("# step %zu: '%s' instead of '%s'\n", steps[i], got ? got : "(null)", want);
        }
        free(got);
    }
    is_int(wrong, 0, "%s", what);
}

#define A  "dc04vv14dak1c1r48qa0m23vr9jy8sm0"
#define B  "zc842j0rz61mjsp3h3wp5ly71ak6qgdn"
#define AB "c04vv14dak1c1r48qa0m23vr9jy8sm00" /* one behind the beginning of A "0" */

static void fixed(void)
{
    static const char *const cand[] = {B "-b", A "-a", A "-again", AB "-ab"};
    is_found(cand, 4, "nothing here", "", "nothing");
    is_found(cand, 4, A, A "-a " A "-again", "alone, and two names of one hash");
    is_found(cand, 4, "x/" B "-b:" A "yz", A "-a " A "-again " B "-b", "in the middle");
    is_found(cand, 4, "0" A, A "-a " A "-again", "behind a good character");
    is_found(cand, 4, "x" A "0", AB "-ab " A "-a " A "-again", "one inside the other");
    is_found(cand, 4, "dc04vv14dak1c1r48qa0m23vr9jy8sm", "", "cut off");
    is_found(cand, 4, "dc04vv14dak1c1r48qa0m23vr9jy8sm\n0", "", "broken");
    is_found(cand, 4, "DC04VV14DAK1C1R48QA0M23VR9JY8SM0", "", "in capitals");
    is_found(cand, 0, A, "", "no candidates");
}

/* Candidates that overlap each other by 31 characters: cut out of one long run. */
static void overlaps(void)
{
    char run[100], name[3][40];
    const char *cand[3];
    uint32_t st = seed;
    for (size_t i = 0; i < 99; i++)
        run[i] = alphabet[rnd(&st) % 32];
    run[99] = '\0';
    for (size_t i = 0; i < 3; i++) {
        snprintf(name[i], sizeof name[i], "%.32s-%zu", run + 40 + i, i);
        cand[i] = name[i];
    }
    char *got = scan(cand, 3, run, 99, 99);
    for (size_t i = 0; i < 3; i++)
        ok(got && strstr(got, name[i]) != NULL, "overlapping, %zu", i);
    free(got);
}

/* Random text of few bad characters with hashes strewn in, in random pieces, against memmem. */
static void random_texts(void)
{
    uint32_t st = seed;
    unsigned wrong = 0;
    for (unsigned round = 0; round < 300; round++) {
        char name[8][40], text[2000];
        const char *cand[8];
        size_t len = 1 + rnd(&st) % sizeof text;
        for (size_t i = 0; i < 8; i++) {
            for (size_t k = 0; k < 32; k++)
                name[i][k] = alphabet[rnd(&st) % 32];
            snprintf(name[i] + 32, 8, "-%zu", i);
            cand[i] = name[i];
        }
        for (size_t i = 0; i < len; i++)
            text[i] = rnd(&st) % 60 ? alphabet[rnd(&st) % 32] : (char)rnd(&st);
        for (size_t k = 0; k < 8; k++)
            if (len >= 32)
                memcpy(text + rnd(&st) % (len - 31), name[rnd(&st) % 8], 32);
        struct refscan *r;
        struct err e = {0};
        char **found;
        if (refscan_new(cand, 8, &r, &e) < 0)
            continue;
        for (size_t i = 0; i < len;) {
            size_t n = 1 + rnd(&st) % 90;
            n = n < len - i ? n : len - i;
            refscan_feed(r, text + i, n);
            i += n;
        }
        refscan_found(r, &found, &e);
        for (size_t i = 0; i < 8; i++) {
            bool want = memmem(text, len, name[i], 32) != NULL, got = false;
            for (size_t k = 0; found[k]; k++)
                got = got || !strcmp(found[k], name[i]);
            wrong += want != got;
        }
        free_list(found);
        refscan_free(r);
    }
    is_int(wrong, 0, "as a naive search finds, 300 random texts, seed %u", seed);
}

static void modulo(void)
{
    static const char text[] = "begin " A " middle " A A " end";
    char zeroed[sizeof text], want[200];
    struct digest d, got;
    struct modhash *m;
    struct err e = {0};
    memcpy(zeroed, text, sizeof text);
    for (char *p = zeroed; (p = memmem(p, sizeof zeroed - (size_t)(p - zeroed), A, 32)) != NULL;)
        memset(p, 0, 32);
    int n = snprintf(want, sizeof want, "|%d|%d|%d", 6, 46, 78);
    struct buf b = {0};
    buf_append(&b, zeroed, sizeof text - 1);
    buf_append(&b, want, (size_t)n);
    sha256_of(b.p, b.len, &d);
    buf_release(&b);
    for (size_t step = 1; step < 100; step += 7) {
        is_int(modhash_new(A, &m, &e), 0, "hash modulo itself, in steps of %zu", step);
        for (size_t i = 0; i < sizeof text - 1; i += step)
            modhash_feed(m, text + i, sizeof text - 1 - i < step ? sizeof text - 1 - i : step, &e);
        is_int(modhash_final(m, &got, &e), 0, "ends");
        ok(digest_eq(&got, &d), "is that of zeros and places");
        modhash_free(m);
    }
    char *big = calloc(1, 300000);
    memcpy(big + 65536 - 5, A, 32);
    sha256_of(big, 300000, &d);
    modhash_new(B, &m, &e);
    modhash_feed(m, big, 300000, &e);
    modhash_final(m, &got, &e);
    ok(digest_eq(&got, &d), "without an occurrence it is the plain hash");
    modhash_free(m);
    free(big);
}

int main(void)
{
    fixed();
    overlaps();
    random_texts();
    modulo();
    return tap_done();
}
