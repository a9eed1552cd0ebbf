/* SPDX-License-Identifier: MIT */
/* push: see push.h. */
#include "push.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    WINDOW = 64, /* nodes pushed ahead of the reader */
    GAP = 32,    /* nodes that a reader in order may skip (directories, links, large files) */
    STREAK = 2,  /* reads in order before anything is pushed */
    LANES = 8,   /* readers in order that are told apart, by object */
    JOBS = 16,   /* beyond that, pushing isn't keeping up anyway */
    MISSES = 2,  /* files in a row that the kernel doesn't know: the reader hasn't listed them yet */
};

struct lane {
    uint32_t no, last; /* node read last */
    uint32_t done;     /* nodes up to here were pushed */
    unsigned streak;
    uint64_t used;
};

struct job {
    uint32_t no, from, to; /* [from, to] */
};

struct push {
    struct fs *fs;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct lane lane[LANES];
    struct job job[JOBS];
    unsigned head, count;
    uint64_t clock;
    bool stop, joined;
};

static struct lane *lane_of(struct push *p, uint32_t no)
{
    struct lane *oldest = &p->lane[0];
    for (int i = 0; i < LANES; i++) {
        if (p->lane[i].no == no)
            return &p->lane[i];
        if (p->lane[i].used < oldest->used)
            oldest = &p->lane[i];
    }
    *oldest = (struct lane){.no = no};
    return oldest;
}

void push_note(struct push *p, uint32_t no, uint32_t node)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    struct lane *l = lane_of(p, no);
    l->used = ++p->clock;
    if (node > l->last && node - l->last <= WINDOW + GAP)
        l->streak++;
    else {
        l->streak = 0;
        l->done = node;
    }
    l->last = node;
    if (l->done < node)
        l->done = node;
    /* A new piece once half of the last one is behind the reader. */
    if (l->streak >= STREAK && l->done - node <= WINDOW / 2 && p->count < JOBS && node < UINT32_MAX - WINDOW) {
        p->job[(p->head + p->count++) % JOBS] = (struct job){.no = no, .from = l->done + 1, .to = node + WINDOW};
        l->done = node + WINDOW;
        pthread_cond_signal(&p->wake);
    }
    pthread_mutex_unlock(&p->lock);
}

/* The kernel knows nothing from here on: try again from here when the reader has come nearer. */
static void take_back(struct push *p, const struct job *j, uint32_t node)
{
    pthread_mutex_lock(&p->lock);
    for (int i = 0; i < LANES; i++)
        if (p->lane[i].no == j->no && p->lane[i].done == j->to)
            p->lane[i].done = node - 1;
    pthread_mutex_unlock(&p->lock);
}

/* 0, or the kernel's errno. */
static int push_file(struct push *p, const struct loaded_tree *lt, uint32_t node, const struct tree_node *n, char *buf)
{
    struct content_map m;
    struct err e = {0};
    size_t got = 0;
    treecache_map(lt, n->content, &m);
    /* Damage is for those who read the file. */
    if (reader_pread(p->fs->view.reader, &m, buf, n->size, 0, &got, &e) < 0 || got != n->size)
        return 0;
    struct fuse_bufvec v = FUSE_BUFVEC_INIT(got);
    v.buf[0].mem = buf;
    return -fuse_lowlevel_notify_store(p->fs->se, nodeid_make(lt->no, node), 0, &v, FUSE_BUF_NO_SPLICE);
}

static bool is_stopped(struct push *p)
{
    pthread_mutex_lock(&p->lock);
    bool r = p->stop;
    pthread_mutex_unlock(&p->lock);
    return r;
}

static void do_job(struct push *p, const struct job *j, char *buf)
{
    const struct loaded_tree *lt = NULL;
    struct err e = {0};
    unsigned misses = 0;
    uint32_t first_miss = 0;
    if (trees_get(&p->fs->view.trees, j->no, &lt, &e) < 0)
        return;
    for (uint32_t i = j->from; i <= j->to && i < tree_node_count(lt->tree) && misses < MISSES && !is_stopped(p); i++) {
        const struct tree_node *n = tree_node(lt->tree, i);
        if (!S_ISREG(n->mode) || n->content == TREE_NONE || n->size > PUSH_MAX || (n->flags & NODE_HARDLINK))
            continue;
        int r = push_file(p, lt, i, n, buf);
        if (r == ENOENT && misses++ == 0)
            first_miss = i;
        else if (r != ENOENT)
            misses = 0;
    }
    trees_put(&p->fs->view.trees, lt);
    if (misses)
        take_back(p, j, first_miss);
}

static void *run(void *arg)
{
    struct push *p = arg;
    char *buf = malloc(PUSH_MAX);
    pthread_mutex_lock(&p->lock);
    while (!p->stop && buf) {
        if (p->count == 0) {
            pthread_cond_wait(&p->wake, &p->lock);
            continue;
        }
        struct job j = p->job[p->head];
        p->head = (p->head + 1) % JOBS;
        p->count--;
        pthread_mutex_unlock(&p->lock);
        do_job(p, &j, buf);
        pthread_mutex_lock(&p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    free(buf);
    return NULL;
}

int push_start(struct fs *fs, struct push **ret, struct err *e)
{
    struct push *p = calloc(1, sizeof *p);
    if (!p)
        return err_nomem(e);
    p->fs = fs;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    int r = pthread_create(&p->thread, NULL, run, p);
    if (r != 0) {
        free(p);
        return err_sys(e, r, "start a thread");
    }
    *ret = p;
    return 0;
}

void push_stop(struct push *p)
{
    if (!p || p->joined)
        return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    p->joined = true;
}

void push_free(struct push *p)
{
    if (!p)
        return;
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
