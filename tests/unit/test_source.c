/* SPDX-License-Identifier: MIT */
/*
 * What a source is, by its bytes and by its place; root filesystems and packages end to end.
 * Covers: source source_probe source_package image_single peek
 */
#include "imagefix.h"
#include "../../index/codec.h"
#include "../../index/source/source_probe.h"

#include <fcntl.h>

static enum probe probe_of(const char *const *names, char type)
{
    struct buf t = {0};
    for (size_t i = 0; names[i]; i++)
        fix_member(&t, names[i][strlen(names[i]) - 1] == '/' ? '5' : type, names[i], "x", "data",
                   type == '0' && names[i][strlen(names[i]) - 1] != '/' ? 4 : 0);
    fix_tar_end(&t);
    enum probe p = source_probe(t.p, t.len);
    buf_release(&t);
    return p;
}

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define HEX        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void probes(void)
{
    static const uint8_t nar[64] = "\x0d\0\0\0\0\0\0\0nix-archive-1\0\0\0\1";
    static const uint8_t export[72] = "\1\0\0\0\0\0\0\0\x0d\0\0\0\0\0\0\0nix-archive-1\0\0\0\1";
    uint8_t zero[1024] = {0};
    is_int(source_probe(nar, sizeof nar), PROBE_NAR, "a NAR");
    is_int(source_probe(export, sizeof export), PROBE_NIX_EXPORT, "an export stream");
    is_int(source_probe(zero, 8), PROBE_NIX_EXPORT, "an export stream of nothing");
    is_int(source_probe(zero, 1024), PROBE_TAR, "a tar of nothing");
    is_int(source_probe(zero, 0), PROBE_UNKNOWN, "no data");
    is_int(source_probe((const uint8_t *)"hello", 5), PROBE_UNKNOWN, "text");
    memset(zero, 'x', sizeof zero);
    is_int(source_probe(zero, sizeof zero), PROBE_UNKNOWN, "longer text");
    is_int(probe_of(NAMES("./", "./bin/", "./bin/sh"), '0'), PROBE_TAR, "a root filesystem");
    is_int(probe_of(NAMES("./", "./blobs/", "index.json"), '0'), PROBE_TAR_ARCHIVE, "a layout made with tar -C");
    is_int(probe_of(NAMES("oci-layout"), '0'), PROBE_TAR_ARCHIVE, "a layout");
    is_int(probe_of(NAMES("manifest.json"), '0'), PROBE_TAR_ARCHIVE, "manifest.json");
    is_int(probe_of(NAMES("repositories"), '0'), PROBE_TAR_ARCHIVE, "repositories");
    is_int(probe_of(NAMES(HEX "/", HEX "/json"), '0'), PROBE_TAR_ARCHIVE, "docker's old form");
    is_int(probe_of(NAMES(HEX ".json"), '0'), PROBE_TAR_ARCHIVE, "docker's config");
    is_int(probe_of(NAMES("sha256:" HEX), '0'), PROBE_TAR_ARCHIVE, "another writer's config");
    is_int(probe_of(NAMES(HEX ".tar"), '0'), PROBE_TAR_ARCHIVE, "a layer first");
    is_int(probe_of(NAMES(HEX "x"), '0'), PROBE_TAR, "a name that only begins so");
    is_int(probe_of(NAMES("manifest.json.bak"), '0'), PROBE_TAR, "and so");
    is_int(probe_of(NAMES("bin"), '2'), PROBE_TAR, "a symlink first");
}

static void rootfs_tar(struct buf *t)
{
    t->len = 0;
    fix_member(t, '5', "./", NULL, NULL, 0);
    fix_member(t, '5', "bin", NULL, NULL, 0);
    fix_member(t, '0', "bin/tool", NULL, "#!/bin/sh\n", 10);
    fix_member(t, '2', "sbin", "bin", NULL, 0);
    fix_tar_end(t);
}

static void path_of(struct fix *f, const char *name, char out[200])
{
    snprintf(out, 200, "%s/%s", f->dir, name);
}

static void rootfs(void)
{
    struct fix f;
    struct buf t = {0}, z = {0};
    struct encoder *enc;
    char p[200], id[DIGEST_OCI_LEN + 1];
    fix_begin(&f);
    rootfs_tar(&t);
    fix_file(f.dir, "Base Image.tar", t.p, t.len);
    path_of(&f, "Base Image.tar", p);
    setenv("SOURCE_DATE_EPOCH", "1700000000", 1);
    if (ok(fix_import(&f, p, NULL, "linux/amd64") == 0, "a root filesystem's tar (%s)", f.e.text)) {
        is_str(f.res.v[0].name, "base-image:latest", "is called after the file");
        snprintf(id, sizeof id, "%s", f.res.v[0].id);
    }
    must(encoder_new(3, &enc, &f.e) == 0 && encoder_run(enc, t.p, t.len, &z, &f.e) == 0);
    encoder_free(enc);
    fix_file(f.dir, "base-image.tar.zst", z.p, z.len);
    path_of(&f, "base-image.tar.zst", p);
    if (ok(fix_import(&f, p, NULL, "linux/amd64") == 0, "compressed (%s)", f.e.text)) {
        is_str(f.res.v[0].id, id, "the same image");
        ok(f.res.nothing_new, "nothing is new");
    }
    is_int(fix_images(&f), 1, "one image");
    /* Through standard input, by a pipe. */
    int pipefd[2], saved = dup(0);
    must(pipe(pipefd) == 0 && write(pipefd[1], z.p, z.len) == (ssize_t)z.len);
    close(pipefd[1]);
    dup2(pipefd[0], 0);
    close(pipefd[0]);
    if (ok(fix_import(&f, "-", "deb:piped", "linux/amd64") == 0, "through a pipe (%s)", f.e.text))
        is_str(f.res.v[0].id, id, "the same image");
    int fd = open(p, O_RDONLY);
    dup2(fd, 0);
    close(fd);
    fix_refused(&f, "-", NULL, "linux/amd64", ERR_USAGE, "say --name REPOSITORY:TAG");
    dup2(saved, 0);
    close(saved);
    path_of(&f, "root", p);
    fix_system("mkdir -p", p);
    fix_text(p, "file", "text\n");
    if (ok(fix_import(&f, p, NULL, NULL) == 0, "a folder (%s)", f.e.text))
        is_str(f.res.v[0].name, "root:latest", "is called after it");
    ok(fix_import(&f, p, NULL, NULL) == 0 && f.res.nothing_new, "again: nothing is new (%s)", f.e.text);
    strcat(p, ":x");
    fix_refused(&f, p, NULL, NULL, ERR_USAGE, "there are no images to choose \"x\" from");
    unsetenv("SOURCE_DATE_EPOCH");
    buf_release(&t);
    buf_release(&z);
    fix_end(&f);
}

/* Image archives through a pipe, compressed: spooled. */
static void spooled(void)
{
    struct fix f;
    struct buf layout = {0}, t = {0}, z = {0}, index = {0};
    struct encoder *enc;
    char id[DIGEST_OCI_LEN + 1], p[200], cmd[500];
    size_t n;
    fix_begin(&f);
    fix_image(&f, "amd64", "text\n", id, &n);
    fix_index(&index, &(struct fix_desc){T_MANIFEST, id, n, REF("deb:x")}, 1);
    fix_file(f.layout, "index.json", index.p, index.len);
    fix_text(f.layout, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
    snprintf(cmd, sizeof cmd, "%s/l.tar . && zstd -q %s/l.tar", f.dir, f.dir);
    char full[700];
    snprintf(full, sizeof full, "tar -C %s -cf", f.layout);
    fix_system(full, cmd);
    path_of(&f, "l.tar", p);
    if (ok(fix_import(&f, p, NULL, NULL) == 0, "a layout in a tar (%s)", f.e.text)) {
        is_str(f.res.v[0].name, "deb:x", "its name");
        is_str(f.res.v[0].id, id, "its digest");
    }
    path_of(&f, "l.tar.zst", p);
    ok(fix_import(&f, p, NULL, NULL) == 0 && f.res.nothing_new, "compressed (%s)", f.e.text);
    int saved = dup(0), fd = open(p, O_RDONLY);
    must(fd >= 0);
    dup2(fd, 0);
    close(fd);
    ok(fix_import(&f, "-", NULL, NULL) == 0 && f.res.nothing_new, "through standard input (%s)", f.e.text);
    dup2(saved, 0);
    close(saved);
    /* Begins like an archive of images, but is none. */
    fix_member(&t, '5', "blobs", NULL, NULL, 0);
    fix_member(&t, '0', "blobs/x", NULL, "x", 1);
    fix_tar_end(&t);
    must(encoder_new(3, &enc, &f.e) == 0 && encoder_run(enc, t.p, t.len, &z, &f.e) == 0);
    encoder_free(enc);
    fix_file(f.dir, "odd.tar.zst", z.p, z.len);
    path_of(&f, "odd.tar.zst", p);
    if (ok(fix_import(&f, p, NULL, NULL) == 0, "a root filesystem with a folder blobs (%s)", f.e.text))
        is_str(f.res.v[0].name, "odd:latest", "its name");
    buf_release(&layout);
    buf_release(&t);
    buf_release(&z);
    buf_release(&index);
    fix_end(&f);
}

static void refusals(void)
{
    struct fix f;
    char p[200];
    fix_begin(&f);
    path_of(&f, "nothing", p);
    fix_refused(&f, p, NULL, NULL, ERR_SYSTEM, "No such file");
    path_of(&f, "text", p);
    fix_text(f.dir, "text", "hello, I am no archive");
    fix_refused(&f, p, NULL, NULL, ERR_INPUT, "not recognised; accepted are: OCI layout");
    fix_text(f.dir, "text", "");
    fix_refused(&f, p, NULL, NULL, ERR_INPUT, "no data; accepted are:");
    fix_file(f.dir, "text", "\x0d\0\0\0\0\0\0\0nix-archive-1\0\0\0\1", 26);
    fix_refused(&f, p, NULL, NULL, ERR_USAGE, "say --store-path");
    fix_refused(&f, p, "x:1", NULL, ERR_USAGE, "--name is for images");
    fix_refused(&f, p, "x@sha256:" HEX, NULL, ERR_USAGE, "a digest comes from the image");
    fix_refused(&f, p, NULL, "linux", ERR_USAGE, "--platform: ");
    fix_end(&f);
}

static void packages(void)
{
    struct fix f;
    char p[200];
    struct import_result r = {0};
    struct import_opts o = {.store_path = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-hello-1.0"};
    fix_begin(&f);
    fix_text(f.dir, "hello", "hello, world\n");
    path_of(&f, "hello", p);
    if (ok(source_import(f.store, p, &o, &r, &f.e) == 0, "a file as a package (%s)", f.e.text)) {
        is_int(r.v[0].kind, IMPORTED_PACKAGE, "kind");
        is_str(r.v[0].name, o.store_path, "path");
        ok(r.v[0].is_new, "new");
    }
    import_result_release(&r);
    ok(source_import(f.store, p, &o, &r, &f.e) == 0 && r.nothing_new, "again: nothing is new (%s)", f.e.text);
    import_result_release(&r);
    o = (struct import_opts){0};
    if (ok(source_add(f.store, p, NULL, &o, &r, &f.e) == 0, "cairn add (%s)", f.e.text)) {
        ok(!strncmp(r.v[0].name, "/nix/store/", 11) && strstr(r.v[0].name, "-hello"), "path %s", r.v[0].name);
        ok(!strncmp(r.v[0].id, "sha256:", 7) && strlen(r.v[0].id) == 7 + DIGEST_NIX32_LEN, "NAR hash %s", r.v[0].id);
    }
    import_result_release(&r);
    is_int(source_add(f.store, p, "no name", &o, &r, &f.e), -1, "a name that Nix wouldn't have");
    ok(!strncmp(f.e.text, "add ", 4) && strstr(f.e.text, "; nothing was imported"), "message: %s", f.e.text);
    o.store_path = "/nix/store/hello";
    is_int(source_import(f.store, p, &o, &r, &f.e), -1, "a store path that is none");
    ok(strstr(f.e.text, "--store-path: "), "message: %s", f.e.text);
    o.store_path = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-hello-1.0";
    o.trusted_keys = (const char *const[]){"k:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", NULL};
    is_int(source_import(f.store, p, &o, &r, &f.e), -1, "keys, but nothing that is signed");
    ok(strstr(f.e.text, "brings no signatures"), "message: %s", f.e.text);
    fix_end(&f);
}

static void stopped(void)
{
    struct fix f;
    struct buf t = {0};
    char p[200];
    volatile int cancel = 1;
    struct import_opts o = {.cancel = &cancel};
    struct import_result r = {0};
    fix_begin(&f);
    rootfs_tar(&t);
    fix_file(f.dir, "x.tar", t.p, t.len);
    path_of(&f, "x.tar", p);
    is_int(source_import(f.store, p, &o, &r, &f.e), -1, "an import that is stopped");
    is_int(f.e.kind, ERR_CANCELLED, "kind");
    ok(strstr(f.e.text, "; nothing was imported"), "message: %s", f.e.text);
    is_int(fix_images(&f), 0, "nothing is there");
    buf_release(&t);
    fix_end(&f);
}

int main(void)
{
    probes();
    rootfs();
    spooled();
    refusals();
    packages();
    stopped();
    return tap_done();
}
