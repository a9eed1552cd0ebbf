/* SPDX-License-Identifier: MIT */
/* Open pack files: bound, sweeping, missing packs; and the background jobs of the reader (prefetch.h). */
#include "../../index/packfds.h"
#include "../../index/prefetch.h"
#include "tap.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static int open_files(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

static void packs(void)
{
    char dir[] = "/tmp/test_packfds.XXXXXX", name[32], c;
    struct err e = {0};
    struct packfds *f;
    int fd, fds[6], bad = 0, before;
    if (!mkdtemp(dir))
        exit(1);
    int dirfd = open(dir, O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "%016x.pack", i);
        fd = openat(dirfd, name, O_CREAT | O_WRONLY, 0600);
        c = (char)('a' + i);
        if (fd < 0 || write(fd, &c, 1) != 1)
            exit(1);
        close(fd);
    }
    before = open_files();
    ok(!packfds_new(dirfd, "/the/store", 3, &f, &e), "new");
    for (uint64_t i = 0; i < 6; i++) {
        bad += packfds_get(f, i, &fd, &e) < 0 || pread(fd, &c, 1, 0) != 1 || c != 'a' + (char)i;
        packfds_put(f, i);
    }
    ok(!bad, "each pack is the right one");
    is_int(open_files() - before, 3, "no more files open than the bound");
    for (uint64_t i = 0; i < 6; i++)
        bad += packfds_get(f, i, &fds[i], &e) < 0;
    ok(!bad && open_files() - before == 6, "more while they are in use");
    for (int i = 0; i < 6; i++)
        bad += pread(fds[i], &c, 1, 0) != 1 || c != 'a' + i;
    ok(!bad, "and all can be read");
    for (uint64_t i = 0; i < 6; i++)
        packfds_put(f, i);
    packfds_sweep(f);
    ok(!packfds_get(f, 2, &fd, &e), "one is used again");
    is_int(packfds_sweep(f), 1, "the others are closed");
    packfds_put(f, 2);
    is_int(packfds_sweep(f), 0, "and that one later");
    is_int(open_files(), before, "no file is left open");

    ok(packfds_get(f, 0xabc, &fd, &e) < 0 && e.kind == ERR_NOT_FOUND, "no such pack");
    is_str(e.text, "/the/store/packs/0000000000000abc.pack is missing", "message");
    ok(!packfds_get(f, 0, &fd, &e), "one open");
    packfds_put(f, 0);
    struct rlimit old, tight;
    getrlimit(RLIMIT_NOFILE, &old);
    tight = old;
    tight.rlim_cur = (rlim_t)fd + 1;
    setrlimit(RLIMIT_NOFILE, &tight);
    ok(!packfds_get(f, 1, &fd, &e), "out of descriptors, an idle one makes room: %s", e.text);
    ok(packfds_get(f, 3, &fd, &e) < 0 && e.kind == ERR_SYSTEM, "none idle");
    is_str(e.text, "open /the/store/packs/0000000000000003.pack: Too many open files", "message");
    setrlimit(RLIMIT_NOFILE, &old);
    packfds_put(f, 1);
    packfds_free(f);
    packfds_free(NULL);
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "%016x.pack", i);
        unlinkat(dirfd, name, 0);
    }
    close(dirfd);
    rmdir(dir);
}

struct seen {
    _Atomic int sum, count, gate;
};

static void run(void *ctx, const void *job)
{
    struct seen *s = ctx;
    while (s->gate)
        usleep(1000);
    s->sum += *(const int *)job;
    s->count++;
}

static bool idle(void *ctx)
{
    (void)ctx;
    return false;
}

static void background(void)
{
    struct err e = {0};
    struct seen s = {.gate = 1};
    struct prefetch_opts o = {.threads = 2, .jobs = 4, .job_size = sizeof(int), .run = run, .idle = idle, .ctx = &s};
    struct prefetch *p;
    int taken = 0;
    ok(!prefetch_new(&o, &p, &e), "new");
    for (int i = 1; i <= 100; i++)
        taken += prefetch_add(p, &(int){1});
    ok(taken >= 4 && taken <= 6, "what doesn't fit is dropped: %d taken", taken);
    s.gate = 0;
    for (int i = 0; i < 2000 && s.count < taken; i++)
        usleep(1000);
    is_int(s.sum, taken, "what was taken is done");
    s.gate = 1;
    for (int i = 0; i < 5; i++)
        prefetch_add(p, &(int){1});
    s.gate = 0;
    prefetch_free(p);
    prefetch_free(NULL);
    ok(!prefetch_new(&o, &p, &e), "one that never gets a job");
    prefetch_free(p);
}

int main(void)
{
    packs();
    background();
    return tap_done();
}
