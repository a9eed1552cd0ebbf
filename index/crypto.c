/* SPDX-License-Identifier: MIT */
/*
 * OpenSSL's door. SHA-256 uses the plain functions, which OpenSSL 3 calls deprecated: they run the same
 * assembler as EVP, but can't fail and allocate nothing, where EVP looks the algorithm up again for every digest
 * (most of the cost for a file of 1 KiB).
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "crypto.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

int sha256_init(struct sha256 *h)
{
    if (!h->ctx)
        h->ctx = malloc(sizeof(SHA256_CTX));
    if (!h->ctx)
        return -1;
    SHA256_Init(h->ctx);
    return 0;
}

void sha256_update(struct sha256 *h, const void *p, size_t n)
{
    SHA256_Update(h->ctx, p, n);
}

void sha256_final(struct sha256 *h, struct digest *ret)
{
    SHA256_Final(ret->b, h->ctx);
}

void sha256_release(struct sha256 *h)
{
    free(h->ctx);
    h->ctx = NULL;
}

void sha256_of(const void *p, size_t n, struct digest *ret)
{
    SHA256_CTX c;
    SHA256_Init(&c);
    SHA256_Update(&c, p, n);
    SHA256_Final(ret->b, &c);
}

bool ed25519_verify(const uint8_t pub[32], const uint8_t sig[64], const void *p, size_t n)
{
    bool good = false;
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, pub, 32);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (key && ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1)
        good = EVP_DigestVerify(ctx, sig, 64, p, n) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return good;
}

int random_bytes(void *p, size_t n)
{
    uint8_t *q = p;
    while (n) {
        ssize_t got = getrandom(q, n, 0);
        if (got < 0) {
            if (errno == EINTR)
                continue;
            return -1;
        }
        q += got;
        n -= (size_t)got;
    }
    return 0;
}
