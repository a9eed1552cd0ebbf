/* SPDX-License-Identifier: MIT */
/*
 * Speed of the pipeline and of the reader, without any source's parsing:
 *   bench_session FILE [BYTES]   FILE is cut into contents: of BYTES each, or (0, the default) of sizes as files have
 * them. Prints: import, import again, sequential read, and random 4 KiB reads with the smallest cache of blocks.
 */
#include "../../index/catalog.h"
#include "../../index/reader.h"
#include "../../index/store.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what, const struct err *e)
{
    fprintf(stderr, "%s: %s\n", what, e->text);
    exit(1);
}

static unsigned seed = 1;

/* Most files are small, most bytes are in large ones. */
static size_t file_size(size_t fixed)
{
    if (fixed)
        return fixed;
    unsigned r = (unsigned)rand_r(&seed) % 100;
    size_t top = r < 70 ? 8u << 10 : r < 90 ? 64u << 10 : r < 99 ? 512u << 10 : 8u << 20;
    return 1 + (size_t)rand_r(&seed) % top;
}

struct part {
    size_t off, n;
    struct digest d;
};

static size_t import(struct store *st, const uint8_t *p, size_t n, size_t fixed, struct part *parts, size_t cap,
                     int round)
{
    struct err e = {0};
    struct session *s;
    struct session_stats stats;
    struct content c;
    size_t count = 0;
    double start = now();
    seed = 1;
    if (session_begin(st, NULL, &s, &e) < 0)
        die("begin", &e);
    for (size_t off = 0; off < n && count < cap; count++) {
        uint32_t slot;
        size_t k = file_size(fixed);
        if (k > n - off)
            k = n - off;
        parts[count] = (struct part){.off = off, .n = k};
        if (session_content_begin(s, &e) < 0 || session_data(s, p + off, k, &e) < 0 ||
            session_content_end(s, &slot, &e) < 0)
            die("import", &e);
        off += k;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (session_content(s, i, &c, &e) < 0)
            die("content", &e);
        parts[i].d = c.digest;
    }
    double cut = now();
    struct json *r = json_new_object();
    char hex[DIGEST_HEX_LEN + 1], tag[16];
    digest_hex(&parts[0].d, hex);
    snprintf(tag, sizeof tag, "%d", round);
    json_set(r, "type", json_new_str("name"));
    json_set(r, "repo", json_new_str("bench"));
    json_set(r, "tag", json_new_str(tag));
    json_set(r, "manifest", json_new_str(hex));
    json_set(r, "time", json_new_int(1));
    if (session_record(s, r, &e) < 0 || session_commit(s, &e) < 0)
        die("commit", &e);
    session_stats(s, &stats);
    session_end(s);
    double end = now();
    printf("import %d: %zu contents, %.1f MB in %.2f s (%.2f to the last digest): %.0f MB/s; new %.1f MB, stored %.1f "
           "MB\n",
           round, count, (double)n / 1e6, end - start, cut - start, (double)n / 1e6 / (end - start),
           (double)stats.bytes_new / 1e6, (double)stats.bytes_stored / 1e6);
    return count;
}

static void read_all(struct store *st, const uint8_t *want, const struct part *parts, size_t count)
{
    struct err e = {0};
    struct reader *r = store_reader(st);
    struct content_map m;
    uint8_t *b = malloc(16u << 20);
    size_t got, sum = 0;
    double start = now();
    for (size_t i = 0; i < count; i++) {
        if (content_map_digest(r, &parts[i].d, &m, &e) < 0)
            die("map", &e);
        for (size_t at = 0; at < parts[i].n; at += got, sum += got) {
            reader_prefetch(r, &m, at + (1u << 20), 1u << 20);
            if (reader_pread(r, &m, b, 1u << 20, at, &got, &e) < 0)
                die("read", &e);
            if (memcmp(b, want + parts[i].off + at, got))
                abort();
        }
        content_map_release(&m);
    }
    double end = now();
    printf("sequential: %.1f MB in %.2f s: %.0f MB/s\n", (double)sum / 1e6, end - start,
           (double)sum / 1e6 / (end - start));
    free(b);
}

static void read_random(struct store *st, const struct part *parts, size_t count)
{
    struct err e = {0};
    struct reader *r = store_reader(st);
    struct reader_stats a, z;
    struct content_map *m = calloc(count, sizeof *m);
    uint8_t b[4096];
    size_t got;
    for (size_t i = 0; i < count; i++)
        if (content_map_digest(r, &parts[i].d, &m[i], &e) < 0)
            die("map", &e);
    for (int round = 0; round < 2; round++) {
        reader_stats(r, &a);
        double start = now();
        for (int i = 0; i < 5000; i++) {
            size_t k = (size_t)rand_r(&seed) % count;
            uint64_t off = (uint64_t)rand_r(&seed) % parts[k].n & ~UINT64_C(4095);
            if (reader_pread(r, &m[k], b, sizeof b, off, &got, &e) < 0)
                die("read", &e);
        }
        double end = now();
        reader_stats(r, &z);
        printf("random 4 KiB: %.1f us each (%.0f %% of them decoded a block)\n", (end - start) / 5000 * 1e6,
               (double)(z.misses - a.misses) / 50);
    }
    for (size_t i = 0; i < count; i++)
        content_map_release(&m[i]);
    free(m);
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct stat sb;
    struct store *st;
    struct rusage u;
    char dir[] = "/tmp/bench_session.XXXXXX", command[64];
    int fd = argc > 1 ? open(argv[1], O_RDONLY) : -1;
    if (fd < 0 || fstat(fd, &sb) < 0 || !mkdtemp(dir)) {
        fprintf(stderr, "usage: bench_session FILE [BYTES]\n");
        return 2;
    }
    size_t n = (size_t)sb.st_size, cap = 1000000, fixed = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    const uint8_t *p = mmap(NULL, n, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    struct part *parts = calloc(cap, sizeof *parts);
    if (p == MAP_FAILED || !parts || store_open(dir, STORE_CREATE, &st, &e) < 0)
        die("open", &e);
    import(st, p, n, fixed, parts, cap, 1);
    getrusage(RUSAGE_SELF, &u);
    printf("resident at most: %ld MiB, of which the input is %zu\n", u.ru_maxrss >> 10, n >> 20);
    size_t count = import(st, p, n, fixed, parts, cap, 2);
    read_all(st, p, parts, count);
    store_close(st);
    if (store_open(dir, 0, &st, &e) < 0)
        die("open", &e);
    store_set_cache_size(st, 0); /* the least there is: most reads decode */
    read_random(st, parts, count);
    store_close(st);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) != 0;
}
