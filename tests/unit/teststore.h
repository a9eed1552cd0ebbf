/* SPDX-License-Identifier: MIT */
/* teststore: an empty store in a scratch folder, and NARs and packages made out of words, for the tests of the Nix
 * side. */
#ifndef CAIRN_TESTSTORE_H
#define CAIRN_TESTSTORE_H

#include "../../index/catalog.h"
#include "../../index/io.h"
#include "../../index/source/package.h"
#include "../../index/store.h"
#include "tap.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct teststore {
    char dir[64];
    struct store *store;
};

__attribute__((unused)) static struct teststore teststore_open(void)
{
    struct teststore t = {.dir = "/tmp/cairn-test-XXXXXX"};
    char path[80];
    struct err e = {0};
    if (!mkdtemp(t.dir))
        exit(1);
    snprintf(path, sizeof path, "%s/store", t.dir);
    if (store_open(path, STORE_CREATE, &t.store, &e) < 0) {
        ok(0, "%s", e.text);
        exit(tap_done());
    }
    return t;
}

__attribute__((unused)) static void teststore_close(struct teststore *t)
{
    char cmd[100];
    store_close(t->store);
    snprintf(cmd, sizeof cmd, "rm -rf %s", t->dir);
    if (system(cmd))
        ok(0, "clean up");
}

/* One string of a NAR. */
__attribute__((unused)) static void add_str(struct buf *b, const void *p, size_t n)
{
    buf_u64(b, n);
    buf_append(b, p, n);
    buf_append_zero(b, (8 - n % 8) % 8);
}

/* Strings, separated by spaces; "~" is the empty one. */
__attribute__((unused)) static struct buf words(const char *s)
{
    struct buf b = {0};
    while (*s) {
        size_t n = strcspn(s, " ");
        add_str(&b, s, n == 1 && *s == '~' ? 0 : n);
        s += n + (s[n] == ' ');
    }
    return b;
}

__attribute__((unused)) static struct buf file_nar(const char *text)
{
    struct buf b = words("nix-archive-1 ( type regular contents");
    add_str(&b, text, strlen(text));
    add_str(&b, ")", 1);
    return b;
}

__attribute__((unused)) static struct digest hash_of(const struct buf *b)
{
    struct digest d;
    sha256_of(b->p, b->len, &d);
    return d;
}

/* Imports in a session of its own, which is committed only when that worked. */
__attribute__((unused)) static int import_nar(struct store *s, const struct buf *nar, const struct package_meta *m,
                                              bool *ret_new, struct err *e)
{
    static const struct session_opts plain;
    struct session *ses;
    struct stream *in = NULL;
    if (session_begin(s, &plain, &ses, e) < 0)
        return -1;
    int rc = stream_open_mem(nar->p, nar->len, &in, e);
    if (!rc)
        rc = package_import(ses, in, true, m, ret_new, e);
    if (!rc)
        rc = session_commit(ses, e);
    stream_close(in);
    session_end(ses);
    return rc;
}

__attribute__((unused)) static int to_buf(void *ctx, const void *p, size_t n, struct err *e)
{
    return buf_append(ctx, p, n) < 0 ? err_nomem(e) : 0;
}

/* Runs a shell command with the scratch folder in $T; its output in out (may be NULL). */
__attribute__((unused)) static int shell(const struct teststore *t, const char *cmd, struct buf *out)
{
    char run[4096];
    setenv("T", t->dir, 1);
    FILE *f = popen(cmd, "re");
    for (size_t n; f && (n = fread(run, 1, sizeof run, f)) > 0;)
        if (out)
            buf_append(out, run, n);
    return f ? pclose(f) : -1;
}

/* A Nix store of its own in $T/root, for commands run by shell(). false when Nix can't be had. */
__attribute__((unused)) static bool nix_setup(const struct teststore *t)
{
    char v[200];
    snprintf(v, sizeof v, "local?root=%s/root", t->dir);
    setenv("NIX_REMOTE", v, 1);
    snprintf(v, sizeof v, "%s/conf", t->dir);
    setenv("NIX_CONF_DIR", v, 1);
    setenv("HOME", t->dir, 1);
    setenv("NIX_PATH", "", 1);
    return !shell(t,
                  "mkdir -p $T/conf && printf 'build-users-group =\\nsubstituters =\\nsandbox = true\\n"
                  "sandbox-paths = /bin/sh=/bin/busybox\\n"
                  "experimental-features = nix-command ca-derivations\\n' >$T/conf/nix.conf && "
                  "echo x >$T/x && nix-store --add $T/x >/dev/null 2>&1",
                  NULL);
}

#endif
