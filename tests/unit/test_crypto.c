/* SPDX-License-Identifier: MIT */
/* SHA-256 in one go and in pieces, Ed25519 against RFC 8032. */
#include "../../index/crypto.h"
#include "tap.h"

static void sha(void)
{
    struct sha256 h = {0};
    struct digest d, one;
    char s[65];
    static uint8_t big[100000];
    sha256_of("", 0, &d);
    digest_hex(&d, s);
    is_str(s, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "nothing");
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (uint8_t)(i * 7);
    sha256_of(big, sizeof big, &one);
    for (int round = 0; round < 2; round++) {
        ok(!sha256_init(&h), "init %d", round);
        for (size_t i = 0; i < sizeof big; i += 997)
            sha256_update(&h, big + i, sizeof big - i < 997 ? sizeof big - i : 997);
        sha256_final(&h, &d);
        ok(digest_eq(&d, &one), "pieces give the same, round %d", round);
    }
    sha256_release(&h);
    sha256_release(&h);
    ok(!h.ctx, "release twice is fine");
}

static void verify_rfc8032(const char *pub_hex, const char *sig_hex, const char *msg_hex, const char *name)
{
    uint8_t pub[32], sig[64], msg[8];
    size_t n = strlen(msg_hex) / 2;
    ok(!hex_decode(pub_hex, 64, pub, 32) && !hex_decode(sig_hex, 128, sig, 64) && !hex_decode(msg_hex, 2 * n, msg, n),
       "%s: vector is read", name);
    ok(ed25519_verify(pub, sig, msg, n), "%s: verifies", name);
    sig[63] ^= 1;
    ok(!ed25519_verify(pub, sig, msg, n), "%s: changed signature fails", name);
    sig[63] ^= 1;
    pub[0] ^= 1;
    ok(!ed25519_verify(pub, sig, msg, n), "%s: other key fails", name);
    pub[0] ^= 1;
    if (n) {
        msg[0] ^= 1;
        ok(!ed25519_verify(pub, sig, msg, n), "%s: changed message fails", name);
    }
}

/* RFC 8032, 7.1, tests 1 to 3. */
static void rfc8032(void)
{
    verify_rfc8032("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
                   "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
                   "d25bf5f0595bbe24655141438e7a100b",
                   "", "test 1");
    verify_rfc8032("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
                   "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
                   "387b2eaeb4302aeeb00d291612bb0c00",
                   "72", "test 2");
    verify_rfc8032("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
                   "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
                   "4a7c15e9716ed28dc027beceea1ec40a",
                   "af82", "test 3");
}

int main(void)
{
    uint8_t a[32] = {0}, b[32] = {0};
    sha();
    rfc8032();
    ok(!random_bytes(a, 32) && !random_bytes(b, 32) && memcmp(a, b, 32), "random bytes differ");
    return tap_done();
}
