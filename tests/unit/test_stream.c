/* SPDX-License-Identifier: MIT */
/* Streams: memory, descriptors (whole and a range), hashing; truncation with kind and message. */
#include "../../index/stream.h"
#include "tap.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static void memory(void)
{
    struct err e = {0};
    struct stream *s;
    const uint8_t *p;
    uint8_t b[8];
    size_t n;
    ok(!stream_open_mem("hello world", 11, &s, &e), "open");
    ok(!stream_run(s, 5, &p, &n, &e) && n == 5 && !memcmp(p, "hello", 5), "a run, bounded");
    ok(!stream_need(s, b, 1, "x", &e) && b[0] == ' ', "need");
    ok(!stream_run(s, 0, &p, &n, &e) && n == 0, "no bytes asked, none given");
    ok(!stream_read(s, b, sizeof b, &n, &e) && n == 5 && !memcmp(b, "world", 5), "read is short at the end only");
    is_int(s->pos, 11, "position");
    ok(!stream_run(s, 5, &p, &n, &e) && n == 0, "end");
    ok(!stream_run(s, 5, &p, &n, &e) && n == 0, "end again");
    stream_close(s);

    ok(!stream_open_mem("12345", 5, &s, &e) && !stream_skip(s, 2, "x", &e), "skip");
    ok(stream_need(s, b, 4, "header", &e) < 0 && e.kind == ERR_INPUT, "truncated");
    is_str(e.text, "header: truncated: 4 bytes wanted at offset 2, 3 left", "message");
    stream_close(s);
    ok(!stream_open_mem("12345", 5, &s, &e) && stream_skip(s, UINT64_MAX, "pad", &e) < 0 && e.kind == ERR_INPUT,
       "skip beyond the end");
    is_str(e.text, "pad: truncated: 18446744073709551615 bytes wanted at offset 0, 5 left", "message");
    stream_close(s);
    stream_close(NULL);
}

static int temp_with(const void *p, size_t n)
{
    char path[] = "/tmp/test_stream.XXXXXX";
    int fd = mkstemp(path);
    if (fd >= 0)
        unlink(path);
    if (fd < 0 || write(fd, p, n) != (ssize_t)n || lseek(fd, 0, SEEK_SET) < 0)
        exit(1);
    return fd;
}

static void descriptors(void)
{
    static uint8_t big[700000], back[700000];
    struct err e = {0};
    struct stream *s;
    size_t n;
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (uint8_t)(i >> 8 ^ i);
    int fd = temp_with(big, sizeof big);
    ok(!stream_open_fd(fd, false, 0, UINT64_MAX, &s, &e) && !stream_read(s, back, sizeof back, &n, &e) &&
           n == sizeof big && !memcmp(big, back, n),
       "whole file");
    ok(!stream_read(s, back, 1, &n, &e) && !n, "end");
    stream_close(s);
    ok(!stream_open_fd(fd, false, 1000, 600000, &s, &e) && !stream_read(s, back, sizeof back, &n, &e) && n == 600000 &&
           !memcmp(big + 1000, back, n),
       "range");
    stream_close(s);
    ok(!stream_open_fd(fd, false, 699000, 2000, &s, &e) && stream_drain(s, &e) < 0 && e.kind == ERR_INPUT,
       "range beyond the end");
    is_str(e.text, "truncated: the file ends at offset 700000, 1000 bytes early", "message");
    stream_close(s);
    ok(stream_open_fd(fd, false, UINT64_MAX - 1, 5, &s, &e) < 0 && e.kind == ERR_INPUT, "absurd range");
    ok(!stream_open_fd(fd, true, 0, 0, &s, &e) && !stream_drain(s, &e), "empty range");
    stream_close(s);
    ok(close(fd) < 0 && errno == EBADF, "an owned descriptor is closed");
    ok(!stream_open_fd(-1, false, 0, UINT64_MAX, &s, &e) && stream_drain(s, &e) < 0 && e.kind == ERR_SYSTEM &&
           e.errnum == EBADF,
       "read error");
    is_str(e.text, "read: Bad file descriptor", "message");
    stream_close(s);
}

static void hashing(void)
{
    struct err e = {0};
    struct stream *m, *s;
    struct digest d, want;
    uint8_t b[4];
    uint64_t len;
    ok(!stream_open_mem("abcdef", 6, &m, &e) && !stream_open_hash(m, &s, &e), "open");
    ok(!stream_need(s, b, 4, "x", &e), "some of it");
    ok(stream_hash_final(s, &d, &len, &e) < 0 && e.kind == ERR_USAGE, "too early");
    is_str(e.text, "the stream's digest isn't known before its end was read", "message");
    ok(!stream_drain(s, &e) && !stream_hash_final(s, &d, &len, &e) && len == 6, "drained");
    sha256_of("abcdef", 6, &want);
    ok(digest_eq(&d, &want), "digest");
    ok(!stream_drain(s, &e) && !stream_hash_final(s, &d, NULL, &e) && digest_eq(&d, &want), "again");
    stream_close(s);
    ok(!stream_open_mem("", 0, &m, &e) && stream_hash_final(m, &d, &len, &e) < 0 && e.kind == ERR_USAGE,
       "no hash stream");
    stream_close(m);
}

int main(void)
{
    memory();
    descriptors();
    hashing();
    return tap_done();
}
