/* SPDX-License-Identifier: MIT */
#include "narinfo.h"

#include "../crypto.h"
#include "../limits.h"
#include "storepath.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define SIGS_MAX 64 /* of one path; real ones have one or two */

/* What is being read, with what is kept apart from the result: which keys were there. */
struct reading {
    struct narinfo *i;
    unsigned seen; /* bit per row of `keys` */
    size_t n_sigs;
};

static char *copy(const char *s, size_t n, struct err *e)
{
    char *p = strndup(s, n);
    if (!p)
        err_nomem(e);
    return p;
}

static int set_str(char **at, const char *s, size_t n, struct err *e)
{
    *at = copy(s, n, e);
    return *at ? 0 : -1;
}

static int parse_number(const char *s, size_t n, int64_t *ret, struct err *e)
{
    int64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9' || v > (INT64_MAX - 9) / 10)
            n = 0;
        else
            v = v * 10 + (s[i] - '0');
    }
    if (!n)
        return err_set(e, ERR_INPUT, "not a number of bytes");
    *ret = v;
    return 0;
}

static int parse_hash(const char *s, size_t n, struct digest *ret, struct err *e)
{
    if (digest_parse_nix(s, n, ret) < 0)
        return err_set(e, ERR_INPUT, "not a SHA-256 hash (sha256:…)");
    return 0;
}

static int on_path(struct reading *r, const char *s, size_t n, struct err *e)
{
    if (set_str(&r->i->path, s, n, e) < 0)
        return -1;
    return storepath_check(r->i->path, &r->i->dirlen, &r->i->base, e);
}

static int on_url(struct reading *r, const char *s, size_t n, struct err *e)
{
    if (!n)
        return err_set(e, ERR_INPUT, "is empty");
    return set_str(&r->i->url, s, n, e);
}

static int on_compression(struct reading *r, const char *s, size_t n, struct err *e)
{
    return set_str(&r->i->compression, n ? s : "none", n ? n : 4, e);
}

static int on_filehash(struct reading *r, const char *s, size_t n, struct err *e)
{
    r->i->has_filehash = true;
    return parse_hash(s, n, &r->i->filehash, e);
}

static int on_filesize(struct reading *r, const char *s, size_t n, struct err *e)
{
    return parse_number(s, n, &r->i->filesize, e);
}

static int on_narhash(struct reading *r, const char *s, size_t n, struct err *e)
{
    return parse_hash(s, n, &r->i->narhash, e);
}

static int on_narsize(struct reading *r, const char *s, size_t n, struct err *e)
{
    if (parse_number(s, n, &r->i->narsize, e) < 0)
        return -1;
    return r->i->narsize ? 0 : err_set(e, ERR_INPUT, "is 0, which no NAR has");
}

static int by_string(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

static int on_refs(struct reading *r, const char *s, size_t n, struct err *e)
{
    size_t k = 0, kept = 0;
    free(r->i->refs);
    r->i->refs = calloc(n / 2 + 2, sizeof *r->i->refs);
    if (!r->i->refs)
        return err_nomem(e);
    for (const char *end = s + n, *p = s; p < end;) {
        const char *sp = memchr(p, ' ', (size_t)(end - p));
        size_t len = (size_t)((sp ? sp : end) - p);
        if (len && (storepath_check_base(p, len, e) < 0 || set_str(&r->i->refs[k++], p, len, e) < 0))
            return -1;
        p += len + 1;
    }
    qsort(r->i->refs, k, sizeof *r->i->refs, by_string);
    for (size_t i = 0; i < k; i++)
        if (kept && !strcmp(r->i->refs[kept - 1], r->i->refs[i]))
            free(r->i->refs[i]);
        else
            r->i->refs[kept++] = r->i->refs[i];
    for (size_t i = kept; i < k; i++)
        r->i->refs[i] = NULL;
    return 0;
}

static int on_deriver(struct reading *r, const char *s, size_t n, struct err *e)
{
    if (!n || (n == strlen("unknown-deriver") && !memcmp(s, "unknown-deriver", n)))
        return 0;
    return storepath_check_base(s, n, e) < 0 ? -1 : set_str(&r->i->deriver, s, n, e);
}

static int on_sig(struct reading *r, const char *s, size_t n, struct err *e)
{
    if (r->n_sigs == SIGS_MAX)
        return err_set(e, ERR_LIMIT, "more than %d signatures", SIGS_MAX);
    return set_str(&r->i->sigs[r->n_sigs++], s, n, e);
}

static int on_ca(struct reading *r, const char *s, size_t n, struct err *e)
{
    return n ? set_str(&r->i->ca, s, n, e) : 0;
}

static const struct {
    const char *key;
    int (*on)(struct reading *, const char *, size_t, struct err *);
    bool required, repeatable;
} keys[] = {
    {"StorePath", on_path, true, false},
    {"URL", on_url, true, false},
    {"Compression", on_compression, false, false},
    {"FileHash", on_filehash, false, false},
    {"FileSize", on_filesize, false, false},
    {"NarHash", on_narhash, true, false},
    {"NarSize", on_narsize, true, false},
    {"References", on_refs, false, false},
    {"Deriver", on_deriver, false, false},
    {"Sig", on_sig, false, true},
    {"CA", on_ca, false, false},
};
#define KEYS (sizeof keys / sizeof keys[0])

static int read_line(struct reading *r, const char *s, size_t n, struct err *e)
{
    const char *colon = memchr(s, ':', n);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
            return err_set(e, ERR_INPUT, "has a control character");
    if (!colon || colon == s || colon + 1 == s + n || colon[1] != ' ')
        return err_set(e, ERR_INPUT, "is not of the form 'Key: value'");
    size_t klen = (size_t)(colon - s);
    for (size_t k = 0; k < KEYS; k++) {
        if (strlen(keys[k].key) != klen || memcmp(keys[k].key, s, klen) != 0)
            continue;
        if ((r->seen & 1u << k) && !keys[k].repeatable)
            return err_set(e, ERR_INPUT, "%s: stands here a second time", keys[k].key);
        r->seen |= 1u << k;
        if (keys[k].on(r, colon + 2, n - klen - 2, e) < 0)
            return err_wrap(e, "%s", keys[k].key);
    }
    return 0;
}

static int read_all(struct reading *r, const char *s, size_t n, struct err *e)
{
    if (n > LIMIT_NARINFO)
        return err_set(e, ERR_LIMIT, "has %zu bytes, at most %u are allowed", n, LIMIT_NARINFO);
    for (unsigned line = 1; n; line++) {
        const char *nl = memchr(s, '\n', n);
        if (!nl)
            return err_set(e, ERR_INPUT, "line %u: is cut off (no newline at its end)", line);
        size_t len = (size_t)(nl - s);
        if (read_line(r, s, len, e) < 0)
            return err_wrap(e, "line %u", line);
        s += len + 1;
        n -= len + 1;
    }
    for (size_t k = 0; k < KEYS; k++)
        if (keys[k].required && !(r->seen & 1u << k))
            return err_set(e, ERR_INPUT, "'%s' is missing", keys[k].key);
    if (!r->i->compression)
        return set_str(&r->i->compression, "bzip2", 5, e);
    return 0;
}

int narinfo_parse(const void *p, size_t n, struct narinfo *ret, struct err *e)
{
    struct narinfo i = {.filesize = -1, .narsize = -1};
    struct reading r = {.i = &i};
    i.refs = calloc(1, sizeof *i.refs);
    i.sigs = calloc(SIGS_MAX + 1, sizeof *i.sigs);
    int rc = i.refs && i.sigs ? read_all(&r, p, n, e) : err_nomem(e);
    if (rc < 0) {
        narinfo_release(&i);
        return err_wrap(e, "narinfo");
    }
    *ret = i;
    return 0;
}

static void free_list(char **v)
{
    for (size_t i = 0; v && v[i]; i++)
        free(v[i]);
    free(v);
}

void narinfo_release(struct narinfo *i)
{
    free(i->path);
    free(i->url);
    free(i->compression);
    free(i->deriver);
    free(i->ca);
    free_list(i->refs);
    free_list(i->sigs);
    *i = (struct narinfo){0};
}

int narinfo_fingerprint(const char *path, const struct digest *narhash, uint64_t narsize, const char *const *refs,
                        struct buf *out, struct err *e)
{
    char hash[DIGEST_NIX32_LEN + 1];
    const char *slash = strrchr(path, '/');
    int dirlen = slash ? (int)(slash - path) : 0;
    nix32_encode(narhash->b, DIGEST_LEN, hash);
    int rc = buf_printf(out, "1;%s;sha256:%s;%" PRIu64 ";", path, hash, narsize);
    for (size_t i = 0; !rc && refs && refs[i]; i++)
        rc = buf_printf(out, "%s%.*s/%s", i ? "," : "", dirlen, path, refs[i]);
    return rc < 0 ? err_nomem(e) : 0;
}

static int parse_key(const char *text, struct trusted_key *ret, struct err *e)
{
    const char *colon = strchr(text, ':');
    size_t n;
    if (!colon || colon == text || base64_decode(colon + 1, strlen(colon + 1), ret->pub, sizeof ret->pub, &n) < 0 ||
        n != sizeof ret->pub)
        return err_set(e, ERR_USAGE, "trusted key '%s' is not of the form NAME:BASE64 with 32 bytes in base 64", text);
    return set_str(&ret->name, text, (size_t)(colon - text), e);
}

int trusted_keys_parse(const char *const *texts, struct trusted_keys *ret, struct err *e)
{
    struct trusted_keys k = {0};
    size_t n = 0;
    while (texts && texts[n])
        n++;
    k.v = calloc(n + 1, sizeof *k.v);
    if (!k.v)
        return err_nomem(e);
    for (; k.n < n; k.n++)
        if (parse_key(texts[k.n], &k.v[k.n], e) < 0) {
            trusted_keys_release(&k);
            return -1;
        }
    *ret = k;
    return 0;
}

void trusted_keys_release(struct trusted_keys *k)
{
    for (size_t i = 0; i < k->n; i++)
        free(k->v[i].name);
    free(k->v);
    *k = (struct trusted_keys){0};
}

/* The key of this "name:base64" signature under which it holds; several keys may have one name. */
static const struct trusted_key *signer(const char *sig, const struct trusted_keys *trusted, const struct buf *text)
{
    uint8_t raw[64];
    size_t n;
    const char *colon = strchr(sig, ':');
    if (!colon || base64_decode(colon + 1, strlen(colon + 1), raw, sizeof raw, &n) < 0 || n != sizeof raw)
        return NULL;
    for (size_t i = 0; i < trusted->n; i++) {
        const struct trusted_key *k = &trusted->v[i];
        if (strlen(k->name) == (size_t)(colon - sig) && !memcmp(k->name, sig, (size_t)(colon - sig)) &&
            ed25519_verify(k->pub, raw, text->p, text->len))
            return k;
    }
    return NULL;
}

int narinfo_verify(const char *path, const struct digest *narhash, uint64_t narsize, const char *const *refs,
                   const char *const *sigs, const struct trusted_keys *trusted, const char **ret_key, struct err *e)
{
    struct buf text = {0};
    const struct trusted_key *k = NULL;
    if (narinfo_fingerprint(path, narhash, narsize, refs, &text, e) < 0)
        return buf_release(&text), -1;
    for (size_t i = 0; sigs && sigs[i] && !k; i++)
        k = signer(sigs[i], trusted, &text);
    buf_release(&text);
    *ret_key = k ? k->name : NULL;
    return 0;
}
