/* SPDX-License-Identifier: MIT */
/* json: what is refused, accessors on absent values, building that fails once fails at the end, order of members. */
#include "../../index/json.h"
#include "../../index/limits.h"
#include "tap.h"

#include <stdlib.h>

static struct json *parse(const char *s)
{
    struct json *j = NULL;
    struct err e = {0};
    return json_parse(s, strlen(s), 1000, "doc", &j, &e) == 0 ? j : NULL;
}

static void refused(const void *p, size_t n, enum err_kind kind, const char *text)
{
    struct json *j = NULL;
    struct err e = {0};
    is_int(json_parse(p, n, 1000, "doc", &j, &e), -1, "refused: %s", text);
    is_int(e.kind, kind, "kind of: %s", text);
    ok(strstr(e.text, text), "message has '%s': %s", text, e.text);
}

static void refusals(void)
{
    char deep[2 * LIMIT_JSON_DEPTH + 2];
    refused("{\"a\":1,\"a\":2}", 13, ERR_INPUT, "doc: line 1: duplicate object key");
    refused("{\"a\":{\"b\":1,\"b\":2}}", 19, ERR_INPUT, "duplicate object key");
    refused("{} x", 4, ERR_INPUT, "end of file expected");
    refused("{\n\"a\":}", 7, ERR_INPUT, "line 2");
    refused("[\"\\u0000\"]", 10, ERR_INPUT, "\\u0000 is not allowed");
    refused("[\"a\0b\"]", 7, ERR_INPUT, "doc: line 1");
    refused("[\"\xff\"]", 5, ERR_INPUT, "unable to decode byte 0xff");
    refused("", 0, ERR_INPUT, "doc: line");
    refused("[99999999999999999999]", 22, ERR_INPUT, "too big integer");
    memset(deep, ' ', 1000 < sizeof deep ? 1000 : sizeof deep);
    memset(deep, '[', LIMIT_JSON_DEPTH + 1);
    memset(deep + LIMIT_JSON_DEPTH + 1, ']', LIMIT_JSON_DEPTH + 1);
    refused(deep, 2 * LIMIT_JSON_DEPTH + 2, ERR_LIMIT, "doc: JSON nested deeper than 64");
    struct json *j = NULL;
    struct err e = {0};
    is_int(json_parse(deep + 1, 2 * LIMIT_JSON_DEPTH, 1000, "doc", &j, &e), 0, "the limit itself is fine");
    json_unref(j);
    is_int(json_parse("[1,2]", 5, 4, "doc", &j, &e), -1, "over the size limit");
    is_int(e.kind, ERR_LIMIT, "is ERR_LIMIT");
    is_str(e.text, "doc: 5 bytes of JSON, the limit is 4", "and says so");
    j = parse("[\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"]");
    ok(j, "brackets in strings don't count");
    json_unref(j);
}

static void accessors(void)
{
    struct json *j = parse("{\"s\":\"x\",\"i\":-5,\"r\":1.5,\"b\":true,\"n\":null,\"a\":[1,2],\"o\":{}}");
    int64_t v = 7;
    is_int(json_type(j), JSON_OBJECT, "object");
    is_int(json_type(json_get(j, "r")), JSON_REAL, "real");
    is_int(json_type(json_get(j, "n")), JSON_NULL, "null");
    is_int(json_type(json_get(j, "zz")), JSON_ABSENT, "absent");
    is_str(json_str(json_get(j, "s")), "x", "string");
    ok(!json_str(json_get(j, "i")), "a number is no string");
    ok(json_int(json_get(j, "i"), &v) && v == -5, "integer");
    ok(!json_int(json_get(j, "r"), &v) && v == -5, "a real is no integer");
    ok(json_bool(json_get(j, "b"), false) && json_bool(json_get(j, "s"), true), "booleans and their default");
    is_int(json_count(json_get(j, "a")), 2, "array count");
    is_int(json_count(json_get(j, "s")), 0, "a string has no count");
    ok(!json_at(json_get(j, "a"), 2), "beyond the end");
    ok(!json_get(json_get(json_get(NULL, "x"), "y"), "z") && !json_at(NULL, 0), "look-ups chain over absent values");
    struct buf b = {0};
    const char *key;
    struct json *val;
    for (void *it = NULL; json_next(j, &it, &key, &val);)
        buf_printf(&b, "%s,", key);
    is_str((char *)b.p, "s,i,r,b,n,a,o,", "members in order");
    buf_release(&b);
    json_unref(j);
}

static void building(void)
{
    struct buf b = {0};
    struct json *j = json_new_object(), *a = json_new_array();
    json_add(a, json_new_int(INT64_MIN));
    json_add(a, json_new_bool(true));
    json_add(a, json_new_str(NULL));
    json_add(a, json_new_strn("\xffok\xc0\x80\xed\xa0\x80", 8));
    json_set(j, "z", a);
    json_set(j, "a", json_new_str("\xc3\xa4\n"));
    is_int(json_dump(j, 0, &b), 0, "dump");
    is_str((char *)b.p,
           "{\"z\":[-9223372036854775808,true,null,\"\xef\xbf\xbdok\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
           "\xef\xbf\xbd\"],\"a\":\"\xc3\xa4\\n\"}",
           "one line, order kept, bytes that aren't UTF-8 replaced");
    buf_release(&b);
    is_int(json_dump(j, 2, &b), 0, "indented");
    ok(b.p && strstr((char *)b.p, "{\n  \"z\": ["), "by two");
    size_t before = b.len;
    is_int(json_set(j, "x", NULL), -1, "NULL value fails");
    is_int(json_dump(j, 0, &b), -1, "and so does the dump");
    is_int(b.len, before, "which leaves the buffer alone");
    json_unref(j);
    struct json *outer = json_new_object();
    a = json_new_array();
    json_add(a, NULL);
    json_set(outer, "a", a);
    is_int(json_dump(outer, 0, &b), -1, "of what holds it too");
    json_unref(outer);
    is_int(json_set(NULL, "a", json_new_int(1)), -1, "no object: value is released");
    is_int(json_add(NULL, json_new_int(1)), -1, "no array: value is released");
    is_int(json_dump(NULL, 0, &b), -1, "nothing to dump");
    buf_release(&b);
}

int main(void)
{
    refusals();
    accessors();
    building();
    return tap_done();
}
