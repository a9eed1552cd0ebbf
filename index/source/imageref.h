/* SPDX-License-Identifier: MIT */
/*
 * imageref: what an image may be called, and the folder of images/ that it gets.
 *
 *   reference  = repository [":" tag] ["@sha256:" 64 hex]       (docker's grammar, no default host or tag added)
 *   repository = [host [":" port] "/"] part *("/" part)         part: lower-case letters and digits, joined by . _ __
 * or dashes
 *
 * The tag "sha256-" + 64 hex is refused: it would be another image's folder by digest.
 * Folder: "repository@tag" or "repository@sha256-<hex>", with "/" spelt "+" and the port's ":" spelt "^". Neither can
 * stand in a repository, so the spelling is one to one; and ":" and "," would break mount options and PATH. Pure
 * functions, any thread.
 */
#ifndef CAIRN_IMAGEREF_H
#define CAIRN_IMAGEREF_H

#include "../digest.h"
#include "../err.h"

struct image_ref {
    char *repo, *tag; /* tag NULL when absent */
    bool has_digest;
    struct digest digest;
};

/* ERR_USAGE says what is wrong with it. Folder names always fit in 255 bytes. */
int image_ref_parse(const char *s, struct image_ref *ret, struct err *e);
void image_ref_release(struct image_ref *r);
bool image_ref_is_repo(const char *s, size_t len);
bool image_ref_is_tag(const char *s, size_t len);

/* A repository made of a folder's or file's name: lower case, what doesn't fit becomes "-". ERR_USAGE when nothing is
 * left. */
int image_ref_repo_of(const char *file_name, char **ret, struct err *e);

/*
 * The name of an image found in a layout or archive. First that there is: `given` (--name; its tag defaults to
 * "latest"), the image's own (image_name, or ref_name when it has a repository), folder:ref_name, folder:latest. Any
 * may be NULL. ERR_USAGE: none fits. ret->tag may come out NULL when the image's own name is by digest.
 */
int image_ref_choose(const struct image_ref *given, const char *image_name, const char *ref_name, const char *folder,
                     struct image_ref *ret, struct err *e);
/* Whether a person who says `wanted` may mean the image of this name: the whole of it, or its tag. */
bool image_ref_matches(const char *name, const char *wanted);

/* tag NULL: by digest, of manifest. *ret is the caller's to free. */
int image_folder(const char *repo, const char *tag, const struct digest *manifest, char **ret, struct err *e);
/* The way back. ERR_NOT_FOUND: no image can have this folder. */
int image_folder_parse(const char *folder, struct image_ref *ret, struct err *e);

#endif
