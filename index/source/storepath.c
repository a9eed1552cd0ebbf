/* SPDX-License-Identifier: MIT */
#include "storepath.h"

#include "../buf.h"
#include "../crypto.h"
#include "../limits.h"

#include <stdlib.h>

static bool is_name_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c && strchr("+-._?=", c));
}

/* For messages: hostile bytes become '?', long strings are cut. */
struct shown {
    char s[256];
};

static struct shown show(const char *s, size_t len)
{
    struct shown r;
    size_t n = 0;
    for (; n < len && n < sizeof r.s - 1; n++)
        r.s[n] = s[n] >= 0x20 && s[n] < 0x7f ? s[n] : '?';
    r.s[n] = '\0';
    return r;
}

int storepath_check_name(const char *name, size_t len, struct err *e)
{
    if (!len)
        return err_set(e, ERR_INPUT, "a store path's name is empty");
    if (len > STOREPATH_NAME_MAX)
        return err_set(e, ERR_INPUT, "store path name '%s' has %zu characters, at most %d are allowed",
                       show(name, len).s, len, STOREPATH_NAME_MAX);
    for (size_t i = 0; i < len; i++)
        if (!is_name_char(name[i]))
            return err_set(e, ERR_INPUT, "store path name '%s' has a character other than 0-9 a-z A-Z + - . _ ? =",
                           show(name, len).s);
    size_t dots = 0;
    while (dots < len && name[dots] == '.')
        dots++;
    if ((dots == 1 || dots == 2) && (dots == len || name[dots] == '-'))
        return err_set(e, ERR_INPUT, "store path name '%s' is or begins with the part '%.*s', which isn't allowed",
                       show(name, len).s, (int)dots, "..");
    return 0;
}

bool storepath_is_hash(const char *s, size_t len)
{
    if (len != STOREPATH_HASH_LEN)
        return false;
    for (size_t i = 0; i < len; i++)
        if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'z')) || strchr("eotu", s[i]))
            return false;
    return true;
}

int storepath_check_base(const char *base, size_t len, struct err *e)
{
    if (len <= STOREPATH_HASH_LEN || !storepath_is_hash(base, STOREPATH_HASH_LEN) || base[STOREPATH_HASH_LEN] != '-')
        return err_set(e, ERR_INPUT,
                       "'%s' is no store path: 32 characters of 0-9 a-z without e o t u, then '-', are missing",
                       show(base, len).s);
    return storepath_check_name(base + STOREPATH_HASH_LEN + 1, len - STOREPATH_HASH_LEN - 1, e);
}

int storepath_check_dir(const char *dir, size_t len, struct err *e)
{
    bool good = len > 1 && len < LIMIT_PATH - STOREPATH_BASE_MAX && dir[0] == '/';
    for (size_t i = 0, part = 1; good && i <= len; i++) {
        if (i < len && (dir[i] <= 0x20 || dir[i] >= 0x7f))
            good = false;
        if (i && (i == len || dir[i] == '/')) {
            size_t n = i - part;
            good = good && n && !(n <= 2 && !memcmp(dir + part, "..", n));
            part = i + 1;
        }
    }
    return good ? 0
                : err_set(e, ERR_INPUT, "'%s' can't be a store's folder: an absolute plain path is needed",
                          show(dir, len).s);
}

int storepath_check(const char *path, size_t *ret_dirlen, const char **ret_base, struct err *e)
{
    const char *slash = strrchr(path, '/');
    if (!slash || path[0] != '/')
        return err_set(e, ERR_INPUT, "'%s' is no store path: it isn't absolute", show(path, strlen(path)).s);
    size_t dirlen = (size_t)(slash - path);
    if (storepath_check_dir(path, dirlen, e) < 0 || storepath_check_base(slash + 1, strlen(slash + 1), e) < 0)
        return err_wrap(e, "store path '%s'", show(path, strlen(path)).s);
    *ret_dirlen = dirlen;
    *ret_base = slash + 1;
    return 0;
}

int storepath_make(const char *type, const struct digest *inner, const char *dir, const char *name, char **ret,
                   struct err *e)
{
    struct buf b = {0};
    struct digest d;
    char hex[DIGEST_HEX_LEN + 1], hash[STOREPATH_HASH_LEN + 1];
    uint8_t fold[20] = {0};
    if (storepath_check_name(name, strlen(name), e) < 0)
        return -1;
    digest_hex(inner, hex);
    if (buf_printf(&b, "%s:sha256:%s:%s:%s", type, hex, dir, name) < 0)
        return buf_release(&b), err_nomem(e);
    sha256_of(b.p, b.len, &d);
    buf_release(&b);
    for (size_t i = 0; i < DIGEST_LEN; i++)
        fold[i % sizeof fold] ^= d.b[i];
    nix32_encode(fold, sizeof fold, hash);
    if (buf_printf(&b, "%s/%s-%s", dir, hash, name) < 0)
        return buf_release(&b), err_nomem(e);
    *ret = (char *)buf_steal(&b, NULL);
    return 0;
}

/* "type:ref:ref…[:self]" as the type, then as above. */
static int make_with_refs(const char *type, const struct digest *inner, const char *dir, const char *name,
                          const char *const *refs, bool self, char **ret, struct err *e)
{
    struct buf b = {0};
    int rc = buf_printf(&b, "%s", type);
    for (; !rc && refs && *refs; refs++)
        rc = buf_printf(&b, ":%s/%s", dir, *refs);
    if (!rc && self)
        rc = buf_printf(&b, ":self");
    rc = rc < 0 ? err_nomem(e) : storepath_make((const char *)b.p, inner, dir, name, ret, e);
    buf_release(&b);
    return rc;
}

int storepath_source_refs(const struct digest *narhash, const char *dir, const char *name, const char *const *refs,
                          bool self, char **ret, struct err *e)
{
    return make_with_refs("source", narhash, dir, name, refs, self, ret, e);
}

int storepath_source(const struct digest *narhash, const char *name, char **ret, struct err *e)
{
    return make_with_refs("source", narhash, STOREPATH_DIR, name, NULL, false, ret, e);
}

int storepath_text(const struct digest *contents, const char *dir, const char *name, const char *const *refs,
                   char **ret, struct err *e)
{
    return make_with_refs("text", contents, dir, name, refs, false, ret, e);
}

int storepath_fixed(const char *method, const char *algo, const char *hex, const char *dir, const char *name,
                    char **ret, struct err *e)
{
    struct buf b = {0};
    struct digest inner;
    if (buf_printf(&b, "fixed:out:%s%s:%s:", method, algo, hex) < 0)
        return buf_release(&b), err_nomem(e);
    sha256_of(b.p, b.len, &inner);
    buf_release(&b);
    return storepath_make("output:out", &inner, dir, name, ret, e);
}

void storepath_ca_parse(const char *ca, struct storepath_ca *ret)
{
    static const struct {
        const char *prefix;
        enum storepath_ca_kind kind;
    } forms[] = {
        {"text:", STOREPATH_CA_TEXT},
        {"fixed:r:", STOREPATH_CA_NAR},
        {"fixed:", STOREPATH_CA_FLAT},
    };
    *ret = (struct storepath_ca){.kind = STOREPATH_CA_OTHER};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        size_t n = strlen(forms[i].prefix);
        if (strncmp(ca, forms[i].prefix, n) != 0)
            continue;
        if (!digest_parse_nix(ca + n, strlen(ca + n), &ret->hash))
            ret->kind = forms[i].kind;
        return;
    }
}

/* The references but the path itself. *ret_self: that was among them. The strings stay the caller's. */
static int without_self(const char *base, const char *const *refs, const char ***ret, bool *ret_self, struct err *e)
{
    size_t n = 0, k = 0;
    while (refs && refs[n])
        n++;
    const char **v = calloc(n + 1, sizeof *v);
    if (!v)
        return err_nomem(e);
    *ret_self = false;
    for (size_t i = 0; i < n; i++)
        if (strcmp(refs[i], base) != 0)
            v[k++] = refs[i];
        else
            *ret_self = true;
    *ret = v;
    return 0;
}

int storepath_ca_check(const struct storepath_ca *ca, const char *path, const char *const *refs, struct err *e)
{
    size_t dirlen = 0;
    const char *base = path, **others = NULL, *name;
    char *dir, hex[DIGEST_HEX_LEN + 1], *made = NULL;
    bool self = false;
    int rc = -1;
    if (ca->kind == STOREPATH_CA_OTHER)
        return err_set(e, ERR_UNSUPPORTED, "%s: its content address isn't a SHA-256 one", path);
    if (storepath_check(path, &dirlen, &base, e) < 0 || without_self(base, refs, &others, &self, e) < 0)
        return -1;
    name = base + STOREPATH_HASH_LEN + 1;
    dir = strndup(path, dirlen);
    digest_hex(&ca->hash, hex);
    if (!dir || !others)
        err_nomem(e);
    else if (ca->kind == STOREPATH_CA_NAR)
        rc = storepath_source_refs(&ca->hash, dir, name, others, self, &made, e);
    else if (self || (ca->kind == STOREPATH_CA_FLAT && others[0]))
        err_set(e, ERR_INPUT, "%s: a content address of this kind can't have such references", path);
    else if (ca->kind == STOREPATH_CA_TEXT)
        rc = storepath_text(&ca->hash, dir, name, others, &made, e);
    else
        rc = storepath_fixed("", "sha256", hex, dir, name, &made, e);
    if (!rc && made && strcmp(made, path) != 0)
        rc = err_set(e, ERR_INPUT, "%s: isn't what its content address gives, %s", path, made);
    free(made);
    free(dir);
    free(others);
    return rc;
}
