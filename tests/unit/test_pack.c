/* SPDX-License-Identifier: MIT */
/* pack: what is written is scanned back; plain zstd reads it; every flipped bit of a header is found; a cut-off tail
 * ends the scan where it should. */
#include "../../index/codec.h"
#include "../../index/crypto.h"
#include "../../index/pack.h"

#include "teststore.h"

enum { BLOCKS = 5, CHUNKS = 3, CHUNK = 1000 };

struct seen {
    unsigned blocks, records;
    uint64_t seq, next_no, offs[BLOCKS];
    struct chunk_row first;
    char lines[256];
};

static int on_block(void *ctx, uint64_t off, uint32_t clen, uint32_t rlen, const struct chunk_row *rows, uint32_t n,
                    struct err *e)
{
    struct seen *s = ctx;
    (void)e, (void)clen;
    if (rlen != CHUNKS * CHUNK || n != CHUNKS)
        return err_set(e, ERR_DAMAGED, "wrong block");
    if (s->blocks < BLOCKS)
        s->offs[s->blocks] = off;
    if (!s->blocks++)
        s->first = rows[1];
    return 0;
}

static int on_records(void *ctx, uint64_t seq, const char *lines, size_t n, uint64_t next_no, struct err *e)
{
    struct seen *s = ctx;
    (void)e;
    s->records++;
    s->seq = seq;
    s->next_no = next_no;
    snprintf(s->lines, sizeof s->lines, "%.*s", (int)n, lines);
    return 0;
}

static struct seen scan(struct store *s, uint64_t id, bool tolerant, int *ret_rc, uint64_t *ret_end, struct err *e)
{
    struct seen seen = {0};
    struct pack_visitor v = {.block = on_block, .records = on_records, .ctx = &seen};
    err_clear(e);
    *ret_rc = pack_scan(s, id, tolerant, &v, ret_end, e);
    return seen;
}

static uint64_t write_pack(struct store *s, uint64_t *offs, struct chunk_row *second)
{
    struct pack_writer *w;
    struct encoder *z;
    struct err e = {0};
    static uint8_t raw[CHUNKS * CHUNK];
    if (pack_create(s, &w, &e) < 0 || encoder_new(3, &z, &e) < 0)
        exit(1);
    for (unsigned i = 0; i < BLOCKS; i++) {
        struct chunk_row rows[CHUNKS];
        struct buf frame = {0};
        for (unsigned k = 0; k < CHUNKS; k++) {
            memset(raw + k * CHUNK, (int)(i * 16 + k), CHUNK);
            rows[k] = (struct chunk_row){.off = k * CHUNK, .len = CHUNK};
            sha256_of(raw + k * CHUNK, CHUNK, &rows[k].digest);
        }
        if (!i)
            *second = rows[1];
        encoder_run(z, raw, sizeof raw, &frame, &e);
        ok(pack_writer_block(w, rows, CHUNKS, sizeof raw, frame.p, (uint32_t)frame.len, &offs[i], &e) == 0,
           "block %u: %s", i, e.text);
        buf_release(&frame);
    }
    ok(pack_writer_records(w, 7, "{\"type\":\"a\"}\n", 13, 99, &e) == 0, "records: %s", e.text);
    ok(pack_writer_sync(w, &e) == 0, "sync");
    uint64_t id = pack_writer_id(w);
    encoder_free(z);
    pack_writer_close(w);
    return id;
}

static void names(void)
{
    char name[PACK_NAME_LEN + 1];
    uint64_t id;
    pack_name(0x12ab, name);
    is_str(name, "00000000000012ab.pack", "name");
    ok(pack_parse_name(name, &id) == 0 && id == 0x12ab, "and back");
    ok(pack_parse_name("00000000000012AB.pack", &id) < 0 && pack_parse_name("12ab.pack", &id) < 0 &&
           pack_parse_name("00000000000012ab.tmp.", &id) < 0,
       "other names");
}

/* Each byte of the headers flipped, one at a time: never accepted as it is, never a crash. */
static void flips(struct store *s, uint64_t id, const struct seen *whole)
{
    char name[PACK_NAME_LEN + 1];
    struct stat sb;
    struct err e = {0};
    unsigned tried = 0, missed = 0;
    uint64_t end;
    int rc;
    pack_name(id, name);
    int fd = openat(store_packsfd(s), name, O_RDWR | O_CLOEXEC);
    fstat(fd, &sb);
    for (off_t at = 0; at < sb.st_size; at += 3) {
        uint8_t c;
        if (pread(fd, &c, 1, at) != 1)
            break;
        c ^= 0x40;
        if (pwrite(fd, &c, 1, at) != 1)
            break;
        struct seen now = scan(s, id, false, &rc, &end, &e);
        tried++;
        /* Frames of blocks aren't decoded by a scan; all else must be noticed. */
        bool same = rc == 0 && now.blocks == whole->blocks && now.records == whole->records &&
                    !memcmp(&now.first, &whole->first, sizeof now.first) && !strcmp(now.lines, whole->lines) &&
                    now.seq == whole->seq && now.next_no == whole->next_no;
        missed += rc == 0 && !same;
        missed += rc < 0 && e.kind != ERR_DAMAGED && e.kind != ERR_UNSUPPORTED;
        c ^= 0x40;
        if (pwrite(fd, &c, 1, at) != 1)
            break;
    }
    close(fd);
    is_int(missed, 0, "flipped bits that give something else, of %u", tried);
}

/* Cut at every length: the whole frames before the cut count, the rest is ERR_DAMAGED or (tolerant) ignored. */
static void cuts(struct store *s, uint64_t id)
{
    char name[PACK_NAME_LEN + 1];
    struct stat sb;
    struct err e = {0};
    unsigned bad = 0, sealed = 0;
    uint64_t end;
    int rc;
    pack_name(id, name);
    int fd = openat(store_packsfd(s), name, O_RDWR | O_CLOEXEC);
    fstat(fd, &sb);
    for (off_t n = sb.st_size - 1; n >= 0; n -= 7) {
        if (ftruncate(fd, n) < 0)
            break;
        struct seen t = scan(s, id, true, &rc, &end, &e);
        bad += rc < 0 || end > (uint64_t)n || t.blocks > BLOCKS;
        sealed += t.records;
    }
    close(fd);
    is_int(bad, 0, "a tolerant scan of a cut pack fails");
    is_int(sealed, 0, "records without their seal count");
}

int main(void)
{
    struct teststore t = teststore_open();
    uint64_t offs[BLOCKS], end;
    struct chunk_row second;
    struct err e = {0};
    char cmd[300], name[PACK_NAME_LEN + 1];
    int rc;
    names();
    uint64_t id = write_pack(t.store, offs, &second);
    struct seen seen = scan(t.store, id, false, &rc, &end, &e);
    ok(rc == 0, "scan: %s", e.text);
    is_int(seen.blocks, BLOCKS, "blocks");
    ok(!memcmp(seen.offs, offs, sizeof offs), "where their frames stand");
    ok(digest_eq(&seen.first.digest, &second.digest) && seen.first.off == second.off, "a chunk's row");
    ok(seen.records == 1 && seen.seq == 7 && seen.next_no == 99, "sealed records");
    is_str(seen.lines, "{\"type\":\"a\"}\n", "their lines");
    pack_name(id, name);
    snprintf(cmd, sizeof cmd, "zstd -qdc '%s/packs/%s' | wc -c | grep -qx %d", store_path(t.store), name,
             BLOCKS * CHUNKS * CHUNK + 13);
    if (system("command -v zstd >/dev/null") == 0)
        is_int(system(cmd), 0, "plain zstd reads the pack");
    flips(t.store, id, &seen);
    cuts(t.store, id);
    pack_remove(t.store, id);
    scan(t.store, id, false, &rc, &end, &e);
    ok(rc < 0 && e.kind == ERR_SYSTEM && strstr(e.text, name), "a pack that is gone: %s", e.text);
    teststore_close(&t);
    return tap_done();
}
