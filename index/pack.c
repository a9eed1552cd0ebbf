/* SPDX-License-Identifier: MIT */
#include "pack.h"

#include "codec.h"
#include "crypto.h"
#include "io.h"
#include "limits.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    SKIPPABLE = 0x184D2A5C,
    VERSION = 1,
    FRAME_HEAD = 8,    /* magic, length */
    PAYLOAD_HEAD = 16, /* kind, version, check */
    ROW = 40,
    /* A block can't have more chunks than bytes; small files dominate, so this is far above what is written. */
    ROWS_MAX = BLOCK_MAX,
    RECORDS_MAX = 256 << 20,
    SEAL = FRAME_HEAD + PAYLOAD_HEAD + 32,
    WINDOW = 1 << 20, /* read at once when looking for what comes behind damage */
};

static const char kind_pack[4] = "CPK1", kind_block[4] = "CBL1", kind_records[4] = "CRC1", kind_seal[4] = "CSL1";

struct pack_writer {
    int fd;
    uint64_t id, size;
    struct buf head; /* reused */
};

void pack_name(uint64_t id, char out[PACK_NAME_LEN + 1])
{
    snprintf(out, PACK_NAME_LEN + 1, "%016" PRIx64 ".pack", id);
}

int pack_parse_name(const char *name, uint64_t *ret)
{
    uint8_t b[8];
    uint64_t id = 0;
    if (strlen(name) != PACK_NAME_LEN || strcmp(name + 16, ".pack") != 0 || hex_decode(name, 16, b, 8) < 0)
        return -1;
    for (int i = 0; i < 8; i++)
        id = id << 8 | b[i];
    *ret = id;
    return 0;
}

/* --- writing --- */

/* Begins a skippable frame in w->head; its payload is appended, then end_frame completes it. */
static int begin_frame(struct buf *b, const char kind[4])
{
    b->len = 0;
    return buf_u32(b, SKIPPABLE) | buf_u32(b, 0) | buf_append(b, kind, 4) | buf_u32(b, VERSION) | buf_append_zero(b, 8);
}

static void end_frame(struct buf *b)
{
    struct digest d;
    sha256_of(b->p + FRAME_HEAD, b->len - FRAME_HEAD, &d); /* the place of the check itself is zero */
    put_u32(b->p + 4, (uint32_t)(b->len - FRAME_HEAD));
    memcpy(b->p + FRAME_HEAD + 8, d.b, 8);
}

static int put(struct pack_writer *w, const void *p, size_t n, struct err *e)
{
    char name[PACK_NAME_LEN + 1];
    pack_name(w->id, name);
    if (io_pwrite(w->fd, p, n, w->size, name, e) < 0)
        return err_wrap(e, "write pack");
    w->size += n;
    return 0;
}

int pack_create(struct store *s, struct pack_writer **ret, struct err *e)
{
    char name[PACK_NAME_LEN + 1];
    struct pack_writer *w = calloc(1, sizeof *w);
    if (!w)
        return err_nomem(e);
    w->fd = -1;
    for (int tries = 0; w->fd < 0; tries++) {
        /* The catalog keeps it as a signed 64-bit integer; 0 is nobody's. */
        if (random_bytes(&w->id, sizeof w->id) < 0) {
            err_set(e, ERR_SYSTEM, "no random bytes from the system");
            goto fail;
        }
        w->id = (w->id >> 1) | 1;
        pack_name(w->id, name);
        w->fd = openat(store_packsfd(s), name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (w->fd < 0 && (errno != EEXIST || tries > 8)) {
            err_sys(e, errno, "create %s/packs/%s", store_path(s), name);
            goto fail;
        }
    }
    if (begin_frame(&w->head, kind_pack) < 0 || buf_u64(&w->head, w->id) < 0 ||
        buf_u64(&w->head, (uint64_t)time(NULL)) < 0 || buf_u64(&w->head, 0) < 0) {
        err_nomem(e);
        goto fail;
    }
    end_frame(&w->head);
    if (put(w, w->head.p, w->head.len, e) < 0)
        goto fail;
    *ret = w;
    return 0;
fail:
    if (w->fd >= 0)
        pack_remove(s, w->id);
    pack_writer_close(w);
    return -1;
}

uint64_t pack_writer_id(const struct pack_writer *w)
{
    return w->id;
}

uint64_t pack_writer_size(const struct pack_writer *w)
{
    return w->size;
}

int pack_writer_block(struct pack_writer *w, const struct chunk_row *rows, uint32_t n, uint32_t rlen, const void *frame,
                      uint32_t clen, uint64_t *ret_off, struct err *e)
{
    struct buf *b = &w->head;
    int rc = begin_frame(b, kind_block) | buf_u32(b, rlen) | buf_u32(b, clen) | buf_u32(b, n) | buf_u32(b, 0);
    for (uint32_t i = 0; i < n; i++)
        rc |= buf_append(b, rows[i].digest.b, DIGEST_LEN) | buf_u32(b, rows[i].off) | buf_u32(b, rows[i].len);
    if (rc)
        return err_nomem(e);
    end_frame(b);
    size_t head = b->len;
    if (buf_append(b, frame, clen) < 0)
        return err_nomem(e);
    uint64_t off = w->size + head;
    if (put(w, b->p, b->len, e) < 0)
        return -1;
    *ret_off = off;
    return 0;
}

int pack_writer_records(struct pack_writer *w, uint64_t seq, const void *lines, size_t n, uint64_t next_no,
                        struct err *e)
{
    struct buf frame = {0}, *b = &w->head;
    struct encoder *z = NULL;
    int rc = -1;
    if (n > RECORDS_MAX)
        return err_set(e, ERR_LIMIT, "records of %zu bytes in one transaction; at most %d", n, RECORDS_MAX);
    if (encoder_new(ZSTD_LEVEL_IMPORT, &z, e) < 0 || encoder_run(z, lines, n, &frame, e) < 0)
        goto out;
    if (begin_frame(b, kind_records) | buf_u32(b, (uint32_t)n) | buf_u32(b, (uint32_t)frame.len) | buf_u64(b, seq)) {
        err_nomem(e);
        goto out;
    }
    end_frame(b);
    if (put(w, b->p, b->len, e) < 0 || put(w, frame.p, frame.len, e) < 0)
        goto out;
    if (begin_frame(b, kind_seal) | buf_u64(b, w->size) | buf_u64(b, seq) | buf_u64(b, next_no) | buf_u64(b, 0)) {
        err_nomem(e);
        goto out;
    }
    end_frame(b);
    rc = put(w, b->p, b->len, e);
out:
    encoder_free(z);
    buf_release(&frame);
    return rc;
}

int pack_writer_sync(struct pack_writer *w, struct err *e)
{
    char name[PACK_NAME_LEN + 1];
    pack_name(w->id, name);
    return io_fsync(w->fd, name, e);
}

void pack_writer_close(struct pack_writer *w)
{
    if (!w)
        return;
    if (w->fd >= 0)
        close(w->fd);
    buf_release(&w->head);
    free(w);
}

void pack_remove(struct store *s, uint64_t id)
{
    char name[PACK_NAME_LEN + 1];
    pack_name(id, name);
    unlinkat(store_packsfd(s), name, 0);
}

/* --- scanning --- */

struct scan {
    int fd;
    uint64_t id, off, size, seq, sealed_seq;
    char name[PACK_NAME_LEN + 1];
    struct buf payload, rows, frame, lines;
    struct decoder *z;
    bool pending; /* records in `lines` wait for their seal */
};

static int bad(const struct scan *s, const char *why, struct err *e)
{
    return err_set(e, ERR_DAMAGED, "pack %s at %" PRIu64 ": %s", s->name, s->off, why);
}

/* Reads the skippable frame at s->off into payload. */
static int read_frame(struct scan *s, struct err *e)
{
    uint8_t head[FRAME_HEAD];
    struct digest d;
    if (s->size - s->off < FRAME_HEAD + PAYLOAD_HEAD)
        return bad(s, "cut off", e);
    if (io_pread(s->fd, head, sizeof head, s->off, s->name, e) < 0)
        return -1;
    uint32_t n = get_u32(head + 4);
    if (get_u32(head) != SKIPPABLE)
        return bad(s, "not one of our frames", e);
    if (n < PAYLOAD_HEAD || n > (uint64_t)ROWS_MAX * ROW || n > s->size - s->off - FRAME_HEAD)
        return bad(s, "frame is longer than the pack", e);
    s->payload.len = 0;
    if (buf_reserve(&s->payload, n) < 0)
        return err_nomem(e);
    if (io_pread(s->fd, s->payload.p, n, s->off + FRAME_HEAD, s->name, e) < 0)
        return -1;
    s->payload.len = n;
    uint8_t check[8];
    memcpy(check, s->payload.p + 8, sizeof check);
    memset(s->payload.p + 8, 0, sizeof check);
    sha256_of(s->payload.p, n, &d);
    if (memcmp(d.b, check, sizeof check) != 0)
        return bad(s, "checksum of a header doesn't match", e);
    if (get_u32(s->payload.p + 4) != VERSION)
        return err_set(e, ERR_UNSUPPORTED,
                       "pack %s at %" PRIu64 ": frame version %" PRIu32 " is newer than this program", s->name, s->off,
                       get_u32(s->payload.p + 4));
    s->off += FRAME_HEAD + n;
    return 0;
}

static int scan_block(struct scan *s, const struct pack_visitor *v, struct err *e)
{
    const uint8_t *p = s->payload.p + PAYLOAD_HEAD;
    size_t n = s->payload.len - PAYLOAD_HEAD;
    if (n < 16)
        return bad(s, "short block header", e);
    uint32_t rlen = get_u32(p), clen = get_u32(p + 4), count = get_u32(p + 8), flags = get_u32(p + 12);
    if (flags)
        return err_set(e, ERR_UNSUPPORTED,
                       "pack %s at %" PRIu64 ": block flags %" PRIx32 " are newer than this program", s->name, s->off,
                       flags);
    if (n != 16 + (size_t)count * ROW || rlen == 0 || rlen > BLOCK_MAX || clen > s->size - s->off)
        return bad(s, "block header makes no sense", e);
    s->rows.len = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *q = p + 16 + (size_t)i * ROW;
        struct chunk_row r = {.off = get_u32(q + DIGEST_LEN), .len = get_u32(q + DIGEST_LEN + 4)};
        memcpy(r.digest.b, q, DIGEST_LEN);
        if (r.off > rlen || r.len > rlen - r.off || r.len == 0)
            return bad(s, "a chunk lies outside its block", e);
        if (buf_append(&s->rows, &r, sizeof r) < 0)
            return err_nomem(e);
    }
    if (v->block &&
        v->block(v->ctx, s->off, clen, rlen, (const struct chunk_row *)(const void *)s->rows.p, count, e) < 0)
        return -1;
    s->off += clen;
    return 0;
}

static int scan_records(struct scan *s, struct err *e)
{
    const uint8_t *p = s->payload.p + PAYLOAD_HEAD;
    if (s->payload.len != PAYLOAD_HEAD + 16)
        return bad(s, "record header makes no sense", e);
    uint32_t rlen = get_u32(p), clen = get_u32(p + 4);
    if (rlen > RECORDS_MAX || clen > s->size - s->off)
        return bad(s, "record header makes no sense", e);
    s->frame.len = s->lines.len = 0;
    if (buf_reserve(&s->frame, clen) < 0 || buf_reserve(&s->lines, rlen) < 0)
        return err_nomem(e);
    if (io_pread(s->fd, s->frame.p, clen, s->off, s->name, e) < 0)
        return -1;
    if ((!s->z && decoder_new(&s->z, e) < 0) || decoder_run(s->z, s->frame.p, clen, s->lines.p, rlen, e) < 0)
        return err_wrap(e, "pack %s at %" PRIu64, s->name, s->off);
    s->lines.len = rlen;
    s->lines.p[rlen] = 0;
    s->seq = get_u64(p + 8);
    s->pending = true;
    s->off += clen;
    return 0;
}

static int scan_seal(struct scan *s, const struct pack_visitor *v, struct err *e)
{
    const uint8_t *p = s->payload.p + PAYLOAD_HEAD;
    uint64_t start = s->off - FRAME_HEAD - s->payload.len;
    if (s->payload.len != PAYLOAD_HEAD + 32 || get_u64(p) != start || !s->pending || get_u64(p + 8) != s->seq)
        return bad(s, "seal doesn't match its records", e);
    s->pending = false;
    return v->records ? v->records(v->ctx, s->seq, (const char *)s->lines.p, s->lines.len, get_u64(p + 16), e) : 0;
}

static int scan_frame(struct scan *s, const struct pack_visitor *v, struct err *e)
{
    bool first = s->off == 0;
    if (read_frame(s, e) < 0)
        return -1;
    const uint8_t *kind = s->payload.p;
    if (first != !memcmp(kind, kind_pack, 4))
        return bad(s, "pack header is missing or in the wrong place", e);
    if (first)
        return s->payload.len == PAYLOAD_HEAD + 24 && get_u64(kind + PAYLOAD_HEAD) == s->id
                   ? 0
                   : bad(s, "id doesn't match the name", e);
    if (!memcmp(kind, kind_block, 4))
        return scan_block(s, v, e);
    if (!memcmp(kind, kind_records, 4))
        return scan_records(s, e);
    if (!memcmp(kind, kind_seal, 4))
        return scan_seal(s, v, e);
    return 0; /* of a later version: kept and passed over */
}

/* Looks for the next frame of ours from `from` on: 1, and s->off is there; 0: there is none. */
static int find_frame(struct scan *s, uint64_t from, struct err *e)
{
    static uint8_t const magic[4] = {0x5c, 0x2a, 0x4d, 0x18};
    struct buf window = {0};
    int rc = 0;
    if (buf_reserve(&window, WINDOW) < 0)
        return err_nomem(e);
    while (rc == 0 && s->size - from >= FRAME_HEAD + PAYLOAD_HEAD && from < s->size) {
        size_t n = s->size - from < WINDOW ? (size_t)(s->size - from) : WINDOW;
        if (io_pread(s->fd, window.p, n, from, s->name, e) < 0) {
            rc = -1;
            break;
        }
        size_t at = 0;
        for (uint8_t *p; rc == 0 && at < n && (p = memmem(window.p + at, n - at, magic, sizeof magic)); at++) {
            at = (size_t)(p - window.p);
            s->off = from + at;
            rc = read_frame(s, e) == 0 ? 1 : e->kind == ERR_DAMAGED ? 0 : -1;
            if (rc == 0)
                err_clear(e);
            s->off = from + at;
        }
        from += n - (n == WINDOW ? sizeof magic - 1 : 0);
    }
    buf_release(&window);
    return rc;
}

int pack_scan(struct store *st, uint64_t id, bool tolerant, const struct pack_visitor *v, uint64_t *ret_end,
              struct err *e)
{
    struct scan s = {.id = id};
    struct stat sb;
    int rc = 0;
    pack_name(id, s.name);
    s.fd = openat(store_packsfd(st), s.name, O_RDONLY | O_CLOEXEC);
    if (s.fd < 0 || fstat(s.fd, &sb) < 0) {
        rc = err_sys(e, errno, "open %s/packs/%s", store_path(st), s.name);
        goto out;
    }
    s.size = (uint64_t)sb.st_size;
    *ret_end = 0;
    while (rc == 0 && s.off < s.size) {
        uint64_t at = s.off;
        rc = scan_frame(&s, v, e);
        if (rc < 0 && tolerant && e->kind == ERR_DAMAGED) {
            struct err why = *e;
            err_clear(e);
            s.pending = false;
            rc = find_frame(&s, at + 1, e);
            if (rc == 0)
                break; /* a cut-off tail */
            if (rc == 1)
                rc = v->damaged ? v->damaged(v->ctx, at, &why, e) : 0;
        } else if (rc == 0) {
            *ret_end = s.off;
        }
    }
out:
    if (s.fd >= 0)
        close(s.fd);
    decoder_free(s.z);
    buf_release(&s.payload);
    buf_release(&s.rows);
    buf_release(&s.frame);
    buf_release(&s.lines);
    return rc;
}

int pack_sealed(struct store *st, uint64_t id, bool *ret_sealed, uint64_t *ret_seq, struct err *e)
{
    struct scan s = {.id = id};
    struct stat sb;
    int rc = 0;
    *ret_sealed = false;
    pack_name(id, s.name);
    s.fd = openat(store_packsfd(st), s.name, O_RDONLY | O_CLOEXEC);
    if (s.fd < 0)
        return errno == ENOENT ? 0 : err_sys(e, errno, "open %s/packs/%s", store_path(st), s.name);
    if (fstat(s.fd, &sb) < 0) {
        rc = err_sys(e, errno, "stat %s/packs/%s", store_path(st), s.name);
    } else if (sb.st_size >= SEAL) {
        s.size = (uint64_t)sb.st_size;
        s.off = s.size - SEAL;
        rc = read_frame(&s, e);
        if (rc == 0 && s.payload.len == PAYLOAD_HEAD + 32 && !memcmp(s.payload.p, kind_seal, 4) &&
            get_u64(s.payload.p + PAYLOAD_HEAD) == s.size - SEAL) {
            *ret_sealed = true;
            *ret_seq = get_u64(s.payload.p + PAYLOAD_HEAD + 8);
        } else if (rc < 0 && e->kind == ERR_DAMAGED) {
            err_clear(e);
            rc = 0;
        }
    }
    close(s.fd);
    buf_release(&s.payload);
    return rc;
}

static int by_id(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

int pack_each(struct store *s, int (*fn)(void *ctx, uint64_t id, uint64_t bytes, struct err *e), void *ctx,
              struct err *e)
{
    struct buf ids = {0};
    struct dirent *de;
    int fd = openat(store_packsfd(s), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        rc = err_sys(e, errno, "list %s/packs", store_path(s));
        if (fd >= 0)
            close(fd);
        return rc;
    }
    while (rc == 0 && (de = readdir(d))) {
        uint64_t id;
        if (pack_parse_name(de->d_name, &id) == 0 && buf_append(&ids, &id, sizeof id) < 0)
            rc = err_nomem(e);
    }
    closedir(d);
    size_t n = ids.len / sizeof(uint64_t);
    uint64_t *v = (uint64_t *)(void *)ids.p;
    if (n)
        qsort(v, n, sizeof *v, by_id);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        char name[PACK_NAME_LEN + 1];
        struct stat sb;
        pack_name(v[i], name);
        /* Removed meanwhile by gc: no longer there, then. */
        if (fstatat(store_packsfd(s), name, &sb, 0) == 0)
            rc = fn(ctx, v[i], (uint64_t)sb.st_size, e);
    }
    buf_release(&ids);
    return rc;
}
