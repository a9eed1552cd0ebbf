/* SPDX-License-Identifier: MIT */
/*
 * The grammar of imageref.h as three small scanners; nothing is looked up or completed.
 */
#include "imageref.h"
#include "../buf.h"
#include "../limits.h"

#include <stdlib.h>

#define TAG_MAX       128
#define BY_DIGEST     "sha256-"
#define BY_DIGEST_LEN (sizeof BY_DIGEST - 1 + DIGEST_HEX_LEN)
/* "repo@sha256-<hex>" is a file name. */
#define REPO_MAX (LIMIT_NAME - 1 - BY_DIGEST_LEN)

static bool lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

/* Words joined by ".", "_", "__" or any number of dashes. */
static bool is_part(const char *s, size_t len)
{
    size_t i = 0;
    for (;;) {
        size_t word = i;
        while (i < len && lower_or_digit(s[i]))
            i++;
        if (i == word)
            return false;
        if (i == len)
            return true;
        if (s[i] == '.') {
            i++;
        } else if (s[i] == '_') {
            i += i + 1 < len && s[i + 1] == '_' ? 2 : 1;
        } else if (s[i] == '-') {
            while (i < len && s[i] == '-')
                i++;
        } else {
            return false;
        }
    }
}

/* Labels joined by ".", then perhaps ":port". */
static bool is_host(const char *s, size_t len)
{
    const char *colon = memchr(s, ':', len);
    size_t host = colon ? (size_t)(colon - s) : len;
    if (colon) {
        if (host + 1 == len)
            return false;
        for (size_t i = host + 1; i < len; i++)
            if (s[i] < '0' || s[i] > '9')
                return false;
    }
    for (size_t i = 0;; i++) {
        size_t label = i;
        while (i < host && (lower_or_digit(s[i]) || upper(s[i]) || s[i] == '-'))
            i++;
        if (i == label || s[label] == '-' || s[i - 1] == '-')
            return false;
        if (i == host)
            return true;
        if (s[i] != '.')
            return false;
    }
}

bool image_ref_is_repo(const char *s, size_t len)
{
    if (!len || len > REPO_MAX)
        return false;
    const char *slash = memchr(s, '/', len);
    size_t first = slash ? (size_t)(slash - s) : len;
    if (!is_part(s, first) && !(slash && is_host(s, first)))
        return false;
    for (size_t at = first; at < len;) {
        at++;
        slash = memchr(s + at, '/', len - at);
        size_t end = slash ? (size_t)(slash - s) : len;
        if (!is_part(s + at, end - at))
            return false;
        at = end;
    }
    return true;
}

static bool is_by_digest(const char *s, size_t len, struct digest *ret)
{
    struct digest d;
    size_t prefix = sizeof BY_DIGEST - 1;
    return len == BY_DIGEST_LEN && !memcmp(s, BY_DIGEST, prefix) &&
           digest_parse_hex(s + prefix, len - prefix, ret ? ret : &d) == 0;
}

bool image_ref_is_tag(const char *s, size_t len)
{
    if (!len || len > TAG_MAX || s[0] == '.' || s[0] == '-')
        return false;
    for (size_t i = 0; i < len; i++)
        if (!lower_or_digit(s[i]) && !upper(s[i]) && s[i] != '_' && s[i] != '.' && s[i] != '-')
            return false;
    return !is_by_digest(s, len, NULL);
}

void image_ref_release(struct image_ref *r)
{
    free(r->repo);
    free(r->tag);
    *r = (struct image_ref){0};
}

int image_ref_parse(const char *s, struct image_ref *ret, struct err *e)
{
    struct image_ref r = {0};
    size_t len = strlen(s);
    const char *at = strchr(s, '@');
    size_t end = at ? (size_t)(at - s) : len;
    if (at) {
        if (digest_parse_oci(at + 1, len - end - 1, &r.digest) < 0)
            return err_set(e, ERR_USAGE, "reference \"%s\": behind \"@\" there must be sha256: and 64 hex digits", s);
        r.has_digest = true;
    }
    /* The tag's colon is behind the last slash; a port's is before it. */
    size_t slash = end;
    while (slash && s[slash - 1] != '/')
        slash--;
    const char *colon = memchr(s + slash, ':', end - slash);
    size_t repo = colon ? (size_t)(colon - s) : end;
    size_t tag = colon ? end - repo - 1 : 0;
    if (repo > REPO_MAX)
        return err_set(e, ERR_USAGE, "reference \"%.60s…\": repository of %zu bytes, %zu are the most", s, repo,
                       (size_t)REPO_MAX);
    if (!image_ref_is_repo(s, repo))
        return err_set(
            e, ERR_USAGE,
            "reference \"%s\": \"%.*s\" is no repository name (lower-case letters, digits, single \".\", \"_\", "
            "\"-\" between them, parts separated by \"/\")",
            s, (int)repo, s);
    if (colon && is_by_digest(colon + 1, tag, NULL))
        return err_set(e, ERR_USAGE, "reference \"%s\": this tag is kept for images by digest; write @sha256:… instead",
                       s);
    if (colon && !image_ref_is_tag(colon + 1, tag))
        return err_set(
            e, ERR_USAGE,
            "reference \"%s\": \"%.*s\" is no tag (1 to 128 letters, digits, \".\", \"_\", \"-\", not \".\" or "
            "\"-\" first)",
            s, (int)tag, colon + 1);
    if (repo + 1 + tag > LIMIT_NAME)
        return err_set(e, ERR_USAGE, "reference \"%.60s…\": longer than a folder's name may be (%d bytes)", s,
                       LIMIT_NAME);
    r.repo = strndup(s, repo);
    r.tag = colon ? strndup(colon + 1, tag) : NULL;
    if (!r.repo || (colon && !r.tag)) {
        image_ref_release(&r);
        return err_nomem(e);
    }
    *ret = r;
    return 0;
}

int image_ref_repo_of(const char *file_name, char **ret, struct err *e)
{
    struct buf b = {0};
    for (const char *p = file_name; *p && b.len < REPO_MAX; p++) {
        char c = upper(*p) ? (char)(*p - 'A' + 'a') : *p;
        bool joint = c == '.' || c == '_' || c == '-';
        if (!lower_or_digit(c) && !joint)
            c = '-', joint = true;
        /* A joint needs a word before it, and one character is enough. */
        if (joint && (!b.len || !lower_or_digit((char)b.p[b.len - 1])))
            continue;
        if (buf_append(&b, &c, 1) < 0) {
            buf_release(&b);
            return err_nomem(e);
        }
    }
    if (b.len && !lower_or_digit((char)b.p[b.len - 1]))
        b.p[--b.len] = 0;
    if (!b.len) {
        buf_release(&b);
        return err_set(e, ERR_USAGE, "\"%s\" gives no image name; say --name REPOSITORY:TAG", file_name);
    }
    *ret = (char *)buf_steal(&b, NULL);
    return 0;
}

static int copy_ref(const char *repo, const char *tag, struct image_ref *ret, struct err *e)
{
    struct image_ref r = {.repo = strdup(repo), .tag = strdup(tag)};
    if (!r.repo || !r.tag) {
        image_ref_release(&r);
        return err_nomem(e);
    }
    *ret = r;
    return 0;
}

/* 1: s is a whole reference; 0: it isn't. */
static int whole_ref(const char *s, struct image_ref *ret, struct err *e)
{
    struct err why = {0};
    if (!s || !strpbrk(s, ":/@"))
        return 0;
    if (image_ref_parse(s, ret, &why) < 0) {
        if (why.kind == ERR_USAGE)
            return 0;
        *e = why;
        return -1;
    }
    if (!ret->tag && !ret->has_digest && !(ret->tag = strdup("latest"))) {
        image_ref_release(ret);
        return err_nomem(e);
    }
    return 1;
}

int image_ref_choose(const struct image_ref *given, const char *image_name, const char *ref_name, const char *folder,
                     struct image_ref *ret, struct err *e)
{
    if (given)
        return copy_ref(given->repo, given->tag ? given->tag : "latest", ret, e);
    int r = whole_ref(image_name, ret, e);
    if (r == 0)
        r = whole_ref(ref_name, ret, e);
    if (r)
        return r < 0 ? -1 : 0;
    if (ref_name && !image_ref_is_tag(ref_name, strlen(ref_name)))
        return err_set(e, ERR_USAGE, "image is called \"%.100s\", which can't be a tag; say --name REPOSITORY:TAG",
                       ref_name);
    if (!folder)
        return err_set(e, ERR_USAGE, "image has no whole name of its own; say --name REPOSITORY:TAG");
    char *repo = NULL;
    if (image_ref_repo_of(folder, &repo, e) < 0)
        return -1;
    r = copy_ref(repo, ref_name ? ref_name : "latest", ret, e);
    free(repo);
    return r;
}

bool image_ref_matches(const char *name, const char *wanted)
{
    if (!name)
        return false;
    const char *slash = strrchr(name, '/'), *colon = strrchr(slash ? slash : name, ':');
    return !strcmp(name, wanted) || (colon && !strcmp(colon + 1, wanted));
}

int image_folder(const char *repo, const char *tag, const struct digest *manifest, char **ret, struct err *e)
{
    struct buf b = {0};
    char hex[DIGEST_HEX_LEN + 1];
    int r = buf_printf(&b, "%s", repo);
    for (size_t i = 0; i < b.len; i++)
        b.p[i] = b.p[i] == '/' ? '+' : b.p[i] == ':' ? '^' : b.p[i];
    if (tag) {
        r |= buf_printf(&b, "@%s", tag);
    } else {
        digest_hex(manifest, hex);
        r |= buf_printf(&b, "@" BY_DIGEST "%s", hex);
    }
    if (r < 0) {
        buf_release(&b);
        return err_nomem(e);
    }
    *ret = (char *)buf_steal(&b, NULL);
    return 0;
}

int image_folder_parse(const char *folder, struct image_ref *ret, struct err *e)
{
    struct image_ref r = {0};
    const char *at = strchr(folder, '@');
    size_t n = at ? (size_t)(at - folder) : 0;
    r.repo = strndup(folder, n);
    if (!r.repo)
        return err_nomem(e);
    /* What stands literally in an encoded name can't be the encoded character. */
    bool good = at && !strpbrk(folder, "/:");
    for (size_t i = 0; i < n; i++)
        r.repo[i] = r.repo[i] == '+' ? '/' : r.repo[i] == '^' ? ':' : r.repo[i];
    good = good && image_ref_is_repo(r.repo, n);
    if (good && is_by_digest(at + 1, strlen(at + 1), &r.digest)) {
        r.has_digest = true;
    } else if (good && image_ref_is_tag(at + 1, strlen(at + 1)) && strlen(folder) <= LIMIT_NAME) {
        r.tag = strdup(at + 1);
        if (!r.tag) {
            image_ref_release(&r);
            return err_nomem(e);
        }
    } else {
        image_ref_release(&r);
        return err_set(e, ERR_NOT_FOUND, "no image has the folder \"%s\"", folder);
    }
    *ret = r;
    return 0;
}
