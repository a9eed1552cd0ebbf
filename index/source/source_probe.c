/* SPDX-License-Identifier: MIT */
/*
 * An image archive is told from a root filesystem by its first entry that says anything ("./" doesn't), because a
 * root filesystem is read as it streams by, and nothing can be put back.
 */
#include "source_probe.h"
#include "../digest.h"

#include <stdbool.h>
#include <string.h>

static bool all_zero(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i])
            return false;
    return true;
}

/* Octal as tar has it: blanks in front, blank or NUL behind. */
static bool octal(const uint8_t *p, size_t n, uint64_t *ret)
{
    uint64_t v = 0;
    size_t i = 0;
    while (i < n && p[i] == ' ')
        i++;
    for (; i < n && p[i] >= '0' && p[i] <= '7'; i++)
        v = v << 3 | (uint64_t)(p[i] - '0');
    *ret = v;
    return i == n || p[i] == ' ' || !p[i];
}

static bool is_header(const uint8_t *p)
{
    uint64_t said;
    uint32_t sum = 0;
    int32_t old = 0; /* some ancient tars added signed characters */
    for (size_t i = 0; i < 512; i++) {
        uint8_t c = i >= 148 && i < 156 ? ' ' : p[i];
        sum += c;
        old += (int8_t)c;
    }
    return octal(p + 148, 8, &said) && (said == sum || (old >= 0 && said == (uint64_t)old));
}

/* First part of a path, "./" in front left out. */
static size_t first_part(const uint8_t **p, size_t n)
{
    const uint8_t *s = *p;
    size_t len = 0;
    for (;;) {
        if (n && *s == '/')
            s++, n--;
        else if (n > 1 && s[0] == '.' && s[1] == '/')
            s += 2, n -= 2;
        else if (n == 1 && s[0] == '.')
            s++, n--;
        else
            break;
    }
    while (len < n && s[len] && s[len] != '/')
        len++;
    *p = s;
    return len;
}

static bool archive_name(const char *s, size_t n)
{
    static const char *const names[] = {"blobs", "oci-layout", "index.json", "manifest.json", "repositories"};
    static const char *const ends[] = {"", ".json", ".tar", ".tar.gz"};
    struct digest d;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (n == strlen(names[i]) && !memcmp(s, names[i], n))
            return true;
    if (n > 7 && !memcmp(s, "sha256:", 7))
        s += 7, n -= 7;
    if (n < DIGEST_HEX_LEN || digest_parse_hex(s, DIGEST_HEX_LEN, &d) < 0)
        return false;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (n - DIGEST_HEX_LEN == strlen(ends[i]) && !memcmp(s + DIGEST_HEX_LEN, ends[i], n - DIGEST_HEX_LEN))
            return true;
    return false;
}

static enum probe probe_tar(const uint8_t *p, size_t n)
{
    for (size_t at = 0; at + 512 <= n && is_header(p + at);) {
        const uint8_t *h = p + at, *name = h;
        uint64_t size;
        char type = (char)h[156];
        size_t len;
        if (type != 'x' && type != 'g' && type != 'L' && type != 'K') {
            /* With a prefix the name goes on from there; the first part is then the prefix's. */
            bool prefix = !memcmp(h + 257, "ustar\0", 6) && h[345];
            name = prefix ? h + 345 : h;
            len = first_part(&name, strnlen((const char *)name, prefix ? 155 : 100));
            if (len)
                return archive_name((const char *)name, len) ? PROBE_TAR_ARCHIVE : PROBE_TAR;
        }
        if (!octal(h + 124, 12, &size) || size > n)
            break;
        at += 512 + (((size_t)size + 511) & ~(size_t)511);
    }
    return PROBE_TAR;
}

enum probe source_probe(const uint8_t *p, size_t n)
{
    static const uint8_t nar[] = "\x0d\0\0\0\0\0\0\0nix-archive-1\0\0";
    static const uint8_t one[] = "\1\0\0\0\0\0\0";
    if (n >= sizeof nar && !memcmp(p, nar, sizeof nar))
        return PROBE_NAR;
    if (n >= 8 + sizeof nar && !memcmp(p, one, 8) && !memcmp(p + 8, nar, sizeof nar))
        return PROBE_NIX_EXPORT;
    if (n == 8 && all_zero(p, n))
        return PROBE_NIX_EXPORT; /* of nothing */
    if (n >= 512 && is_header(p))
        return probe_tar(p, n);
    if (n >= 1024 && all_zero(p, 1024))
        return PROBE_TAR; /* of nothing */
    return PROBE_UNKNOWN;
}
