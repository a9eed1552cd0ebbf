/* SPDX-License-Identifier: MIT */
/* lease: seen while its owner lives, gone with it however it ends, its text always whole. */
#include "../../index/lease.h"

#include "teststore.h"

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>

struct seen {
    int n;
    bool torn;
    char last[64];
};

static int see(const char *json, void *ctx)
{
    struct seen *s = ctx;
    size_t n = strlen(json);
    s->n++;
    snprintf(s->last, sizeof s->last, "%s", json);
    for (size_t i = 1; i < n; i++)
        s->torn |= json[i] != json[0];
    s->torn |= n == 0;
    return 0;
}

static int stop(const char *json, void *ctx)
{
    (void)json;
    ++*(int *)ctx;
    return 7;
}

static struct seen look(struct store *s, enum lease_kind kind)
{
    struct seen seen = {0};
    struct err e = {0};
    if (lease_each(s, kind, see, &seen, &e) != 0)
        ok(0, "%s", e.text);
    return seen;
}

static int files(struct store *s)
{
    char path[100];
    int n = 0;
    snprintf(path, sizeof path, "%s/run", store_path(s));
    DIR *d = opendir(path);
    for (struct dirent *de; d && (de = readdir(d));)
        n += de->d_name[0] != '.';
    if (d)
        closedir(d);
    return n;
}

static void life(struct store *s)
{
    struct lease *a, *b;
    struct err e = {0};
    int calls = 0;
    is_int(look(s, LEASE_MOUNT).n, 0, "none at first");
    ok(lease_take(s, LEASE_MOUNT, "aaaa", &a, &e) == 0 && lease_take(s, LEASE_MOUNT, "bb", &b, &e) == 0, "two: %s",
       e.text);
    is_int(look(s, LEASE_MOUNT).n, 2, "are seen by their own process");
    is_int(look(s, LEASE_IMPORT).n, 0, "not as another kind");
    is_int(lease_each(s, LEASE_MOUNT, stop, &calls, &e), 7, "what the callee returns is returned");
    is_int(calls, 1, "and stops");
    lease_drop(b);
    ok(lease_update(a, "xxxxx", &e) == 0, "update: %s", e.text);
    is_str(look(s, LEASE_MOUNT).last, "xxxxx", "new text");
    lease_drop(a);
    lease_drop(NULL);
    is_int(look(s, LEASE_MOUNT).n, 0, "none at the end");
    is_int(files(s), 0, "and no file");
}

static pid_t child(struct store *s, int *ret_fd)
{
    int p[2];
    char c = 1;
    if (pipe(p) < 0)
        exit(1);
    pid_t pid = fork();
    if (pid == 0) {
        static char text[2][20001];
        struct lease *l;
        struct err e = {0};
        memset(text[0], 'a', 100);
        memset(text[1], 'b', sizeof text[1] - 1);
        if (lease_take(s, LEASE_IMPORT, text[0], &l, &e) < 0 || write(p[1], &c, 1) != 1)
            _exit(1);
        for (unsigned i = 0; i < 1000000; i++)
            if (lease_update(l, text[i & 1], &e) < 0)
                _exit(2);
        _exit(0);
    }
    close(p[1]);
    *ret_fd = p[0];
    return pid;
}

static void others(struct store *s)
{
    int fd, status = 0, missed = 0;
    char c;
    bool torn = false;
    pid_t pid = child(s, &fd);
    ok(read(fd, &c, 1) == 1, "another process takes one");
    for (int i = 0; i < 300; i++) {
        struct seen now = look(s, LEASE_IMPORT);
        missed += now.n != 1;
        torn |= now.torn;
    }
    is_int(missed, 0, "times that it wasn't seen, while its text changes");
    ok(!torn, "its text is always whole");
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    close(fd);
    ok(WIFSIGNALED(status), "killed");
    is_int(look(s, LEASE_IMPORT).n, 0, "a killed owner's lease is none");
    is_int(files(s), 0, "and its files are removed");
}

static void readonly(const char *path)
{
    struct store *s;
    struct lease *l;
    struct err e = {0};
    ok(store_open(path, STORE_READONLY, &s, &e) == 0, "read only: %s", e.text);
    ok(lease_take(s, LEASE_MOUNT, "aa", &l, &e) == 0 && lease_update(l, "bb", &e) == 0, "a lease there: %s", e.text);
    is_int(files(s), 0, "writes nothing");
    lease_drop(l);
    store_close(s);
}

int main(void)
{
    struct teststore t = teststore_open();
    char path[80];
    snprintf(path, sizeof path, "%s/store", t.dir);
    life(t.store);
    others(t.store);
    readonly(path);
    teststore_close(&t);
    return tap_done();
}
