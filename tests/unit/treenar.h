/* SPDX-License-Identifier: MIT */
/* treenar: packages that are folders of many files, so that their trees have several chunks; removing them again. */
#ifndef CAIRN_TREENAR_H
#define CAIRN_TREENAR_H

#include "teststore.h"

__attribute__((unused)) static void random_bytes_of(uint8_t *p, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        p[i] = (uint8_t)(seed >> 56);
    }
}

__attribute__((unused)) static void add_words(struct buf *b, const char *text)
{
    struct buf w = words(text);
    buf_append(b, w.p, w.len);
    buf_release(&w);
}

/* Files first to first + n - 1 of size bytes each: file i has the same name and bytes in every folder of that seed. */
__attribute__((unused)) static struct buf folder_nar(unsigned first, unsigned n, size_t size, uint64_t seed)
{
    struct buf b = words("nix-archive-1 ( type directory");
    uint8_t *bytes = malloc(size);
    for (unsigned i = first; bytes && i < first + n; i++) {
        char name[60];
        uint8_t salt[8];
        random_bytes_of(salt, sizeof salt, seed * 7919 + i);
        snprintf(name, sizeof name, "%06u-%02x%02x%02x%02x%02x%02x%02x%02x", i, salt[0], salt[1], salt[2], salt[3],
                 salt[4], salt[5], salt[6], salt[7]);
        random_bytes_of(bytes, size, (seed << 32) + i * 2654435761u);
        add_words(&b, "entry ( name");
        add_str(&b, name, strlen(name));
        add_words(&b, "node ( type regular contents");
        add_str(&b, bytes, size);
        add_words(&b, ") )");
    }
    free(bytes);
    add_str(&b, ")", 1);
    return b;
}

__attribute__((unused)) static void package_base(const char *name, char base[100])
{
    snprintf(base, 100, "%032d-%s", 0, name);
}

__attribute__((unused)) static int add_package(struct store *s, const char *name, const struct buf *nar, struct err *e)
{
    static const char *const none[] = {NULL};
    char base[100], path[120];
    package_base(name, base);
    snprintf(path, sizeof path, "/nix/store/%s", base);
    struct package_meta m = {.path = path, .narsize = -1, .refs = none};
    err_clear(e);
    return import_nar(s, nar, &m, NULL, e);
}

__attribute__((unused)) static int put_record(struct store *s, const char *text, struct err *e)
{
    struct json *j;
    err_clear(e);
    if (json_parse(text, strlen(text), 1 << 16, "record", &j, e) < 0)
        return -1;
    int rc = store_record(s, &j, 1, e);
    json_unref(j);
    return rc;
}

__attribute__((unused)) static int drop_package(struct store *s, const char *name, struct err *e)
{
    char base[100], text[200];
    struct cat_package p;
    package_base(name, base);
    err_clear(e);
    if (catalog_package(store_catalog(s), base, &p, e) < 0)
        return -1;
    snprintf(text, sizeof text, "{\"type\":\"remove\",\"of\":\"package\",\"no\":%u,\"time\":1}", p.no);
    cat_package_release(&p);
    return put_record(s, text, e);
}

#endif
