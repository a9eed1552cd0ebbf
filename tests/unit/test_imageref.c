/* SPDX-License-Identifier: MIT */
#include "../../index/source/imageref.h"
#include "tap.h"

#include <stdlib.h>

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void good(const char *s, const char *repo, const char *tag, bool digest)
{
    struct err e = {0};
    struct image_ref r = {0};
    if (!ok(image_ref_parse(s, &r, &e) == 0, "%s is a reference (%s)", s, e.text))
        return;
    is_str(r.repo, repo, "%s: repository", s);
    is_str(r.tag, tag, "%s: tag", s);
    is_int(r.has_digest, digest, "%s: digest", s);
    image_ref_release(&r);
}

static void bad(const char *s, const char *why)
{
    struct err e = {0};
    struct image_ref r;
    is_int(image_ref_parse(s, &r, &e), -1, "%.60s is refused", s);
    is_int(e.kind, ERR_USAGE, "%.60s: kind", s);
    ok(strstr(e.text, why), "%.60s: message: %s", s, e.text);
}

static void folder(const char *repo, const char *tag, const char *want)
{
    struct err e = {0};
    struct digest d;
    struct image_ref r;
    char *got;
    digest_parse_hex(HEX, 64, &d);
    if (!ok(image_folder(repo, tag, &d, &got, &e) == 0, "folder of %s", repo))
        return;
    is_str(got, want, "folder of %s", repo);
    ok(image_folder_parse(got, &r, &e) == 0, "%s parses back", got);
    is_str(r.repo, repo, "%s: repository", got);
    is_str(r.tag, tag, "%s: tag", got);
    is_int(r.has_digest, !tag, "%s: digest", got);
    image_ref_release(&r);
    free(got);
}

static void no_folder(const char *s)
{
    struct err e = {0};
    struct image_ref r;
    is_int(image_folder_parse(s, &r, &e), -1, "\"%s\" is no folder", s);
    is_int(e.kind, ERR_NOT_FOUND, "\"%s\": kind", s);
}

static void repo_of(const char *file, const char *want)
{
    struct err e = {0};
    char *got = NULL;
    if (!want) {
        is_int(image_ref_repo_of(file, &got, &e), -1, "\"%s\" gives none", file);
        ok(e.kind == ERR_USAGE && strstr(e.text, "--name"), "message: %s", e.text);
        return;
    }
    ok(image_ref_repo_of(file, &got, &e) == 0, "%s gives a repository", file);
    is_str(got, want, "%s", file);
    free(got);
}

static void choose(const char *given, const char *image_name, const char *ref_name, const char *dir, const char *repo,
                   const char *tag)
{
    struct err e = {0};
    struct image_ref g = {0}, r = {0};
    if (given)
        image_ref_parse(given, &g, &e);
    int rc = image_ref_choose(given ? &g : NULL, image_name, ref_name, dir, &r, &e);
    if (!repo) {
        is_int(rc, -1, "nothing fits");
        ok(e.kind == ERR_USAGE && strstr(e.text, "--name"), "message: %s", e.text);
    } else {
        is_int(rc, 0, "%s:%s is chosen (%s)", repo, tag ? tag : "", e.text);
        is_str(r.repo, repo, "repository");
        is_str(r.tag, tag, "tag");
    }
    image_ref_release(&g);
    image_ref_release(&r);
}

int main(void)
{
    good("deb", "deb", NULL, false);
    good("deb:nginx", "deb", "nginx", false);
    good("reg.example.org:5000/a/b:1.0_x-Y", "reg.example.org:5000/a/b", "1.0_x-Y", false);
    good("Host/a", "Host/a", NULL, false);
    good("localhost:5000/x", "localhost:5000/x", NULL, false);
    good("a__b/c---d.e_f", "a__b/c---d.e_f", NULL, false);
    good("deb:1@sha256:" HEX, "deb", "1", true);
    good("deb@sha256:" HEX, "deb", NULL, true);
    good("5000:5000", "5000", "5000", false);
    bad("", "no repository name");
    bad("Deb", "no repository name");
    bad("a//b", "no repository name");
    bad("/a", "no repository name");
    bad("a/", "no repository name");
    bad("a/B", "no repository name");
    bad("-a/b", "no repository name");
    bad("a..b", "no repository name");
    bad("a___b", "no repository name");
    bad("../a", "no repository name");
    bad("a+b", "no repository name");
    bad("a b", "no repository name");
    bad("a:b:c", "no tag");
    bad("h:1x/a", "no repository name");
    bad("a:", "no tag");
    bad("a:.b", "no tag");
    bad("a:-b", "no tag");
    bad("a:b/c:d", "no repository name");
    bad("a:sha256-" HEX, "by digest");
    bad("a@sha256:" HEX "0", "64 hex digits");
    bad("a@sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef", "64 hex digits");
    bad("a@sha512:" HEX, "64 hex digits");
    bad("a@", "64 hex digits");
    char longest[300];
    memset(longest, 'a', sizeof longest);
    longest[184] = 0;
    bad(longest, "183 are the most");
    memset(longest, 'a', sizeof longest);
    longest[150] = ':';
    longest[150 + 1 + 105] = 0;
    bad(longest, "longer than a folder's name");
    memset(longest, 'a', sizeof longest);
    longest[1] = ':';
    longest[2 + 129] = 0;
    bad(longest, "no tag");

    folder("deb", "nginx", "deb@nginx");
    folder("reg.example.org:5000/a_b/c", "v1", "reg.example.org^5000+a_b+c@v1");
    folder("a/b", NULL, "a+b@sha256-" HEX);
    no_folder("deb");
    no_folder("@x");
    no_folder("deb@");
    no_folder("a/b@x");
    no_folder("a:5/b@x");
    no_folder("a@b@c");
    no_folder(".");
    no_folder("..");
    no_folder(".Trash");

    repo_of("oci", "oci");
    repo_of("My Images (2)", "my-images-2");
    repo_of("--x..y__z--", "x.y_z");
    repo_of("caf\xc3\xa9", "caf");
    repo_of("...", NULL);
    repo_of("", NULL);

    choose("deb", "x/y:1", "z", "oci", "deb", "latest");
    choose("deb:nginx", NULL, NULL, NULL, "deb", "nginx");
    choose(NULL, "docker.io/library/nginx:1", "1", "oci", "docker.io/library/nginx", "1");
    choose(NULL, NULL, "deb:nginx", "oci", "deb", "nginx");
    choose(NULL, NULL, "reg/x", "oci", "reg/x", "latest");
    choose(NULL, NULL, "nginx", "oci", "oci", "nginx");
    choose(NULL, NULL, NULL, "oci", "oci", "latest");
    choose(NULL, "reg/x@sha256:" HEX, NULL, "oci", "reg/x", NULL);
    choose(NULL, NULL, "what/Ever it is", "oci", NULL, NULL);
    choose(NULL, NULL, "nginx", NULL, NULL, NULL);

    ok(image_ref_matches("reg:5/deb:nginx", "nginx"), "by tag");
    ok(image_ref_matches("deb:nginx", "deb:nginx"), "by whole name");
    ok(!image_ref_matches("reg:5/deb", "5/deb"), "a port is no tag");
    ok(!image_ref_matches(NULL, "x"), "nameless");
    return tap_done();
}
