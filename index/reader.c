/* SPDX-License-Identifier: MIT */
/*
 * From a position in a content to bytes:
 *
 *   position → chunk (binary search) → place (content_map.where, else the catalog) → block (blockcache, else pack +
 * decode)
 *
 * Places may be out of date: gc moves chunks into other blocks and blocks into other packs while mounts go on. Block
 * numbers are never used again, so a stale place can only miss. A miss is looked up once more in the catalog; if that
 * doesn't help, it is damage.
 */
#include "reader.h"

#include "blockcache.h"
#include "catalog.h"
#include "codec.h"
#include "crypto.h"
#include "io.h"
#include "limits.h"
#include "packfds.h"
#include "prefetch.h"
#include "stream.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define PACK_FILES       64
#define PREFETCH_THREADS 2
#define PREFETCH_JOBS    128
#define PREFETCH_CHUNKS  64u /* looked at by one call */
#define STREAM_RUN       (256u << 10)
/* A zstd frame is never longer than its content by more than this. */
#define FRAME_MAX (BLOCK_MAX + (BLOCK_MAX >> 8) + 64)

/* What one thread needs to decode: kept for the next one. */
struct workbench {
    struct workbench *next;
    struct decoder *decoder;
    uint8_t frame[FRAME_MAX];
};

struct reader {
    struct store *store;
    struct catalog *catalog;
    struct blockcache *cache;
    struct packfds *packs;
    struct prefetch *prefetch;
    pthread_mutex_t lock; /* benches */
    struct workbench *benches;
};

struct prefetch_job {
    struct digest chunk;
    uint64_t where;
};

/* --- decoding --- */

static struct workbench *bench_take(struct reader *r, struct err *e)
{
    pthread_mutex_lock(&r->lock);
    struct workbench *w = r->benches;
    if (w)
        r->benches = w->next;
    pthread_mutex_unlock(&r->lock);
    if (w)
        return w;
    w = malloc(sizeof *w);
    if (!w) {
        err_nomem(e);
        return NULL;
    }
    if (decoder_new(&w->decoder, e) < 0) {
        free(w);
        return NULL;
    }
    return w;
}

static void bench_give(struct reader *r, struct workbench *w)
{
    pthread_mutex_lock(&r->lock);
    w->next = r->benches;
    r->benches = w;
    pthread_mutex_unlock(&r->lock);
}

static int read_frame(struct reader *r, const struct block_loc *loc, uint8_t *frame, struct err *e)
{
    char name[32];
    int fd;
    snprintf(name, sizeof name, "%016" PRIx64 ".pack", loc->pack);
    if (packfds_get(r->packs, loc->pack, &fd, e) < 0)
        return -1;
    int rc = io_pread(fd, frame, loc->clen, loc->off, name, e);
    /* The decoded bytes are cached, here or by the kernel: the compressed ones needn't be. */
    if (rc == 0)
        posix_fadvise(fd, (off_t)loc->off, loc->clen, POSIX_FADV_DONTNEED);
    packfds_put(r->packs, loc->pack);
    return rc;
}

static int decode(struct reader *r, const struct block_loc *loc, uint8_t *out, struct err *e)
{
    struct workbench *w = bench_take(r, e);
    if (!w)
        return -1;
    int rc = read_frame(r, loc, w->frame, e);
    if (rc == 0)
        rc = decoder_run(w->decoder, w->frame, loc->clen, out, loc->rlen, e);
    bench_give(r, w);
    return rc;
}

static int load_block(void *ctx, uint64_t number, uint8_t **ret, uint32_t *ret_len, struct err *e)
{
    struct reader *r = ctx;
    struct block_loc loc;
    if (catalog_block(r->catalog, number, &loc, e) < 0)
        return -1;
    if (loc.rlen > BLOCK_MAX || loc.clen > FRAME_MAX || !loc.rlen || !loc.clen || loc.off > INT64_MAX - FRAME_MAX)
        return err_set(e, ERR_DAMAGED,
                       "%s: catalog: block %" PRIu64 " of pack %016" PRIx64
                       " has impossible sizes: rebuild the catalog",
                       store_path(r->store), number, loc.pack);
    uint8_t *p = malloc(loc.rlen);
    if (!p)
        return err_nomem(e);
    if (decode(r, &loc, p, e) < 0) {
        free(p);
        return err_wrap(e, "%s: pack %016" PRIx64 ", block at offset %" PRIu64, store_path(r->store), loc.pack,
                        loc.off);
    }
    *ret = p;
    *ret_len = loc.rlen;
    return 0;
}

/* --- places --- */

static bool known(uint64_t where)
{
    return where != 0;
}

static int find_place(struct reader *r, const struct digest *chunk, uint64_t *ret, struct err *e)
{
    struct chunk_loc loc;
    char hex[DIGEST_HEX_LEN + 1];
    if (catalog_chunk(r->catalog, chunk, false, &loc, e) < 0) {
        if (e->kind != ERR_NOT_FOUND)
            return -1;
        digest_hex(chunk, hex);
        return err_set(e, ERR_DAMAGED, "%s: chunk %s is missing", store_path(r->store), hex);
    }
    if (loc.off >= BLOCK_MAX || loc.block >> 40 || !loc.block) {
        digest_hex(chunk, hex);
        return err_set(e, ERR_DAMAGED, "%s: catalog: chunk %s has an impossible place: rebuild the catalog",
                       store_path(r->store), hex);
    }
    *ret = loc.block << 24 | loc.off;
    return 0;
}

/* The block that holds a chunk of len bytes, and where it begins in it. *where is a hint and is brought up to date. */
static int get_chunk(struct reader *r, const struct digest *chunk, uint64_t len, uint64_t *where,
                     const struct cached_block **ret, uint32_t *ret_off, struct err *e)
{
    for (bool again = false;; again = true) {
        bool hint = known(*where) && !again;
        if (!hint && find_place(r, chunk, where, e) < 0)
            return -1;
        const struct cached_block *b;
        uint32_t off = *where & 0xffffff;
        if (blockcache_get(r->cache, *where >> 24, &b, e) == 0) {
            if (off <= b->len && len <= b->len - off) {
                *ret = b;
                *ret_off = off;
                return 0;
            }
            blockcache_put(r->cache, b);
            char hex[DIGEST_HEX_LEN + 1];
            digest_hex(chunk, hex);
            err_set(e, ERR_DAMAGED, "%s: chunk %s doesn't fit into its block: rebuild the catalog",
                    store_path(r->store), hex);
        }
        if (again || (e->kind != ERR_NOT_FOUND && e->kind != ERR_DAMAGED)) {
            if (e->kind == ERR_NOT_FOUND)
                e->kind = ERR_DAMAGED;
            return -1;
        }
        err_clear(e);
    }
}

/* --- life --- */

static void run_prefetch(void *ctx, const void *job)
{
    struct reader *r = ctx;
    struct prefetch_job j = *(const struct prefetch_job *)job;
    const struct cached_block *b;
    struct err ignored = {0}; /* whoever needs the block gets the error */
    uint32_t off;
    if (get_chunk(r, &j.chunk, 0, &j.where, &b, &off, &ignored) == 0)
        blockcache_put(r->cache, b);
}

static bool sweep(void *ctx)
{
    struct reader *r = ctx;
    return packfds_sweep(r->packs) > 0;
}

int reader_new(struct store *s, uint64_t cache_bytes, struct reader **ret, struct err *e)
{
    struct reader *r = calloc(1, sizeof *r);
    if (!r)
        return err_nomem(e);
    struct prefetch_opts o = {.threads = PREFETCH_THREADS,
                              .jobs = PREFETCH_JOBS,
                              .job_size = sizeof(struct prefetch_job),
                              .run = run_prefetch,
                              .idle = sweep,
                              .ctx = r};
    pthread_mutex_init(&r->lock, NULL);
    r->store = s;
    r->catalog = store_catalog(s);
    if (cache_bytes < CACHE_MIN)
        cache_bytes = CACHE_MIN;
    if (blockcache_new(cache_bytes, load_block, r, &r->cache, e) < 0 ||
        packfds_new(store_packsfd(s), store_path(s), PACK_FILES, &r->packs, e) < 0 ||
        prefetch_new(&o, &r->prefetch, e) < 0) {
        reader_free(r);
        return -1;
    }
    *ret = r;
    return 0;
}

void reader_free(struct reader *r)
{
    if (!r)
        return;
    prefetch_free(r->prefetch);
    blockcache_free(r->cache);
    packfds_free(r->packs);
    for (struct workbench *w = r->benches, *next; w; w = next) {
        next = w->next;
        decoder_free(w->decoder);
        free(w);
    }
    pthread_mutex_destroy(&r->lock);
    free(r);
}

void reader_stats(struct reader *r, struct reader_stats *ret)
{
    struct blockcache_stats s;
    blockcache_stats(r->cache, &s);
    *ret = (struct reader_stats){s.hits, s.misses, s.decoded_bytes, s.cached_bytes};
}

/* --- maps --- */

static int map_places(struct content_map *m, struct err *e)
{
    m->where = calloc(m->c.chunk_count ? m->c.chunk_count : 1, sizeof *m->where);
    return m->where ? 0 : err_nomem(e);
}

int content_map_tree(const struct tree *t, uint32_t content, struct content_map *ret, struct err *e)
{
    const struct tree_content *c = tree_content(t, content);
    struct content_map m = {.c = {.digest = c->digest,
                                  .size = c->size,
                                  .stored = c->stored,
                                  .chunks = tree_chunk(t, c->first_chunk),
                                  .chunk_count = c->chunk_count}};
    if (map_places(&m, e) < 0)
        return -1;
    *ret = m;
    return 0;
}

/* A chunk list from the catalog is not to be trusted blindly: positions must grow. */
static int check_list(const struct tree_chunk *c, size_t n, uint64_t *ret_stored)
{
    uint64_t at = 0, stored = 0;
    for (size_t i = 0; i < n; i++) {
        if (c[i].end <= at)
            return -1;
        if (!digest_is_zero(&c[i].digest)) {
            if (c[i].end - at > CHUNK_MAX)
                return -1;
            stored += c[i].end - at;
        }
        at = c[i].end;
    }
    *ret_stored = stored;
    return n ? 0 : -1;
}

static int map_list(struct reader *r, const struct digest *d, struct content_map *m, struct err *e)
{
    struct buf b = {0};
    char hex[DIGEST_HEX_LEN + 1];
    digest_hex(d, hex);
    if (catalog_content(r->catalog, d, false, &b, e) < 0) {
        buf_release(&b);
        if (e->kind == ERR_NOT_FOUND)
            return err_set(e, ERR_NOT_FOUND, "%s: content %s is not there", store_path(r->store), hex);
        return -1;
    }
    m->c.chunk_count = (uint32_t)(b.len / sizeof *m->own);
    m->own = (struct tree_chunk *)(void *)buf_steal(&b, NULL);
    if (check_list(m->own, m->c.chunk_count, &m->c.stored) < 0)
        return err_set(e, ERR_DAMAGED, "%s: catalog: content %s has an impossible chunk list: rebuild the catalog",
                       store_path(r->store), hex);
    m->c.size = m->own[m->c.chunk_count - 1].end;
    return 0;
}

static int map_one(const struct digest *d, const struct chunk_loc *loc, struct content_map *m, struct err *e)
{
    m->own = malloc(sizeof *m->own);
    if (!m->own)
        return err_nomem(e);
    *m->own = (struct tree_chunk){.digest = *d, .end = loc->len};
    m->c.chunk_count = 1;
    m->c.size = m->c.stored = loc->len;
    return 0;
}

int content_map_digest(struct reader *r, const struct digest *d, struct content_map *ret, struct err *e)
{
    struct content_map m = {.c = {.digest = *d}};
    struct chunk_loc loc;
    struct digest empty;
    int rc = 0;
    sha256_of("", 0, &empty);
    if (!digest_eq(d, &empty)) {
        rc = catalog_chunk(r->catalog, d, false, &loc, e);
        if (rc == 0) {
            rc = map_one(d, &loc, &m, e);
        } else if (e->kind == ERR_NOT_FOUND) {
            err_clear(e);
            rc = map_list(r, d, &m, e);
        }
    }
    m.c.chunks = m.own;
    if (rc < 0 || map_places(&m, e) < 0) {
        content_map_release(&m);
        return -1;
    }
    *ret = m;
    return 0;
}

void content_map_release(struct content_map *m)
{
    free(m->where);
    free(m->own);
    *m = (struct content_map){0};
}

/* --- reading --- */

/* The chunk that position off (below the size) is in. */
static uint32_t chunk_at(const struct content *c, uint64_t off)
{
    uint32_t lo = 0, hi = c->chunk_count - 1;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (c->chunks[mid].end > off)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

static uint64_t chunk_begin(const struct content *c, uint32_t i)
{
    return i ? c->chunks[i - 1].end : 0;
}

static int copy_chunk(struct reader *r, struct content_map *m, uint32_t i, uint64_t skip, void *p, size_t n,
                      struct err *e)
{
    const struct tree_chunk *c = &m->c.chunks[i];
    if (digest_is_zero(&c->digest)) {
        memset(p, 0, n);
        return 0;
    }
    uint64_t before = atomic_load_explicit(&m->where[i], memory_order_relaxed), where = before;
    const struct cached_block *b;
    uint32_t off;
    if (get_chunk(r, &c->digest, c->end - chunk_begin(&m->c, i), &where, &b, &off, e) < 0)
        return -1;
    if (where != before)
        atomic_store_explicit(&m->where[i], where, memory_order_relaxed);
    memcpy(p, b->data + off + skip, n);
    blockcache_put(r->cache, b);
    return 0;
}

int reader_pread(struct reader *r, struct content_map *m, void *p, size_t n, uint64_t off, size_t *ret_n, struct err *e)
{
    const struct content *c = &m->c;
    if (off >= c->size || !n) {
        *ret_n = 0;
        return 0;
    }
    if (n > c->size - off)
        n = (size_t)(c->size - off);
    uint32_t i = chunk_at(c, off);
    if (off + n > c->chunks[i].end) /* the first chunk is decoded here, what follows meanwhile */
        reader_prefetch(r, m, c->chunks[i].end, off + n - c->chunks[i].end);
    for (size_t done = 0; done < n; i++) {
        uint64_t skip = off + done - chunk_begin(c, i), left = c->chunks[i].end - (off + done);
        size_t k = left < n - done ? (size_t)left : n - done;
        if (copy_chunk(r, m, i, skip, (uint8_t *)p + done, k, e) < 0)
            return -1;
        done += k;
    }
    *ret_n = n;
    return 0;
}

void reader_prefetch(struct reader *r, struct content_map *m, uint64_t off, uint64_t n)
{
    const struct content *c = &m->c;
    if (off >= c->size || !n)
        return;
    uint64_t end = n < c->size - off ? off + n : c->size, last = 0;
    uint32_t i = chunk_at(c, off);
    for (uint32_t k = 0; k < PREFETCH_CHUNKS && i < c->chunk_count && chunk_begin(c, i) < end; k++, i++) {
        struct prefetch_job j = {.chunk = c->chunks[i].digest,
                                 .where = atomic_load_explicit(&m->where[i], memory_order_relaxed)};
        uint64_t block = j.where >> 24;
        if (digest_is_zero(&j.chunk) || (block && (block == last || blockcache_has(r->cache, block))))
            continue;
        last = block;
        if (!prefetch_add(r->prefetch, &j))
            return;
    }
}

int reader_get(struct reader *r, const struct digest *d, uint64_t limit, struct buf *b, struct err *e)
{
    struct content_map m;
    struct digest got;
    char hex[DIGEST_HEX_LEN + 1], other[DIGEST_HEX_LEN + 1];
    size_t n, start = b->len;
    if (content_map_digest(r, d, &m, e) < 0)
        return -1;
    digest_hex(d, hex);
    int rc = 0;
    if (m.c.size > limit)
        rc = err_set(e, ERR_LIMIT, "content %s has %" PRIu64 " bytes, more than %" PRIu64, hex, m.c.size, limit);
    else if (buf_reserve(b, (size_t)m.c.size) < 0)
        rc = err_nomem(e);
    else
        rc = reader_pread(r, &m, b->p + start, (size_t)m.c.size, 0, &n, e);
    if (rc == 0) {
        sha256_of(b->p + start, n, &got);
        if (digest_eq(&got, d)) {
            b->len = start + n;
            b->p[b->len] = 0;
        } else {
            digest_hex(&got, other);
            rc = err_set(e, ERR_DAMAGED, "%s: content %s is damaged: its bytes give %s", store_path(r->store), hex,
                         other);
        }
    }
    content_map_release(&m);
    return rc;
}

int reader_tree(struct reader *r, const struct digest *d, struct tree **ret, struct err *e)
{
    struct buf b = {0};
    size_t n;
    if (reader_get(r, d, LIMIT_TREE_BYTES, &b, e) < 0) {
        buf_release(&b);
        return err_wrap(e, "tree");
    }
    uint8_t *p = buf_steal(&b, &n);
    return tree_open(p, n, ret, e);
}

/* --- stream --- */

struct content_stream {
    struct stream s;
    struct reader *r;
    struct content_map *m;
    uint64_t off;
    uint8_t run[STREAM_RUN];
};

static int content_pull(struct stream *s, const uint8_t **p, size_t *n, struct err *e)
{
    struct content_stream *c = (struct content_stream *)s;
    size_t got;
    reader_prefetch(c->r, c->m, c->off + STREAM_RUN, 2 * STREAM_RUN);
    if (reader_pread(c->r, c->m, c->run, sizeof c->run, c->off, &got, e) < 0)
        return -1;
    c->off += got;
    *p = c->run;
    *n = got;
    return 0;
}

static void content_close(struct stream *s)
{
    free(s);
}

int reader_stream(struct reader *r, struct content_map *m, struct stream **ret, struct err *e)
{
    struct content_stream *c = malloc(sizeof *c);
    if (!c)
        return err_nomem(e);
    c->s = (struct stream){.pull = content_pull, .close = content_close};
    c->r = r;
    c->m = m;
    c->off = 0;
    *ret = &c->s;
    return 0;
}
