/* SPDX-License-Identifier: MIT */
#include "progress.h"

#include "out.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { BAR = 24, EVERY_TTY = 100, EVERY_LINE = 5000 };

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void progress_init(struct progress *p, bool quiet, bool verbose)
{
    *p = (struct progress){.started = now_ms()};
    p->tty = !quiet && isatty(STDERR_FILENO);
    p->lines = !quiet && !p->tty && verbose;
}

static void draw(const char *what, uint64_t done, uint64_t total, int64_t elapsed, unsigned columns, bool tty)
{
    char have[16], all[16], rate[16], bar[BAR + 1], line[256], eta[32] = "";
    uint64_t per_second = elapsed > 0 ? done * 1000 / (uint64_t)elapsed : 0;
    human_size(done, have);
    human_size(total, all);
    human_size(per_second, rate);
    memset(bar, ' ', BAR);
    bar[BAR] = '\0';
    if (total && done <= total) {
        memset(bar, '=', (size_t)((double)done / (double)total * BAR));
        if (per_second)
            snprintf(eta, sizeof eta, ", %" PRIu64 " s left", (total - done) / per_second);
        snprintf(line, sizeof line, "[%s] %s / %s, %s/s%s", bar, have, all, rate, eta);
    } else {
        snprintf(line, sizeof line, "%s, %s/s", have, rate);
    }
    int room = (int)columns - (int)strlen(line) - 2;
    if (tty)
        fprintf(stderr, "\r\033[K%.*s %s", room > 0 ? room : 0, what, line);
    else
        fprintf(stderr, "%s %s\n", what, line);
    fflush(stderr);
}

void progress_show(struct progress *p, const char *what, uint64_t done, uint64_t total)
{
    struct winsize ws;
    int64_t now = now_ms();
    if (!p->tty && !p->lines)
        return;
    /* What takes less than half a second needs no bar. */
    if (now - p->last < (p->tty ? EVERY_TTY : EVERY_LINE) || now - p->started < 500)
        return;
    p->last = now;
    p->drawn = p->tty;
    unsigned columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col ? ws.ws_col : 80;
    draw(what, done, total, now - p->started, columns, p->tty);
}

void progress_end(struct progress *p)
{
    if (p->drawn)
        fputs("\r\033[K", stderr);
    p->drawn = false;
}
