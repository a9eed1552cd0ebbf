/* SPDX-License-Identifier: MIT */
#include "opt.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { DISTANCE_MAX_LEN = 63 };

unsigned opt_distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    unsigned d[3][DISTANCE_MAX_LEN + 2];

    if (n > DISTANCE_MAX_LEN || m > DISTANCE_MAX_LEN)
        return strcmp(a, b) ? DISTANCE_MAX_LEN : 0;
    for (unsigned j = 0; j <= m; j++)
        d[0][j] = j;
    for (unsigned i = 1; i <= n; i++) {
        unsigned *row = d[i % 3], *up = d[(i + 2) % 3], *up2 = d[(i + 1) % 3];
        row[0] = i;
        for (unsigned j = 1; j <= m; j++) {
            unsigned best = up[j - 1] + (a[i - 1] != b[j - 1]);
            if (up[j] + 1 < best)
                best = up[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && up2[j - 2] + 1 < best)
                best = up2[j - 2] + 1;
            row[j] = best;
        }
    }
    return d[n % 3][m];
}

bool opt_near(const char *typed, const char *a)
{
    size_t n = strlen(typed);
    if (n >= 3 && !strncmp(typed, a, n))
        return true;
    return opt_distance(typed, a) <= (n < 4 ? 1 : n < 9 ? 2 : 3);
}

int opt_parse_size(const char *s, uint64_t *ret)
{
    uint64_t v = 0;
    const char *p = s;

    for (; *p >= '0' && *p <= '9'; p++) {
        if (v > (UINT64_MAX - 9) / 10)
            return -1;
        v = v * 10 + (uint64_t)(*p - '0');
    }
    if (p == s)
        return -1;
    if (*p) {
        static const char units[] = "KMGT";
        const char *u = strchr(units, *p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p);
        if (!u)
            return -1;
        unsigned shift = 10 * (unsigned)(u - units + 1);
        if (p[1] && strcmp(p + 1, "B") != 0 && strcmp(p + 1, "iB") != 0)
            return -1;
        if (v > UINT64_MAX >> shift)
            return -1;
        v <<= shift;
    }
    *ret = v;
    return 0;
}

struct parse {
    const struct opt_spec *const *specs;
    struct opts *o;
    struct err *e;
};

static const struct opt_spec *by_letter(const struct parse *p, char c)
{
    for (size_t t = 0; p->specs[t]; t++) {
        for (const struct opt_spec *s = p->specs[t]; s->name; s++) {
            if (s->letter == c)
                return s;
        }
    }
    return NULL;
}

/* Whether an earlier table has an option of that name, which then hides this one. */
static bool hidden(const struct parse *p, size_t table, const char *name)
{
    for (size_t t = 0; t < table; t++) {
        for (const struct opt_spec *s = p->specs[t]; s->name; s++) {
            if (!strcmp(s->name, name))
                return true;
        }
    }
    return false;
}

/* Exact, else the only one that begins so. NULL with e set. */
static const struct opt_spec *by_name(const struct parse *p, const char *name, size_t len)
{
    const struct opt_spec *found = NULL, *other = NULL, *near = NULL;
    char typed[DISTANCE_MAX_LEN + 1] = "";

    if (len <= DISTANCE_MAX_LEN)
        memcpy(typed, name, len);
    for (size_t t = 0; p->specs[t]; t++) {
        for (const struct opt_spec *s = p->specs[t]; s->name; s++) {
            if (hidden(p, t, s->name))
                continue;
            if (!strncmp(s->name, name, len)) {
                if (!s->name[len])
                    return s;
                other = found;
                found = s;
            }
            if (*typed && opt_near(typed, s->name) &&
                (!near || opt_distance(typed, s->name) < opt_distance(typed, near->name)))
                near = s;
        }
    }
    if (found && !other && len >= 2)
        return found;
    if (other)
        err_set(p->e, ERR_USAGE, "option '--%.*s' could be --%s or --%s", (int)len, name, other->name, found->name);
    else if (near)
        err_set(p->e, ERR_USAGE, "unknown option '--%.*s' (did you mean --%s?)", (int)len, name, near->name);
    else
        err_set(p->e, ERR_USAGE, "unknown option '--%.*s'", (int)len, name);
    return NULL;
}

static bool is_one_of(const char *values, const char *s)
{
    size_t n = strlen(s);
    for (const char *v = values; v; v = strchr(v, '|') ? strchr(v, '|') + 1 : NULL) {
        if (!strncmp(v, s, n) && (v[n] == '|' || !v[n]))
            return true;
    }
    return false;
}

static int store_value(struct parse *p, const struct opt_spec *s, const char *value)
{
    struct opt_value *v = NULL;

    for (size_t i = 0; i < p->o->n; i++) {
        if (p->o->v[i].spec == s)
            v = &p->o->v[i];
    }
    assert(v);
    if (s->values && !is_one_of(s->values, value))
        return err_set(p->e, ERR_USAGE, "option --%s takes one of %s, not '%s'", s->name, s->values, value);
    if (s->type == OPT_SIZE && opt_parse_size(value, &v->num) < 0)
        return err_set(p->e, ERR_USAGE, "option --%s: '%s' is no size (64M, 1G, …)", s->name, value);
    if (s->type == OPT_NUMBER && (opt_parse_size(value, &v->num) < 0 || value[strspn(value, "0123456789")]))
        return err_set(p->e, ERR_USAGE, "option --%s: '%s' is no number", s->name, value);
    if (s->type == OPT_LIST) {
        const char **list = realloc(v->list, (v->count + 2) * sizeof *list);
        if (!list)
            return err_nomem(p->e);
        v->list = list;
        list[v->count] = value;
        list[v->count + 1] = NULL;
    }
    v->count++;
    v->str = value;
    return 0;
}

/* --name, --name=VALUE, --name VALUE. *i is the index of the last word used. */
static int parse_long(struct parse *p, int argc, char **argv, int *i)
{
    const char *name = argv[*i] + 2, *eq = strchr(name, '=');
    size_t len = eq ? (size_t)(eq - name) : strlen(name);
    const struct opt_spec *s = by_name(p, name, len);

    if (!s)
        return -1;
    if (s->type == OPT_FLAG) {
        if (eq)
            return err_set(p->e, ERR_USAGE, "option --%s takes no value", s->name);
        return store_value(p, s, NULL);
    }
    if (eq)
        return store_value(p, s, eq + 1);
    if (*i + 1 >= argc)
        return err_set(p->e, ERR_USAGE, "option --%s needs a value: --%s %s", s->name, s->name, s->arg);
    *i += 1;
    return store_value(p, s, argv[*i]);
}

/* -a, -abc, -oVALUE, -o VALUE. */
static int parse_short(struct parse *p, int argc, char **argv, int *i)
{
    for (const char *c = argv[*i] + 1; *c; c++) {
        const struct opt_spec *s = by_letter(p, *c);
        if (!s && c[0] == '-')
            return err_set(p->e, ERR_USAGE, "unknown option '%s'", argv[*i]);
        if (!s)
            return err_set(p->e, ERR_USAGE, "unknown option '-%c'%s%s", *c, argv[*i][2] ? " in " : "",
                           argv[*i][2] ? argv[*i] : "");
        if (s->type == OPT_FLAG) {
            if (store_value(p, s, NULL) < 0)
                return -1;
            continue;
        }
        if (c[1])
            return store_value(p, s, c[1] == '=' ? c + 2 : c + 1);
        if (*i + 1 >= argc)
            return err_set(p->e, ERR_USAGE, "option -%c needs a value: -%c %s", *c, *c, s->arg);
        *i += 1;
        return store_value(p, s, argv[*i]);
    }
    return 0;
}

static int make_values(struct parse *p)
{
    size_t n = 0;

    for (size_t t = 0; p->specs[t]; t++) {
        for (const struct opt_spec *s = p->specs[t]; s->name; s++)
            n++;
    }
    p->o->v = calloc(n + 1, sizeof *p->o->v);
    if (!p->o->v)
        return err_nomem(p->e);
    for (size_t t = 0; p->specs[t]; t++) {
        for (const struct opt_spec *s = p->specs[t]; s->name; s++)
            p->o->v[p->o->n++].spec = s;
    }
    return 0;
}

int opts_parse(const struct opt_spec *const *specs, int argc, char **argv, bool stop_at_arg, struct opts *ret,
               char **args, int *ret_arg_count, int *ret_stop, struct err *e)
{
    struct opts o = {0};
    struct parse p = {.specs = specs, .o = &o, .e = e};
    int n = 0, i = 1;
    bool options = true;

    if (make_values(&p) < 0)
        return -1;
    for (; i < argc; i++) {
        char *a = argv[i];
        if (options && !strcmp(a, "--")) {
            options = false;
            continue;
        }
        if (!options || a[0] != '-' || !a[1]) {
            if (stop_at_arg && ret_stop)
                break;
            args[n++] = a;
            options = options && !stop_at_arg;
            continue;
        }
        if ((a[1] == '-' ? parse_long(&p, argc, argv, &i) : parse_short(&p, argc, argv, &i)) < 0) {
            opts_release(&o);
            return -1;
        }
    }
    args[n] = NULL;
    *ret = o;
    *ret_arg_count = n;
    if (ret_stop)
        *ret_stop = i;
    return 0;
}

void opts_release(struct opts *o)
{
    for (size_t i = 0; i < o->n; i++)
        free(o->v[i].list);
    free(o->v);
    *o = (struct opts){0};
}

static const struct opt_value *value_of(const struct opts *o, const char *name)
{
    for (size_t i = 0; i < o->n; i++) {
        if (!strcmp(o->v[i].spec->name, name))
            return &o->v[i];
    }
    assert(!"an option that is in no table");
    return NULL;
}

unsigned opt_flag(const struct opts *o, const char *name)
{
    const struct opt_value *v = value_of(o, name);
    return v ? v->count : 0;
}

const char *opt_str(const struct opts *o, const char *name)
{
    const struct opt_value *v = value_of(o, name);
    return v && v->count ? v->str : NULL;
}

const char *const *opt_list(const struct opts *o, const char *name)
{
    const struct opt_value *v = value_of(o, name);
    return v ? (const char *const *)v->list : NULL;
}

uint64_t opt_num(const struct opts *o, const char *name, uint64_t dflt)
{
    const struct opt_value *v = value_of(o, name);
    return v && v->count ? v->num : dflt;
}
