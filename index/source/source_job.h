/* SPDX-License-Identifier: MIT */
/*
 * source_job: one import, as source.c and source_package.c share it; nobody else includes it.
 */
#ifndef CAIRN_SOURCE_JOB_H
#define CAIRN_SOURCE_JOB_H

#include "source.h"
#include "bincache.h"
#include "counted.h"
#include "image.h"
#include "package.h"

struct job {
    struct store *store;
    const struct import_opts *o;
    struct session *session;
    struct image_importer *images;
    struct image_results image_results;
    struct package_results package_results;
    struct counter counter;
    struct image_ref name; /* --name; repo NULL: not given */
    struct trusted_keys keys;
    bool from_start; /* the stream's file stood at its beginning */
    char *path;      /* NULL: standard input */
    const char *tag; /* what stands behind PATH:, or NULL */
    char *folder;    /* images without a name of their own are called after it; NULL: none */
};

/* ERR_USAGE when an image was to be chosen out of what has none. */
int job_no_tag(const struct job *j, const char *what, struct err *e);

/* A folder, file or symlink on disk, as the package store_path. */
int job_import_dirnar(struct job *j, const char *path, const char *store_path, struct err *e);
/* s: owned. */
int job_import_nar(struct job *j, struct stream *s, struct err *e);
/* s: not closed. */
int job_import_export(struct job *j, struct stream *s, struct err *e);
int job_import_bincache(struct job *j, struct err *e);
/* Computes the store path first, so path is read twice. */
int job_add_path(struct job *j, const char *path, const char *name, struct err *e);

#endif
