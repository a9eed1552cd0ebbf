/* SPDX-License-Identifier: MIT */
/* What commands print: tables, sizes, ages, times, JSON, names, and errors of writing. */
#include "../../tools/out.h"
#include "capture.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <time.h>

#define NODE "caf\xc3\xa9"

static void test_tables(void)
{
    struct table t;
    struct err e = {0};
    table_init(&t, "NAME|>SIZE|AGE");
    table_cell(&t, NODE); /* five bytes, four characters */
    table_cell(&t, "12MB");
    table_cell(&t, "just now");
    table_cell(&t, "longer name");
    table_cellf(&t, "%d", 7);
    table_cell(&t, "x\xe2\x80\xa6");
    table_cell(&t, "");
    table_cell(&t, "");
    table_cell(&t, "");
    capture_begin(STDOUT_FILENO);
    int rc = table_print(&t, &e);
    char *got = capture_end();
    is_int(rc, 0, "table printed");
    is_str(got,
           "NAME          SIZE   AGE\n" NODE
           "          12MB   just now\nlonger name      7   x\xe2\x80\xa6\n            "
           "         \n",
           "columns are aligned by characters, right where asked, the last one isn't filled up");
    free(got);
    table_release(&t);
    ok(!t.cells && !t.right, "released");

    table_init(&t, "ONE");
    table_cell(&t, "a\nb\tc\x1b[31md\x7f"
                   "e\xc2\x9b"
                   "f");
    capture_begin(STDOUT_FILENO);
    rc = table_print(&t, &e);
    got = capture_end();
    ok(rc == 0 && !strcmp(got, "ONE\na b c [31md e f\n"), "control characters in cells are blanks");
    free(got);
    table_release(&t);

    /* A format's result is cut, a cell isn't; many rows. */
    char *longest = malloc(5001);
    memset(longest, 'x', 5000);
    longest[5000] = '\0';
    table_init(&t, ">N|TEXT");
    for (int i = 0; i < 500; i++) {
        table_cellf(&t, "%d", i);
        table_cell(&t, i == 250 ? longest : "y");
    }
    capture_begin(STDOUT_FILENO);
    rc = table_print(&t, &e);
    got = capture_end();
    size_t lines = 0;
    for (const char *p = got; (p = strchr(p, '\n')); p++)
        lines++;
    ok(rc == 0 && lines == 501 && strlen(got) > 5000 && strstr(got, "\n499   y\n"), "500 rows, one very long");
    free(got);
    free(longest);
    table_release(&t);
}

static void test_sizes(void)
{
    static const struct {
        uint64_t n;
        const char *want;
    } v[] = {{0, "0B"},
             {1, "1B"},
             {999, "999B"},
             {1000, "1.00kB"},
             {1004, "1.00kB"},
             {1006, "1.01kB"},
             {9994, "9.99kB"},
             {9996, "10.0kB"},
             {99940, "99.9kB"},
             {99960, "100kB"},
             {999499, "999kB"},
             {999500, "1.00MB"},
             {187700000, "188MB"},
             {1000000000, "1.00GB"},
             {12345678901234, "12.3TB"},
             {999500000000000, "1.00PB"},
             {UINT64_MAX, "18.4EB"}};
    char out[16];
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        human_size(v[i].n, out);
        is_str(out, v[i].want, "%" PRIu64 " bytes", v[i].n);
    }
}

static void test_ages(void)
{
    /* In the middle of what counts as the same, so that a tick of the clock changes nothing. */
    static const struct {
        int64_t age;
        const char *want;
    } v[] = {{0, "just now"},
             {-5000, "just now"},
             {90, "1 minute ago"},
             {150, "2 minutes ago"},
             {3600 + 60, "1 hour ago"},
             {23 * 3600 + 60, "23 hours ago"},
             {86400 + 60, "1 day ago"},
             {6 * 86400 + 60, "6 days ago"},
             {7 * 86400 + 60, "1 week ago"},
             {29 * 86400 + 60, "4 weeks ago"},
             {31 * 86400 + 60, "1 month ago"},
             {360 * 86400, "11 months ago"},
             {366 * 86400, "1 year ago"},
             {40LL * 31557600 + 60, "40 years ago"}};
    char out[32];
    int64_t now = (int64_t)time(NULL);
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        human_age(now - v[i].age, out);
        is_str(out, v[i].want, "%" PRId64 " seconds", v[i].age);
    }
    human_age(now - 30, out);
    ok(!strcmp(out, "30 seconds ago") || !strcmp(out, "31 seconds ago"), "seconds: %s", out);
    human_age(INT64_MAX, out);
    is_str(out, "just now", "the end of time");
    human_age(INT64_MIN, out);
    ok(strstr(out, " years ago"), "the beginning of time: %s", out);
    rfc3339(1700000000, out);
    is_str(out, "2023-11-14T22:13:20Z", "a time");
    rfc3339(-1, out);
    is_str(out, "1969-12-31T23:59:59Z", "before 1970");
    rfc3339(INT64_MAX, out);
    is_str(out, "9223372036854775807", "beyond the calendar");
}

static void test_json(void)
{
    struct err e = {0};
    struct json *j = json_new_object();
    int rc = json_set(j, "name", json_new_str("a\x1b\"")) | json_set(j, "n", json_new_int(-1));
    capture_begin(STDOUT_FILENO);
    rc |= out_json(j, &e);
    char *got = capture_end();
    ok(rc == 0 && got[strlen(got) - 1] == '\n' && strcasestr(got, "\"a\\u001b\\\"\""), "one document, escaped: %s",
       got);
    free(got);
    is_int(out_json(NULL, &e), -1, "no document");
    is_int(e.kind, ERR_NOMEM, "means no memory");
}

static void printed(const char *name, size_t n, const char *want, const char *what)
{
    capture_begin(STDOUT_FILENO);
    out_name(name, n);
    char *got = capture_end();
    is_str(got, want, "%s", what);
    free(got);
}

static void plain(const char *text, char instead, const char *want)
{
    char s[64];
    snprintf(s, sizeof s, "%s", text);
    is_str(out_plain(s, instead), want, "made plain");
    ok(out_plain(s, instead) == s, "in place");
}

/* What out_name prints on a terminal: a child's standard output is one. */
static void test_terminal(void)
{
    int m = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    char *name = m >= 0 && grantpt(m) == 0 && unlockpt(m) == 0 ? ptsname(m) : NULL;
    int s = name ? open(name, O_RDWR | O_NOCTTY | O_CLOEXEC) : -1;
    if (s < 0) {
        ok(1, "escapes on a terminal # SKIP no pseudo terminal to be had");
        return;
    }
    fflush(NULL);
    int saved = dup(STDOUT_FILENO);
    dup2(s, STDOUT_FILENO);
    out_name("a\x1b[31m\x7f\n\xc2\x9b\xc3\xa9\\", 13);
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    char got[128];
    ssize_t n = read(m, got, sizeof got - 1);
    got[n > 0 ? n : 0] = '\0';
    is_str(got, "a\\033[31m\\177\\012\\302\\233\xc3\xa9\\", "on a terminal control characters are shown in octal");
    close(s);
    close(m);
}

static void test_names(void)
{
    printed("a\x1b[31m\n\xff", 8, "a\x1b[31m\n\xff", "elsewhere names are printed byte by byte");
    printed("abcdef", 3, "abc", "n bytes of it");
    printed("", 0, "", "nothing");
    plain("a\x1b[0m\nb\x7f", '?', "a?[0m?b?");
    plain("\xc2\x80x\xc2\x9f\xc2\xa0", '?', "?x?\xc2\xa0");
    plain("\xc2", '?', "\xc2");
    plain(NODE, ' ', NODE);
    plain("", '?', "");
}

/* A full disk and a reader that is gone, by what standard output is. */
static void write_error(int fd, int want, const char *what)
{
    struct err e = {0};
    fflush(NULL);
    int saved = dup(STDOUT_FILENO);
    dup2(fd, STDOUT_FILENO);
    fputs("something", stdout);
    int rc = out_finish(&e);
    clearerr(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    close(fd);
    is_int(rc, -1, "%s is noticed", what);
    ok(e.kind == ERR_SYSTEM && e.errnum == want, "as a system error");
    ok(!strncmp(e.text, "write standard output: ", 23), "%s", e.text);
}

static void test_finish(void)
{
    struct err e = {0};
    is_int(out_finish(&e), 0, "all is written");
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC), fds[2];
    if (full < 0)
        ok(1, "a full disk # SKIP no /dev/full");
    else
        write_error(full, ENOSPC, "a full disk");
    signal(SIGPIPE, SIG_IGN);
    if (pipe(fds) == 0) {
        close(fds[0]);
        write_error(fds[1], EPIPE, "a closed pipe");
    }
}

int main(void)
{
    test_tables();
    test_sizes();
    test_ages();
    test_json();
    test_names();
    test_terminal();
    test_finish();
    return tap_done();
}
