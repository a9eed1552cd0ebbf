/* SPDX-License-Identifier: MIT */
/*
 * jansson behind json.h. A struct json * is a json_t * under another name, so nothing is wrapped or copied.
 * jansson keeps members in order of insertion and checks UTF-8. Its own depth limit is 2048, so ours is
 * checked by a scan of the raw bytes before its parser recurses.
 */

/* jansson's enumeration has some names of ours: it gets others here. Its json_is_… macros can't be used then. */
#define json_type    jansson_type
#define JSON_OBJECT  JANSSON_OBJECT
#define JSON_ARRAY   JANSSON_ARRAY
#define JSON_STRING  JANSSON_STRING
#define JSON_INTEGER JANSSON_INTEGER
#define JSON_REAL    JANSSON_REAL
#define JSON_TRUE    JANSSON_TRUE
#define JSON_FALSE   JANSSON_FALSE
#define JSON_NULL    JANSSON_NULL
#include <jansson.h>
#undef json_type
#undef JSON_OBJECT
#undef JSON_ARRAY
#undef JSON_STRING
#undef JSON_INTEGER
#undef JSON_REAL
#undef JSON_TRUE
#undef JSON_FALSE
#undef JSON_NULL

#include "json.h"
#include "limits.h"

#include <stdlib.h>
#include <string.h>

static json_t *out(struct json *j)
{
    return (json_t *)(void *)j;
}

static const json_t *cout(const struct json *j)
{
    return (const json_t *)(const void *)j;
}

static struct json *in(json_t *j)
{
    return (struct json *)(void *)j;
}

/* Nesting of brackets outside of strings, which needs no grammar: what is malformed besides, jansson refuses. */
static bool too_deep(const uint8_t *p, size_t n)
{
    unsigned depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < n; i++) {
        if (quoted) {
            if (p[i] == '\\')
                i++;
            else if (p[i] == '"')
                quoted = false;
        } else if (p[i] == '"') {
            quoted = true;
        } else if (p[i] == '{' || p[i] == '[') {
            if (++depth > LIMIT_JSON_DEPTH)
                return true;
        } else if ((p[i] == '}' || p[i] == ']') && depth) {
            depth--;
        }
    }
    return false;
}

int json_parse(const void *p, size_t n, size_t limit, const char *what, struct json **ret, struct err *e)
{
    json_error_t je;
    if (n > limit)
        return err_set(e, ERR_LIMIT, "%s: %zu bytes of JSON, the limit is %zu", what, n, limit);
    if (n && too_deep(p, n))
        return err_set(e, ERR_LIMIT, "%s: JSON nested deeper than %d", what, LIMIT_JSON_DEPTH);
    json_t *j = json_loadb(n ? p : "", n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &je);
    if (!j && json_error_code(&je) == json_error_out_of_memory)
        return err_nomem(e);
    if (!j)
        return err_set(e, ERR_INPUT, "%s: line %d: %s", what, je.line, je.text);
    *ret = in(j);
    return 0;
}

void json_unref(struct json *j)
{
    json_decref(out(j));
}

struct json *json_ref(struct json *j)
{
    return in(json_incref(out(j)));
}

enum json_type json_type(const struct json *j)
{
    static const enum json_type map[] = {
        [JANSSON_OBJECT] = JSON_OBJECT, [JANSSON_ARRAY] = JSON_ARRAY, [JANSSON_STRING] = JSON_STRING,
        [JANSSON_INTEGER] = JSON_INT,   [JANSSON_REAL] = JSON_REAL,   [JANSSON_TRUE] = JSON_BOOL,
        [JANSSON_FALSE] = JSON_BOOL,    [JANSSON_NULL] = JSON_NULL,
    };
    return j ? map[cout(j)->type] : JSON_ABSENT;
}

/* --- accessors --- */

struct json *json_get(const struct json *obj, const char *key)
{
    return json_type(obj) == JSON_OBJECT ? in(json_object_get(cout(obj), key)) : NULL;
}

size_t json_count(const struct json *j)
{
    switch (json_type(j)) {
    case JSON_OBJECT:
        return json_object_size(cout(j));
    case JSON_ARRAY:
        return json_array_size(cout(j));
    default:
        return 0;
    }
}

struct json *json_at(const struct json *array, size_t i)
{
    return json_type(array) == JSON_ARRAY ? in(json_array_get(cout(array), i)) : NULL;
}

const char *json_str(const struct json *j)
{
    return json_type(j) == JSON_STRING ? json_string_value(cout(j)) : NULL;
}

bool json_int(const struct json *j, int64_t *ret)
{
    if (json_type(j) != JSON_INT)
        return false;
    *ret = json_integer_value(cout(j));
    return true;
}

bool json_bool(const struct json *j, bool dflt)
{
    return json_type(j) == JSON_BOOL ? cout(j)->type == JANSSON_TRUE : dflt;
}

bool json_next(const struct json *obj, void **iter, const char **ret_key, struct json **ret_val)
{
    union { /* jansson's iterators want a pointer that isn't const, and change nothing */
        const struct json *c;
        json_t *j;
    } u = {.c = obj};
    if (json_type(obj) != JSON_OBJECT)
        return false;
    *iter = *iter ? json_object_iter_next(u.j, *iter) : json_object_iter(u.j);
    if (!*iter)
        return false;
    *ret_key = json_object_iter_key(*iter);
    *ret_val = in(json_object_iter_value(*iter));
    return true;
}

/* --- building --- */

struct json *json_new_object(void)
{
    return in(json_object());
}

struct json *json_new_array(void)
{
    return in(json_array());
}

/* Length of the valid UTF-8 sequence at p, 0 when there is none (NUL counts as none: our strings have none). */
static size_t utf8_len(const uint8_t *p, size_t n)
{
    static const uint32_t least[] = {0, 1, 0x80, 0x800, 0x10000};
    size_t len = p[0] < 0x80 ? 1 : p[0] >= 0xf8 ? 0 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc0 ? 2 : 0;
    if (!len || len > n)
        return 0;
    uint32_t c = len == 1 ? p[0] : p[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    return c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : len;
}

struct json *json_new_strn(const char *s, size_t n)
{
    const uint8_t *p = (const uint8_t *)s;
    struct buf b = {0};
    bool fine = true;
    for (size_t i = 0, len; i < n && fine; i += len) {
        len = utf8_len(p + i, n - i);
        fine = len > 0;
    }
    if (fine)
        return in(json_stringn_nocheck(n ? s : "", n));
    for (size_t i = 0; i < n;) {
        size_t len = utf8_len(p + i, n - i);
        if ((len ? buf_append(&b, p + i, len) : buf_append(&b, "\xef\xbf\xbd", 3)) < 0) {
            buf_release(&b);
            return NULL;
        }
        i += len ? len : 1;
    }
    json_t *j = json_stringn_nocheck((const char *)b.p, b.len);
    buf_release(&b);
    return in(j);
}

struct json *json_new_str(const char *s)
{
    return s ? json_new_strn(s, strlen(s)) : json_new_null();
}

struct json *json_new_int(int64_t v)
{
    return in(json_integer(v));
}

struct json *json_new_bool(bool v)
{
    return in(v ? json_true() : json_false());
}

struct json *json_new_null(void)
{
    return in(json_null());
}

/*
 * A container that lost a value must not pass for whole later: it gets a string that isn't UTF-8, which no dump of
 * it or of what holds it can write.
 */
static json_t *poison(void)
{
    return json_stringn_nocheck("\xff", 1);
}

int json_set(struct json *obj, const char *key, struct json *val)
{
    if (json_type(obj) != JSON_OBJECT) {
        json_unref(val);
        return -1;
    }
    if (val && json_object_set_new(out(obj), key, out(val)) == 0)
        return 0;
    (void)json_object_set_new_nocheck(out(obj), "", poison());
    return -1;
}

int json_add(struct json *array, struct json *val)
{
    if (json_type(array) != JSON_ARRAY) {
        json_unref(val);
        return -1;
    }
    if (val && json_array_append_new(out(array), out(val)) == 0)
        return 0;
    (void)json_array_append_new(out(array), poison());
    return -1;
}

static int dump_to(const char *p, size_t n, void *ctx)
{
    return buf_append(ctx, p, n);
}

int json_dump(const struct json *j, int indent, struct buf *b)
{
    size_t before = b->len;
    size_t flags = JSON_ENCODE_ANY | (indent > 0 ? (size_t)JSON_INDENT((size_t)indent) : JSON_COMPACT);
    if (j && json_dump_callback(cout(j), dump_to, b, flags) == 0)
        return 0;
    b->len = before;
    if (b->p)
        b->p[before] = 0;
    return -1;
}
