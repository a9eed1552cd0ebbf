/* SPDX-License-Identifier: MIT */
/*
 * digest: a SHA-256 value and its spellings. Content identity everywhere is SHA-256 of raw bytes.
 * Computing one is crypto.h's job. Spellings are parsed strictly and once, at the edge: inside, a
 * digest is 32 bytes, and no path is ever built from a foreign string (CVE-2024-3727).
 * Pure functions, any thread.
 */
#ifndef CAIRN_DIGEST_H
#define CAIRN_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define DIGEST_LEN       32
#define DIGEST_HEX_LEN   64 /* without NUL */
#define DIGEST_NIX32_LEN 52 /* without NUL */
#define DIGEST_OCI_LEN   71 /* "sha256:" + hex, without NUL */

struct digest {
    uint8_t b[DIGEST_LEN];
};

static inline bool digest_eq(const struct digest *a, const struct digest *b)
{
    return memcmp(a->b, b->b, DIGEST_LEN) == 0;
}

static inline bool digest_is_zero(const struct digest *d)
{
    static const struct digest zero;
    return digest_eq(d, &zero);
}

/* Lower-case hex of n bytes; out has room for 2n+1. */
void hex_encode(const uint8_t *p, size_t n, char *out);
/* Lower-case only, exactly 2n digits. -1 otherwise. */
int hex_decode(const char *s, size_t len, uint8_t *out, size_t n);

void digest_hex(const struct digest *d, char out[DIGEST_HEX_LEN + 1]);
/* "sha256:<64 lower hex>" */
void digest_oci(const struct digest *d, char out[DIGEST_OCI_LEN + 1]);
int digest_parse_hex(const char *s, size_t len, struct digest *ret);
/* Accepts exactly "sha256:" + 64 lower-case hex digits (OCI). -1 otherwise. */
int digest_parse_oci(const char *s, size_t len, struct digest *ret);
/* Nix: "sha256:<hex|nix32|base64>" or "sha256-<base64>" (nix-formats 2). -1 otherwise. */
int digest_parse_nix(const char *s, size_t len, struct digest *ret);

/* Nix's base 32 of n bytes (n <= 64): length (8n-1)/5+1, plus NUL. */
size_t nix32_len(size_t n);
void nix32_encode(const uint8_t *p, size_t n, char *out);
/* Strict: exact length, alphabet, no overflow bits. -1 otherwise. */
int nix32_decode(const char *s, size_t len, uint8_t *out, size_t n);

/* Standard base 64 with padding, strict. Decode: out has room for cap bytes; -1 when malformed or too long. */
size_t base64_len(size_t n);
void base64_encode(const uint8_t *p, size_t n, char *out);
int base64_decode(const char *s, size_t len, uint8_t *out, size_t cap, size_t *ret_n);

#endif
