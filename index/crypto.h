/* SPDX-License-Identifier: MIT */
/*
 * crypto: SHA-256 and Ed25519; the door to OpenSSL (no other file includes it).
 * A struct sha256 may be copied with sha256_copy only; release each one that was initialised.
 */
#ifndef CAIRN_CRYPTO_H
#define CAIRN_CRYPTO_H

#include "digest.h"

struct sha256 {
    void *ctx; /* NULL before the first sha256_init */
};

/* -1 only for want of memory. A struct may be initialised again after sha256_final (the context is kept). */
int sha256_init(struct sha256 *h);
void sha256_update(struct sha256 *h, const void *p, size_t n);
void sha256_final(struct sha256 *h, struct digest *ret);
void sha256_release(struct sha256 *h);
/* One shot; any thread. */
void sha256_of(const void *p, size_t n, struct digest *ret);

/* true when sig is the Ed25519 signature of the n bytes at p by the raw public key. */
bool ed25519_verify(const uint8_t pub[32], const uint8_t sig[64], const void *p, size_t n);
/* Random bytes for names and ids; -1 when the system has none. */
int random_bytes(void *p, size_t n);

#endif
