/* SPDX-License-Identifier: MIT */
/* topdir: listings by name and by number, positions that hold over changes, and what went away between two. */
#include "../../fs/topdir.h"

#include "tap.h"

#include <stdlib.h>

static struct topdir make(const struct top_entry *v, uint32_t n)
{
    struct topdir t;
    struct top_entry *copy = malloc((n + 1) * sizeof *copy);
    if (!copy)
        abort();
    memcpy(copy, v, n * sizeof *copy);
    if (topdir_build(&t, copy, n) < 0)
        abort();
    return t;
}

static void test_find(void)
{
    const struct top_entry v[] = {{"b", 30}, {"a", 10}, {"c", 20}, {"b", 5}, {"", 7}};
    struct topdir t = make(v, 5);
    is_int(t.n, 4, "a name appears once");
    is_int(topdir_find(&t, "a"), 10, "a");
    is_int(topdir_find(&t, "b"), 5, "of two b the older one");
    is_int(topdir_find(&t, "c"), 20, "c");
    is_int(topdir_find(&t, "d"), 0, "no d");
    is_int(topdir_find(&t, "A"), 0, "bytes, not letters");
    is_int(t.v[0].no, 5, "sorted by number");
    is_int(t.v[3].no, 20, "to the last");
    is_int(topdir_after(&t, 0), 0, "from the start");
    is_int(topdir_after(&t, 5), 1, "behind the first");
    is_int(topdir_after(&t, 8), 2, "behind a number that isn't there");
    is_int(topdir_after(&t, 20), 4, "behind the last");
    is_int(topdir_after(&t, UINT32_MAX), 4, "behind all");
    topdir_release(&t);
    t = make(v, 0);
    is_int(topdir_find(&t, "a"), 0, "an empty listing has nothing");
    is_int(topdir_after(&t, 0), 0, "and ends at once");
    topdir_release(&t);
}

static int collect(void *ctx, const struct top_entry *e)
{
    strcat(strcat(ctx, e->name), " ");
    return strcmp(e->name, "stop") == 0 ? 42 : 0;
}

static void test_gone(void)
{
    const struct top_entry v[] = {{"keep", 1}, {"gone", 2}, {"moved", 3}, {"stop", 4}, {"last", 5}};
    const struct top_entry w[] = {{"keep", 1}, {"moved", 6}, {"new", 7}, {"last", 5}, {"stop", 4}};
    char got[64] = "";
    struct topdir a = make(v, 5), b = make(w, 5);
    is_int(topdir_gone(&a, &b, collect, got), 0, "runs through");
    is_str(got, "gone moved ", "gone and moved, not new");
    got[0] = '\0';
    is_int(topdir_gone(&a, &a, collect, got), 0, "nothing to a listing itself");
    is_str(got, "", "nothing");
    topdir_release(&b);
    b = make(v, 0);
    is_int(topdir_gone(&a, &b, collect, got), 42, "stops when told");
    is_str(got, "keep gone moved stop ", "all before");
    topdir_release(&a);
    topdir_release(&b);
}

/* A reader goes on at a position while names come and go: it sees each that stays exactly once. */
static void test_positions(void)
{
    const struct top_entry before[] = {{"d", 1}, {"c", 2}, {"b", 3}, {"a", 4}};
    const struct top_entry after[] = {{"d", 1}, {"b", 3}, {"a", 4}, {"0", 9}};
    struct topdir t = make(before, 4);
    uint32_t pos = t.v[1].no; /* has read d and c */
    topdir_release(&t);
    t = make(after, 4);
    uint32_t i = topdir_after(&t, pos);
    is_int(t.n - i, 3, "three to go");
    is_str(t.v[i].name, "b", "b is next");
    is_str(t.v[i + 2].name, "0", "the new one last");
    topdir_release(&t);
}

int main(void)
{
    test_find();
    test_gone();
    test_positions();
    return tap_done();
}
