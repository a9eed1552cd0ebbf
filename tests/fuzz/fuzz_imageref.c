/* SPDX-License-Identifier: MIT */
/*
 * References and folders: what parses can be spelt again, and folder and reference are one to one.
 */
#include "../../index/source/imageref.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void must(int good)
{
    if (!good)
        abort();
}

static void check_folder(const struct image_ref *r)
{
    struct err e = {0};
    struct image_ref back;
    char *folder;
    if (!r->tag && !r->has_digest)
        return;
    must(image_folder(r->repo, r->tag, &r->digest, &folder, &e) == 0);
    must(strlen(folder) <= 255 && !strpbrk(folder, "/:,") && folder[0] != '.');
    must(image_folder_parse(folder, &back, &e) == 0);
    must(!strcmp(back.repo, r->repo));
    must(r->tag ? back.tag && !strcmp(back.tag, r->tag) : back.has_digest && digest_eq(&back.digest, &r->digest));
    image_ref_release(&back);
    free(folder);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct err e = {0};
    struct image_ref r;
    char *s = malloc(n + 1), *repo;
    if (!s)
        return 0;
    memcpy(s, p, n);
    s[n] = 0;
    if (image_ref_parse(s, &r, &e) == 0) {
        check_folder(&r);
        image_ref_release(&r);
    }
    if (image_folder_parse(s, &r, &e) == 0) {
        char *folder;
        must(image_folder(r.repo, r.tag, &r.digest, &folder, &e) == 0 && !strcmp(folder, s));
        free(folder);
        image_ref_release(&r);
    }
    if (image_ref_repo_of(s, &repo, &e) == 0) {
        must(image_ref_is_repo(repo, strlen(repo)));
        free(repo);
    }
    free(s);
    return 0;
}
