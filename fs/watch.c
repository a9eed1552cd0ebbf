/* SPDX-License-Identifier: MIT */
/* watch: see watch.h. */
#include "watch.h"

#include "../index/json.h"

#include "mountinfo.h"
#include "shed.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

/*
 * The events come while a commit is being written; it counts only after its fsync, by a change of shared memory that
 * makes no event. So look every few milliseconds for a while after the last event.
 */
enum { IDLE_MS = 500, HOT_MS = 2, HOT_LOOKS = 150 };
/* Pauses between asking the kernel to let go of removed objects. */
enum { SHED_FIRST_MS = 500, SHED_LAST_MS = 300000 };

struct watch {
    struct fs *fs;
    struct lease *lease;
    char *mountpoint;
    pthread_t thread;
    int inotify; /* -1: none; polling alone will do */
    int stop;
    _Atomic bool stopping;
    uint64_t shed_at, shed_pause; /* when next, ms; 0: nothing to shed */
    uint64_t seq;                 /* as the lease says */
    uint32_t *held;
    uint32_t held_count;
};

static int lease_text(const char *mountpoint, uint64_t seq, const uint32_t *held, uint32_t n, struct buf *b,
                      struct err *e)
{
    struct json *j = json_new_object(), *list = json_new_array();
    int r = 0;
    for (uint32_t i = 0; i < n; i++)
        r |= json_add(list, json_new_int(held[i]));
    r |= json_set(j, "pid", json_new_int(getpid()));
    r |= json_set(j, "mountpoint", json_new_str(mountpoint));
    r |= json_set(j, "seq", json_new_int((int64_t)seq));
    r |= json_set(j, "held", list);
    if (r == 0)
        r = json_dump(j, 0, b);
    json_unref(j);
    return r == 0 ? 0 : err_nomem(e);
}

int watch_lease_text(struct fs *fs, const char *mountpoint, struct buf *b, struct err *e)
{
    struct objects_change c;
    if (objects_drain(fs->view.objects, &c, e) < 0)
        return -1;
    int r = lease_text(mountpoint, c.seq, c.held, c.held_count, b, e);
    objects_change_release(&c);
    return r;
}

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Tells the others, if there is something new. */
static int update_lease(struct watch *w, struct objects_change *c, struct err *e)
{
    struct buf b = {0};
    bool same = c->seq == w->seq && c->held_count == w->held_count &&
                (c->held_count == 0 || memcmp(c->held, w->held, c->held_count * sizeof *c->held) == 0);
    if (same)
        return 0;
    int r = lease_text(w->mountpoint, c->seq, c->held, c->held_count, &b, e);
    if (r == 0 && w->lease)
        r = lease_update(w->lease, (const char *)b.p, e);
    buf_release(&b);
    if (r < 0)
        return err_wrap(e, "tell other processes what the mount uses");
    if (c->held_count > w->held_count) {
        w->shed_pause = SHED_FIRST_MS;
        w->shed_at = now_ms() + SHED_FIRST_MS;
    }
    free(w->held);
    w->held = c->held;
    w->held_count = c->held_count;
    w->seq = c->seq;
    c->held = NULL;
    c->held_count = 0;
    return 0;
}

static void drop_names(struct watch *w, const struct objects_change *c)
{
    struct fuse_session *se = w->fs->se;
    bool bound = c->gone_count && mountinfo_has_parts(w->fs->dev);
    for (uint32_t i = 0; i < c->gone_count; i++) {
        const char *name = c->gone[i].name;
        uint64_t dir = view_list_id(c->gone[i].list);
        /* What the kernel doesn't know is ENOENT: as good as dropped. ENOSYS: it can't let it expire (Linux
         * before 6.2). */
        if (!bound || fuse_lowlevel_notify_expire_entry(se, dir, name, strlen(name), FUSE_LL_EXPIRE_ONLY) == -ENOSYS)
            fuse_lowlevel_notify_inval_entry(se, dir, name, strlen(name));
    }
    for (int i = 0; i < LIST_COUNT; i++)
        if (c->listing[i])
            fuse_lowlevel_notify_inval_inode(se, view_list_id((enum object_list)i), -1, 0);
}

/* More and more rarely, as long as the same objects are in use. */
static void shed(struct watch *w)
{
    uint64_t now = now_ms();
    if (w->held_count == 0 || now < w->shed_at)
        return;
    bool bound = mountinfo_has_parts(w->fs->dev);
    for (uint32_t i = 0; i < w->held_count && !bound && !atomic_load(&w->stopping); i++)
        shed_object(w->fs, w->held[i], &w->stopping);
    w->shed_pause = w->shed_pause * 2 < SHED_LAST_MS ? w->shed_pause * 2 : SHED_LAST_MS;
    w->shed_at = now + w->shed_pause;
}

static void take_in(struct watch *w)
{
    struct objects_change c;
    struct err e = {0};
    if (objects_drain(w->fs->view.objects, &c, &e) < 0) {
        logonce(&w->fs->log, "%s", e.text);
        return;
    }
    drop_names(w, &c);
    /* Only now: whoever waits for this may rely on the dentries being gone. */
    if (update_lease(w, &c, &e) < 0)
        logonce(&w->fs->log, "%s", e.text);
    objects_change_release(&c);
    shed(w);
    trees_reap(&w->fs->view.trees);
}

/* True when one of the events is about the catalog. */
static bool read_events(int fd)
{
    _Alignas(struct inotify_event) char buf[sizeof(struct inotify_event) + NAME_MAX + 1 + 4096];
    static const char prefix[] = "catalog.db";
    bool hit = false;
    for (;;) {
        ssize_t n = read(fd, buf, sizeof buf);
        if (n <= 0)
            return hit;
        for (char *p = buf; p < buf + n;) {
            struct inotify_event ev;
            memcpy(&ev, p, sizeof ev);
            if ((ev.mask & IN_Q_OVERFLOW) || (ev.len && strncmp(p + sizeof ev, prefix, sizeof prefix - 1) == 0))
                hit = true;
            p += sizeof ev + ev.len;
        }
    }
}

static void *run(void *arg)
{
    struct watch *w = arg;
    int hot = 0;
    for (;;) {
        struct pollfd p[2] = {{.fd = w->stop, .events = POLLIN}, {.fd = w->inotify, .events = POLLIN}};
        int r = poll(p, 2, hot > 0 ? HOT_MS : IDLE_MS);
        if (r < 0 && errno != EINTR)
            break;
        if (r > 0 && p[0].revents)
            break;
        if (r > 0 && p[1].revents && read_events(w->inotify))
            hot = HOT_LOOKS;
        else if (hot > 0)
            hot--;
        take_in(w);
    }
    return NULL;
}

int watch_start(struct fs *fs, struct lease *lease, const char *mountpoint, struct watch **ret, struct err *e)
{
    struct watch *w = calloc(1, sizeof *w);
    char folder[64];
    if (!w)
        return err_nomem(e);
    w->fs = fs;
    w->lease = lease;
    w->mountpoint = strdup(mountpoint);
    w->stop = eventfd(0, EFD_CLOEXEC);
    w->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    snprintf(folder, sizeof folder, "/proc/self/fd/%d", store_dirfd(fs->view.s));
    if (w->inotify >= 0 && inotify_add_watch(w->inotify, folder, IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0) {
        close(w->inotify);
        w->inotify = -1;
    }
    int r = !w->mountpoint || w->stop < 0 ? ENOMEM : pthread_create(&w->thread, NULL, run, w);
    if (r != 0) {
        close(w->stop);
        close(w->inotify);
        free(w->mountpoint);
        free(w);
        return err_sys(e, r, "start the thread that follows the store");
    }
    *ret = w;
    return 0;
}

void watch_stop(struct watch *w)
{
    uint64_t one = 1;
    if (!w)
        return;
    atomic_store(&w->stopping, true);
    while (write(w->stop, &one, sizeof one) < 0 && errno == EINTR)
        ;
    pthread_join(w->thread, NULL);
    close(w->stop);
    if (w->inotify >= 0)
        close(w->inotify);
    free(w->held);
    free(w->mountpoint);
    free(w);
}
