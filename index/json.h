/* SPDX-License-Identifier: MIT */
/*
 * json: the door to jansson (no other file includes it). Values are reference-counted trees.
 * Reading: json_parse refuses duplicate keys, depth over LIMIT_JSON_DEPTH, trailing bytes, input over
 * the limit given (CVE-2021-41190 and memory exhaustion). Strings are UTF-8 without NUL.
 * Accessors take NULL and answer "absent", so that look-ups chain; what they return is borrowed.
 * Building: json_set and json_add take their value over (also on failure); a NULL value makes the
 * call fail, so that a chain of builders needs one check at the end (json_dump fails too, then).
 * A tree belongs to one thread.
 */
#ifndef CAIRN_JSON_H
#define CAIRN_JSON_H

#include "buf.h"
#include "err.h"

#include <stdbool.h>

struct json; /* a jansson json_t */

enum json_type { JSON_ABSENT, JSON_NULL, JSON_BOOL, JSON_INT, JSON_REAL, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/* `what` names the document in the error: "index.json: line 3: …". Unref the result. */
int json_parse(const void *p, size_t n, size_t limit, const char *what, struct json **ret, struct err *e);
void json_unref(struct json *j);

enum json_type json_type(const struct json *j);
struct json *json_get(const struct json *obj, const char *key); /* NULL when absent or no object */
size_t json_count(const struct json *j);                        /* of an array or object */
struct json *json_at(const struct json *array, size_t i);
const char *json_str(const struct json *j); /* NULL unless a string */
/* false unless an integer */
bool json_int(const struct json *j, int64_t *ret);
bool json_bool(const struct json *j, bool dflt);
/* Walks an object's members: start with *iter = NULL; false at the end. Insertion order. */
bool json_next(const struct json *obj, void **iter, const char **ret_key, struct json **ret_val);

struct json *json_new_object(void);
struct json *json_new_array(void);
struct json *json_new_str(const char *s); /* NULL s gives null; bytes that aren't UTF-8 become U+FFFD */
struct json *json_new_strn(const char *s, size_t n);
struct json *json_new_int(int64_t v);
struct json *json_new_bool(bool v);
struct json *json_new_null(void);
struct json *json_ref(struct json *j); /* one more reference, to put a parsed value into a built tree */
int json_set(struct json *obj, const char *key, struct json *val);
int json_add(struct json *array, struct json *val);
/* indent 0: one line, no spaces. Appends to out. Members in insertion order. */
int json_dump(const struct json *j, int indent, struct buf *out);

#endif
