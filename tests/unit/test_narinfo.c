/* SPDX-License-Identifier: MIT */
/* narinfo: all real ones parse, quirks are tolerated, everything else is refused by line and key; signatures hold or
 * don't. */
#include "../../index/source/narinfo.h"
#include "../../index/crypto.h"
#include "../../index/limits.h"
#include "../../index/source/unpack.h"
#include "tap.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define H1       "0a3yijp35sygmy51cnrrz11vimwapz7c-dbus-conf"
#define H2       "xq39as86nvdny7616p6rbb3n41ab5aan-dbus-1.10.14"
#define H3       "arsnax0avamwiml7qrwn9wzbic33pyk9-polkit-0.113"
#define NAR_HASH "sha256:1bb3srw3x77mnck1gk0cbnf1a9915fdrqdjb27y7rxmmlrb3dzjw"
#define MUST     "StorePath: /nix/store/" H1 "\nURL: nar/x.nar\nNarHash: " NAR_HASH "\nNarSize: 11408\n"

static void parses(void)
{
    struct narinfo i;
    struct err e = {0};
    const char *t =
        MUST "References: " H2 " " H3 " " H1 " " H3 "\nDeriver: unknown-deriver\nSig: k-1:abc\nSystem: x86_64-linux\n"
             "Sig: k-2:def\nFileSize: 3020\nCA: fixed:r:sha256:x\nNew-Key: whatever\n";
    is_int(narinfo_parse(t, strlen(t), &i, &e), 0, "a full one %s", e.text);
    is_str(i.path, "/nix/store/" H1, "path");
    is_str(i.base, H1, "base name");
    is_int(i.dirlen, strlen("/nix/store"), "folder");
    is_str(i.compression, "bzip2", "compression when none is said");
    is_str(i.refs[0], H1, "references come sorted");
    is_str(i.refs[1], H3, "each once");
    is_str(i.refs[2], H2, "to the last");
    ok(!i.refs[3], "and end");
    ok(!i.deriver, "unknown-deriver is none");
    is_str(i.sigs[0], "k-1:abc", "signatures");
    is_str(i.sigs[1], "k-2:def", "in their order");
    is_int(i.filesize, 3020, "file size");
    ok(!i.has_filehash, "no file hash");
    is_str(i.ca, "fixed:r:sha256:x", "content address");
    narinfo_release(&i);
    t = MUST "References: \nCompression: zstd\nDeriver: " H2 ".drv\n";
    is_int(narinfo_parse(t, strlen(t), &i, &e), 0, "no references %s", e.text);
    ok(!i.refs[0] && !i.sigs[0] && i.filesize == -1, "empty lists");
    is_str(i.deriver, H2 ".drv", "deriver");
    narinfo_release(&i);
    t = "StorePath: /nix/store/" H1 "\nURL: u\nCompression: none\nNarSize: 1\n"
        "NarHash: sha256:1c37d01af40be2e80691de3cc3df44377a699afbb17c68f080964b2fd071fc13\n";
    is_int(narinfo_parse(t, strlen(t), &i, &e), 0, "hash in hex %s", e.text);
    narinfo_release(&i);
}

static void refused(const char *t, enum err_kind kind, const char *text)
{
    struct narinfo i;
    struct err e = {0};
    is_int(narinfo_parse(t, strlen(t), &i, &e), -1, "refused: %s", text);
    is_int(e.kind, kind, "kind");
    is_str(e.text, text, "message");
}

static void refusals(void)
{
    refused("", ERR_INPUT, "narinfo: 'StorePath' is missing");
    refused("StorePath: /nix/store/" H1 "\nURL: x\nNarHash: " NAR_HASH "\n", ERR_INPUT,
            "narinfo: 'NarSize' is missing");
    refused(MUST "References: " H2, ERR_INPUT, "narinfo: line 5: is cut off (no newline at its end)");
    refused(MUST "NarSize: 1\n", ERR_INPUT, "narinfo: line 5: NarSize: stands here a second time");
    refused("NarSize: 0\n", ERR_INPUT, "narinfo: line 1: NarSize: is 0, which no NAR has");
    refused("NarSize: 12x\n", ERR_INPUT, "narinfo: line 1: NarSize: not a number of bytes");
    refused("NarSize: -1\n", ERR_INPUT, "narinfo: line 1: NarSize: not a number of bytes");
    refused("NarSize: 99999999999999999999\n", ERR_INPUT, "narinfo: line 1: NarSize: not a number of bytes");
    refused("NarHash: md5:x\n", ERR_INPUT, "narinfo: line 1: NarHash: not a SHA-256 hash (sha256:…)");
    refused("URL: \n", ERR_INPUT, "narinfo: line 1: URL: is empty");
    refused("URL:x\n", ERR_INPUT, "narinfo: line 1: is not of the form 'Key: value'");
    refused("just text\n", ERR_INPUT, "narinfo: line 1: is not of the form 'Key: value'");
    refused("\n", ERR_INPUT, "narinfo: line 1: is not of the form 'Key: value'");
    refused("URL: a\tb\n", ERR_INPUT, "narinfo: line 1: has a control character");
    refused("URL: a\r\n", ERR_INPUT, "narinfo: line 1: has a control character");
    refused("References: /nix/store/" H2 "\n", ERR_INPUT,
            "narinfo: line 1: References: '/nix/store/" H2
            "' is no store path: 32 characters of 0-9 a-z without e o t u, then '-', are missing");
    refused("StorePath: " H2 "\n", ERR_INPUT,
            "narinfo: line 1: StorePath: '" H2 "' is no store path: it isn't absolute");
    char *big = malloc(LIMIT_NARINFO + 2);
    memset(big, 'x', LIMIT_NARINFO + 1);
    big[LIMIT_NARINFO + 1] = '\0';
    refused(big, ERR_LIMIT, "narinfo: has 65537 bytes, at most 65536 are allowed");
    free(big);
}

/* 978 real ones in one file, a blank line between them. */
static void real_ones(void)
{
    char path[4096];
    const char *data = getenv("CAIRN_DATA");
    snprintf(path, sizeof path, "%s/narinfo/narinfo.zst", data ? data : "../shared/data");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        printf("ok %d - real narinfos # SKIP no %s\n", ++tap_run, path);
        return;
    }
    struct stream *s = NULL, *z = NULL;
    struct err e = {0};
    struct buf b = {0};
    uint8_t run[4096];
    size_t n, count = 0, failed = 0, signed_ = 0;
    if (stream_open_fd(fd, true, 0, UINT64_MAX, &s, &e) < 0 || unpack_open_named(s, "zstd", &z, &e) < 0) {
        ok(0, "%s", e.text);
        return;
    }
    while (!stream_read(z, run, sizeof run, &n, &e) && n)
        buf_append(&b, run, n);
    stream_close(z);
    is_str(e.text, "", "the file is read whole");
    static const char *const text[] = {"cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=", NULL};
    struct trusted_keys keys = {0};
    is_int(trusted_keys_parse(text, &keys, &e), 0, "the public cache's key");
    for (const char *p = (const char *)b.p, *end = p + b.len; p < end;) {
        const char *gap = memmem(p, (size_t)(end - p), "\n\n", 2);
        size_t len = (size_t)((gap ? gap + 1 : end) - p);
        struct narinfo i;
        const char *key = NULL;
        count++;
        if (narinfo_parse(p, len, &i, &e) < 0) {
            failed++;
            printf("# %s\n# %.*s\n", e.text, (int)strcspn(p, "\n"), p);
        } else {
            if (!narinfo_verify(i.path, &i.narhash, (uint64_t)i.narsize, (const char *const *)i.refs,
                                (const char *const *)i.sigs, &keys, &key, &e))
                signed_ += key != NULL;
            narinfo_release(&i);
        }
        p += len + (gap != NULL);
    }
    is_int(failed, 0, "all real narinfos parse");
    is_int(count, 978, "there are 978");
    is_int(signed_, count, "and the signature of each holds");
    trusted_keys_release(&keys);
    buf_release(&b);
}

static void keys_(void)
{
    static const char *const bad[] = {"k:AAAA", "nokey", ":6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=", "k:=", NULL};
    struct trusted_keys k;
    for (size_t i = 0; bad[i]; i++) {
        const char *one[] = {bad[i], NULL};
        struct err e = {0};
        is_int(trusted_keys_parse(one, &k, &e), -1, "key '%s'", bad[i]);
        is_int(e.kind, ERR_USAGE, "kind");
        ok(strstr(e.text, "is not of the form NAME:BASE64"), "message: %s", e.text);
    }
    struct err e = {0};
    is_int(trusted_keys_parse(NULL, &k, &e), 0, "no keys");
    is_int(k.n, 0, "are none");
    trusted_keys_release(&k);
}

/* A whole real narinfo: signature holds, and not with one digit changed. */
static void signatures(void)
{
    static const char *const text[] = {"other:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
                                       "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=", NULL};
    static const char t[] = MUST
        "References: " H1 " " H3
        " c6y19ffnw8zv1w2vbb5liphzz8ac8kyn-system-path ldr92ws27avm6xhb3j7w8dqfpk5d26vw-upower-0.99.4 "
        "mzdwg3964jg5wq24vdf0w7l2nz6i6kp4-udisks-2.1.6 " H2 "\nSig: other:AAAA\nSig: nonsense\nSig: "
        "cache.nixos.org-1:gegnOA5CqLYaCIgcQ843KvfYZBzn2cKGzC2hcSrZHRt4Nj+uJaVNV06iARZ39zJtbnuyq7+5KCPcl3zB0hoyBA==\n";
    struct trusted_keys keys;
    struct narinfo i;
    struct err e = {0};
    struct buf fp = {0};
    const char *key = NULL;
    is_int(trusted_keys_parse(text, &keys, &e), 0, "two keys");
    is_int(narinfo_parse(t, strlen(t), &i, &e), 0, "a signed narinfo %s", e.text);
    const char *const *refs = (const char *const *)i.refs, *const *sigs = (const char *const *)i.sigs;
    is_int(narinfo_verify(i.path, &i.narhash, (uint64_t)i.narsize, refs, sigs, &keys, &key, &e), 0, "is looked at");
    is_str(key, "cache.nixos.org-1", "the signature holds, garbage beside it doesn't matter");
    narinfo_verify(i.path, &i.narhash, (uint64_t)i.narsize + 1, refs, sigs, &keys, &key, &e);
    ok(!key, "another size: it doesn't");
    narinfo_verify(i.path, &i.narhash, (uint64_t)i.narsize, refs + 1, sigs, &keys, &key, &e);
    ok(!key, "other references: it doesn't");
    i.narhash.b[0] ^= 1;
    narinfo_verify(i.path, &i.narhash, (uint64_t)i.narsize, refs, sigs, &keys, &key, &e);
    ok(!key, "another hash: it doesn't");
    i.narhash.b[0] ^= 1;
    free(keys.v[1].name);
    keys.v[1].name = strdup("mirror-1");
    narinfo_verify(i.path, &i.narhash, (uint64_t)i.narsize, refs, sigs, &keys, &key, &e);
    ok(!key, "the right key under another name: it doesn't");
    static const char *const two[] = {H1, H2, NULL};
    is_int(narinfo_fingerprint(i.path, &i.narhash, 7, two, &fp, &e), 0, "signed string");
    is_str((char *)fp.p, "1;/nix/store/" H1 ";" NAR_HASH ";7;/nix/store/" H1 ",/nix/store/" H2, "is as specified");
    buf_release(&fp);
    narinfo_release(&i);
    trusted_keys_release(&keys);
}

int main(void)
{
    parses();
    refusals();
    keys_();
    signatures();
    real_ones();
    return tap_done();
}
