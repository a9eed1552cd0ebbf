/* SPDX-License-Identifier: MIT */
/* Spellings of digests against known vectors, and what must be refused. */
#include "../../index/crypto.h"
#include "tap.h"

static const char abc_hex[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
static const char abc_nix[] = "1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s";
static const char abc_b64[] = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";

static void hex(void)
{
    struct digest d, back;
    char s[DIGEST_OCI_LEN + 1];
    uint8_t b[2];
    sha256_of("abc", 3, &d);
    digest_hex(&d, s);
    is_str(s, abc_hex, "hex");
    ok(!digest_parse_hex(s, 64, &back) && digest_eq(&d, &back), "hex is read back");
    digest_oci(&d, s);
    ok(!digest_parse_oci(s, strlen(s), &back) && digest_eq(&d, &back), "OCI spelling is read back");
    ok(digest_parse_oci(abc_hex, 64, &back) < 0, "OCI spelling needs its prefix");
    ok(digest_parse_oci("sha256:../../etc/passwd", 23, &back) < 0, "a path is no digest");
    s[10] = 'A';
    ok(digest_parse_oci(s, strlen(s), &back) < 0, "upper case is refused");
    ok(hex_decode("0g", 2, b, 1) < 0 && hex_decode("012", 3, b, 1) < 0 && hex_decode("0123", 4, b, 1) < 0,
       "bad digit, odd and wrong length");
    ok(hex_decode("0\0", 2, b, 1) < 0, "NUL is no digit");
    ok(!digest_is_zero(&d) && digest_is_zero(&(struct digest){{0}}), "zero digest");
}

static void nix(void)
{
    struct digest d, back;
    char s[80], spelled[80];
    sha256_of("abc", 3, &d);
    is_int(nix32_len(20), 32, "20 bytes");
    is_int(nix32_len(32), 52, "32 bytes");
    is_int(nix32_len(64), 103, "64 bytes");
    nix32_encode(d.b, 32, s);
    is_str(s, abc_nix, "base 32 of sha256(abc)");
    ok(!nix32_decode(s, 52, back.b, 32) && digest_eq(&d, &back), "base 32 is read back");
    s[0] = '2';
    ok(nix32_decode(s, 52, back.b, 32) < 0, "overflow bits are refused");
    s[0] = 'e';
    ok(nix32_decode(s, 52, back.b, 32) < 0, "letters outside the alphabet are refused");
    ok(nix32_decode(abc_nix, 51, back.b, 32) < 0, "short string");
    snprintf(spelled, sizeof spelled, "sha256:%s", abc_nix);
    ok(!digest_parse_nix(spelled, strlen(spelled), &back) && digest_eq(&d, &back), "sha256:<nix32>");
    snprintf(spelled, sizeof spelled, "sha256:%s", abc_hex);
    ok(!digest_parse_nix(spelled, strlen(spelled), &back) && digest_eq(&d, &back), "sha256:<hex>");
    snprintf(spelled, sizeof spelled, "sha256:%s", abc_b64);
    ok(!digest_parse_nix(spelled, strlen(spelled), &back) && digest_eq(&d, &back), "sha256:<base64>");
    snprintf(spelled, sizeof spelled, "sha256-%s", abc_b64);
    ok(!digest_parse_nix(spelled, strlen(spelled), &back) && digest_eq(&d, &back), "sha256-<base64>");
    snprintf(spelled, sizeof spelled, "sha256-%s", abc_hex);
    ok(digest_parse_nix(spelled, strlen(spelled), &back) < 0, "sha256-<hex> is refused");
    ok(digest_parse_nix("md5:abc", 7, &back) < 0 && digest_parse_nix("sha256:", 7, &back) < 0, "others are refused");
}

static void all_lengths(void)
{
    uint8_t b[64], back[66];
    char s[120];
    size_t n;
    int bad32 = 0, bad64 = 0;
    for (size_t len = 0; len <= 64; len++) {
        for (size_t i = 0; i < len; i++)
            b[i] = (uint8_t)(255 - 3 * i * len);
        nix32_encode(b, len, s);
        bad32 += strlen(s) != nix32_len(len) || nix32_decode(s, strlen(s), back, len) || memcmp(b, back, len);
        base64_encode(b, len, s);
        bad64 += strlen(s) != base64_len(len) || base64_decode(s, strlen(s), back, len, &n) || n != len ||
                 memcmp(b, back, len);
        if (len)
            bad64 += base64_decode(s, strlen(s), back, len - 1, &n) == 0;
    }
    is_int(bad32, 0, "base 32 round trip of 0..64 bytes");
    is_int(bad64, 0, "base 64 round trip of 0..64 bytes, bound kept");
}

static void base64(void)
{
    static const char *const bad[] = {
        "QQ=", "QQ", "Q===", "QR==", "QUJ=", "=QUI", "QUI=QUI=", "QU I", "QUJD\n", "Q-=="};
    uint8_t out[16];
    char s[16];
    size_t n;
    base64_encode((const uint8_t *)"foob", 4, s);
    is_str(s, "Zm9vYg==", "padding of two");
    base64_encode((const uint8_t *)"fooba", 5, s);
    is_str(s, "Zm9vYmE=", "padding of one");
    ok(!base64_decode("", 0, out, sizeof out, &n) && n == 0, "empty");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ok(base64_decode(bad[i], strlen(bad[i]), out, sizeof out, &n) < 0, "refused: %zu", i);
}

int main(void)
{
    hex();
    nix();
    all_lengths();
    base64();
    return tap_done();
}
