/* SPDX-License-Identifier: MIT */
/* nodeid: the map of ids, and the names of layer links. */
#include "../../fs/nodeid.h"

#include "tap.h"

static void test_parts(void)
{
    enum node_part part = PART_COUNT;
    uint32_t k = 7;
    uint64_t id = nodeid_part(5, PART_MANIFEST);
    ok(id == 0x5FF000002u, "a part's id is its name's number and FF00000x");
    ok(nodeid_no(id) == 5 && nodeid_index(id) == 0xFF000002u, "taken apart");
    ok(nodeid_parse_part(id, &part) && part == PART_MANIFEST, "manifest");
    ok(nodeid_parse_part(nodeid_part(UINT32_MAX, PART_FOLDER), &part) && part == PART_FOLDER,
       "folder of the last number");
    ok(!nodeid_parse_part(nodeid_make(5, NODEID_PARTS + PART_COUNT), &part), "no part behind the last");
    ok(!nodeid_parse_part(nodeid_make(5, 0), &part), "a directory is no part");
    ok(!nodeid_parse_part(NODEID_PARTS, &part), "number 0 has no parts");
    ok(!nodeid_parse_link(id, &k), "a part is no link");
}

static void test_links(void)
{
    enum node_part part = PART_COUNT;
    uint32_t k = 7;
    ok(nodeid_parse_link(nodeid_link(9, 0), &k) && k == 0, "first link");
    ok(nodeid_parse_link(nodeid_link(9, 12345), &k) && k == 12345, "another");
    ok(!nodeid_parse_part(nodeid_link(9, 12345), &part), "a link is no part");
    ok(nodeid_parse_link(nodeid_link(9, NODEID_LINK_MAX - 1), &k) && k == NODEID_LINK_MAX - 1, "last possible link");
    ok(!nodeid_parse_link(nodeid_make(9, NODEID_LINKS - 1), &k), "the number before is a node");
    ok(!nodeid_parse_link(nodeid_make(0, NODEID_LINKS), &k), "number 0 has no links");
}

static void test_top(void)
{
    ok(nodeid_is_top(NODE_ROOT) && nodeid_is_top(NODE_VIEWS) && nodeid_is_top(63), "top ids");
    ok(!nodeid_is_top(0) && !nodeid_is_top(64) && !nodeid_is_top(nodeid_make(1, 1)), "no top ids");
}

static void test_link_names(void)
{
    uint32_t k = 99;
    is_int(nodeid_link_width(0), 3, "width of none");
    is_int(nodeid_link_width(1), 3, "of one");
    is_int(nodeid_link_width(1000), 3, "of 1000: the last is 999");
    is_int(nodeid_link_width(1001), 4, "of 1001");
    is_int(nodeid_link_width(UINT32_MAX), 10, "of all");
    ok(nodeid_link_parse("000", 1, &k) && k == 0, "000");
    ok(nodeid_link_parse("500", 501, &k) && k == 500, "500 of 501");
    ok(nodeid_link_parse("4294967294", UINT32_MAX, &k) && k == UINT32_MAX - 1, "the largest");
    k = 99;
    const char *const bad[] = {"", "0", "00", "0000", "001", "-01", " 00", "+00", "0x0", "00a", "4294967296"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ok(!nodeid_link_parse(bad[i], 1, &k) && k == 99, "'%s' isn't a link of one layer", bad[i]);
    ok(!nodeid_link_parse("4294967296", UINT32_MAX, &k), "beyond 32 bits");
    ok(!nodeid_link_parse("000", 0, &k), "no layers, no links");
}

int main(void)
{
    test_parts();
    test_links();
    test_top();
    test_link_names();
    return tap_done();
}
