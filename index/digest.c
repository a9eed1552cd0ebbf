/* SPDX-License-Identifier: MIT */
/* Spellings of digests: hex, Nix's base 32, base 64. Every decoder accepts exactly one spelling of each value. */
#include "digest.h"

static const char nix32_alphabet[] = "0123456789abcdfghijklmnpqrsvwxyz";
static const char base64_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Place of c in the alphabet, -1 when it isn't there. */
static int place(const char *alphabet, char c)
{
    const char *p = c ? strchr(alphabet, c) : NULL;
    return p ? (int)(p - alphabet) : -1;
}

static bool has_prefix(const char *s, size_t len, const char *prefix)
{
    size_t n = strlen(prefix);
    return len >= n && !memcmp(s, prefix, n);
}

void hex_encode(const uint8_t *p, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
    out[2 * n] = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

int hex_decode(const char *s, size_t len, uint8_t *out, size_t n)
{
    if (len % 2 || len / 2 != n)
        return -1;
    for (size_t i = 0; i < n; i++) {
        int hi = hex_value(s[2 * i]), lo = hex_value(s[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return -1;
        out[i] = (uint8_t)(hi << 4 | lo);
    }
    return 0;
}

void digest_hex(const struct digest *d, char out[DIGEST_HEX_LEN + 1])
{
    hex_encode(d->b, DIGEST_LEN, out);
}

void digest_oci(const struct digest *d, char out[DIGEST_OCI_LEN + 1])
{
    memcpy(out, "sha256:", sizeof "sha256:");
    hex_encode(d->b, DIGEST_LEN, out + 7);
}

int digest_parse_hex(const char *s, size_t len, struct digest *ret)
{
    struct digest d = {{0}};
    if (hex_decode(s, len, d.b, DIGEST_LEN) < 0)
        return -1;
    *ret = d;
    return 0;
}

int digest_parse_oci(const char *s, size_t len, struct digest *ret)
{
    if (!has_prefix(s, len, "sha256:"))
        return -1;
    return digest_parse_hex(s + 7, len - 7, ret);
}

int digest_parse_nix(const char *s, size_t len, struct digest *ret)
{
    struct digest d = {{0}};
    size_t n;
    bool sri = has_prefix(s, len, "sha256-");
    if (!sri && !has_prefix(s, len, "sha256:"))
        return -1;
    s += 7;
    len -= 7;
    if (!sri && len == DIGEST_HEX_LEN)
        return digest_parse_hex(s, len, ret);
    if (!sri && len == DIGEST_NIX32_LEN) {
        if (nix32_decode(s, len, d.b, DIGEST_LEN) < 0)
            return -1;
    } else if (base64_decode(s, len, d.b, DIGEST_LEN, &n) < 0 || n != DIGEST_LEN) {
        return -1;
    }
    *ret = d;
    return 0;
}

size_t nix32_len(size_t n)
{
    return n ? (8 * n - 1) / 5 + 1 : 0;
}

/* The value's least significant five bits are the last character. */
void nix32_encode(const uint8_t *p, size_t n, char *out)
{
    size_t len = nix32_len(n);
    for (size_t k = 0; k < len; k++) {
        size_t bit = 5 * (len - 1 - k), i = bit / 8;
        unsigned shift = bit % 8;
        unsigned v = p[i] | (i + 1 < n ? (unsigned)p[i + 1] << 8 : 0);
        out[k] = nix32_alphabet[v >> shift & 31];
    }
    out[len] = '\0';
}

int nix32_decode(const char *s, size_t len, uint8_t *out, size_t n)
{
    if (n > 64 || len != nix32_len(n))
        return -1;
    uint8_t t[65] = {0};
    for (size_t k = 0; k < len; k++) {
        int v = place(nix32_alphabet, s[k]);
        if (v < 0)
            return -1;
        size_t bit = 5 * (len - 1 - k), i = bit / 8;
        unsigned spread = (unsigned)v << bit % 8;
        t[i] |= (uint8_t)spread;
        if (i + 1 < sizeof t)
            t[i + 1] |= (uint8_t)(spread >> 8);
    }
    if (t[n]) /* bits beyond the value */
        return -1;
    memcpy(out, t, n);
    return 0;
}

size_t base64_len(size_t n)
{
    return (n + 2) / 3 * 4;
}

void base64_encode(const uint8_t *p, size_t n, char *out)
{
    size_t i = 0;
    for (; i < n; i += 3) {
        unsigned left = n - i < 3 ? (unsigned)(n - i) : 3;
        unsigned v = (unsigned)p[i] << 16 | (left > 1 ? (unsigned)p[i + 1] << 8 : 0) | (left > 2 ? p[i + 2] : 0u);
        *out++ = base64_alphabet[v >> 18];
        *out++ = base64_alphabet[v >> 12 & 63];
        *out++ = left > 1 ? base64_alphabet[v >> 6 & 63] : '=';
        *out++ = left > 2 ? base64_alphabet[v & 63] : '=';
    }
    *out = '\0';
}

int base64_decode(const char *s, size_t len, uint8_t *out, size_t cap, size_t *ret_n)
{
    size_t n = 0;
    if (len % 4)
        return -1;
    for (size_t k = 0; k < len; k += 4) {
        unsigned v = 0, bytes = 3;
        if (k + 4 == len && s[k + 3] == '=')
            bytes = s[k + 2] == '=' ? 1 : 2;
        for (unsigned i = 0; i <= bytes; i++) {
            int x = place(base64_alphabet, s[k + i]);
            if (x < 0)
                return -1;
            v |= (unsigned)x << (18 - 6 * i);
        }
        if ((v & ((1u << (24 - 8 * bytes)) - 1)) || n + bytes > cap)
            return -1; /* bits beyond the value, or too long */
        for (unsigned i = 0; i < bytes; i++)
            out[n++] = (uint8_t)(v >> (16 - 8 * i));
    }
    *ret_n = n;
    return 0;
}
