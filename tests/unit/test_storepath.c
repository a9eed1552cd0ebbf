/* SPDX-License-Identifier: MIT */
/* storepath: what is a store path and what isn't, and golden paths computed by Nix and by others. */
#include "../../index/source/storepath.h"
#include "../../index/crypto.h"
#include "tap.h"

#include <stdlib.h>

static void good(const char *path, const char *base)
{
    struct err e = {0};
    size_t dirlen;
    const char *got = NULL;
    is_int(storepath_check(path, &dirlen, &got, &e), 0, "%s is one %s", path, e.text);
    is_str(got, base, "its base name");
    ok(dirlen == strlen(path) - strlen(base) - 1, "its folder");
}

static void bad(const char *path, const char *why)
{
    struct err e = {0};
    size_t dirlen;
    const char *got;
    is_int(storepath_check(path, &dirlen, &got, &e), -1, "%s is none", path);
    is_int(e.kind, ERR_INPUT, "kind");
    ok(strstr(e.text, why) != NULL, "says '%s' (%s)", why, e.text);
}

#define H "g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q"

static void checks(void)
{
    char name[260] = "/nix/store/" H "-";
    size_t n = strlen(name);
    good("/nix/store/" H "-a", H "-a");
    good("/gnu/store/" H "-0+-._?=zZ", H "-0+-._?=zZ");
    good("/s/" H "-.a", H "-.a");
    good("/s/" H "-...-a", H "-...-a");
    good("/s/" H "-a-.", H "-a-.");
    bad("nix/store/" H "-a", "isn't absolute");
    bad("/" H "-a", "can't be a store's folder");
    bad("/nix//store/" H "-a", "can't be a store's folder");
    bad("/nix/../store/" H "-a", "can't be a store's folder");
    bad("/nix/./store/" H "-a", "can't be a store's folder");
    bad("/nix/store/" H "-a/", "no store path");
    bad("/nix/store/" H "-a/b", "no store path");
    bad("/nix/store/" H, "no store path");
    bad("/nix/store/" H "a", "no store path");
    bad("/nix/store/" H "-", "name is empty");
    bad("/nix/store/e1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-a", "without e o t u");
    bad("/nix/store/G1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-a", "without e o t u");
    bad("/nix/store/" H "-a b", "has a character other than");
    bad("/nix/store/" H "-\xc3\xa4", "has a character other than");
    bad("/nix/store/" H "-.", "the part '.'");
    bad("/nix/store/" H "-..", "the part '..'");
    bad("/nix/store/" H "-.-x", "the part '.'");
    bad("/nix/store/" H "-..-x", "the part '..'");
    memset(name + n, 'x', 212);
    bad(name, "has 212 characters, at most 211 are allowed");
    name[n + 211] = '\0';
    good(name, name + strlen("/nix/store/"));
}

static struct digest text_hash(const char *s)
{
    struct digest d;
    sha256_of(s, strlen(s), &d);
    return d;
}

static void is_path(int rc, char **got, const char *want, const char *what)
{
    char full[300];
    snprintf(full, sizeof full, "/nix/store/%s", want);
    is_int(rc, 0, "%s is computed", what);
    is_str(rc ? NULL : *got, full, "%s", what);
    if (!rc)
        free(*got);
}

static void made(void)
{
    static const char *const bar[] = {H "-bar", NULL};
    struct err e = {0};
    char *p = NULL;
    struct digest d = text_hash("(...)");
    is_path(storepath_source_refs(&d, STOREPATH_DIR, "foo", bar, true, &p, &e), &p,
            "n5wkd9frr45pa74if5gpz9j7mifg27fh-foo", "source with a reference and itself");
    d = text_hash("hello\n");
    char hex[DIGEST_HEX_LEN + 1];
    digest_hex(&d, hex);
    is_path(storepath_fixed("", "sha256", hex, STOREPATH_DIR, "hello.txt", &p, &e), &p,
            "gy454w1cxaq731grqwylhzf4pp9r5izh-hello.txt", "flat SHA-256");
    is_path(storepath_fixed("", "sha1", "f572d396fae9206628714fb2ce00f72e94f2258f", STOREPATH_DIR, "hello.txt", &p, &e),
            &p, "svdva85yi507g9vncgsaxvnd1r808h4w-hello.txt", "flat SHA-1");
    is_path(storepath_text(&d, STOREPATH_DIR, "hello.txt", NULL, &p, &e), &p,
            "qa1w9gdfrba6jl2r57mb3c43863gqywp-hello.txt", "text");
    digest_parse_hex("1c37d01af40be2e80691de3cc3df44377a699afbb17c68f080964b2fd071fc13", 64, &d);
    is_path(storepath_source(&d, "hello.txt", &p, &e), &p, "i9pmrzmpshapij2kin22pff6fc2adavx-hello.txt",
            "NAR of a file");
    is_int(storepath_source(&d, "..", &p, &e), -1, "a bad name is refused");
    ok(strstr(e.text, "the part '..'") != NULL, "with the reason: %s", e.text);
}

static void ca(void)
{
    static const char *const self[] = {H "-bar", "n5wkd9frr45pa74if5gpz9j7mifg27fh-foo", NULL};
    static const char *const none[] = {NULL};
    struct err e = {0};
    struct storepath_ca c;
    char text[200], hash[DIGEST_NIX32_LEN + 1];
    struct digest d = text_hash("(...)");
    nix32_encode(d.b, DIGEST_LEN, hash);
    snprintf(text, sizeof text, "fixed:r:sha256:%s", hash);
    storepath_ca_parse(text, &c);
    is_int(c.kind, STOREPATH_CA_NAR, "recursive");
    is_int(storepath_ca_check(&c, "/nix/store/n5wkd9frr45pa74if5gpz9j7mifg27fh-foo", self, &e), 0, "holds %s", e.text);
    is_int(storepath_ca_check(&c, "/nix/store/n5wkd9frr45pa74if5gpz9j7mifg27fh-foo", none, &e), -1,
           "not with other references");
    is_int(e.kind, ERR_INPUT, "kind");
    ok(strstr(e.text, "isn't what its content address gives, /nix/store/"), "message: %s", e.text);
    d = text_hash("hello\n");
    nix32_encode(d.b, DIGEST_LEN, hash);
    snprintf(text, sizeof text, "text:sha256:%s", hash);
    storepath_ca_parse(text, &c);
    is_int(c.kind, STOREPATH_CA_TEXT, "text");
    is_int(storepath_ca_check(&c, "/nix/store/qa1w9gdfrba6jl2r57mb3c43863gqywp-hello.txt", none, &e), 0, "holds");
    snprintf(text, sizeof text, "fixed:sha256:%s", hash);
    storepath_ca_parse(text, &c);
    is_int(c.kind, STOREPATH_CA_FLAT, "flat");
    is_int(storepath_ca_check(&c, "/nix/store/gy454w1cxaq731grqwylhzf4pp9r5izh-hello.txt", none, &e), 0, "holds");
    is_int(storepath_ca_check(&c, "/nix/store/gy454w1cxaq731grqwylhzf4pp9r5izh-hello.txt", self, &e), -1,
           "a fixed output has no references");
    ok(strstr(e.text, "can't have such references"), "message: %s", e.text);
    storepath_ca_parse("fixed:sha1:f572d396fae9206628714fb2ce00f72e94f2258f", &c);
    is_int(c.kind, STOREPATH_CA_OTHER, "SHA-1 is something else");
    is_int(storepath_ca_check(&c, "/nix/store/" H "-a", none, &e), -1, "that can't be checked");
    is_int(e.kind, ERR_UNSUPPORTED, "kind");
    storepath_ca_parse("nonsense", &c);
    is_int(c.kind, STOREPATH_CA_OTHER, "so is nonsense");
}

int main(void)
{
    checks();
    made();
    ca();
    return tap_done();
}
