/* SPDX-License-Identifier: MIT */
#include "verify.h"

#include "catalog.h"
#include "catalog_gc.h"
#include "verify_walk.h"

void verify_report(struct verify *v, const char *object, const char *path, uint64_t pack, uint64_t offset,
                   const char *reason)
{
    struct verify_finding f = {object, path, pack, offset, reason};
    v->st->findings++;
    if (v->o->finding)
        v->o->finding(v->o->ctx, &f);
}

bool verify_cancelled(const struct verify *v)
{
    return v->o->cancel && *v->o->cancel;
}

static int check_catalog(struct verify *v)
{
    struct buf text = {0};
    bool good = true;
    int rc = catalog_integrity(store_catalog(v->s), &good, &text, v->e);
    if (rc == 0 && !good)
        verify_report(v, NULL, NULL, 0, 0, text.p ? (const char *)text.p : "the catalog is damaged");
    buf_release(&text);
    return rc;
}

/* A catalog that can't be read is damage, too; the other steps may still find more. */
static int step(struct verify *v, int (*fn)(struct verify *v))
{
    int rc = fn(v);
    if (rc < 0 && v->e->kind == ERR_DAMAGED) {
        verify_report(v, NULL, NULL, 0, 0, v->e->text);
        err_clear(v->e);
        rc = 0;
    }
    return rc;
}

int verify_run(struct store *s, const struct verify_opts *o, struct verify_stats *ret, struct err *e)
{
    struct verify v = {.s = s, .o = o, .st = ret, .e = e};
    *ret = (struct verify_stats){0};
    if (o->no)
        return verify_object(&v, o->no);
    if (digestset_init(&v.good) < 0)
        return err_nomem(e);
    int rc = step(&v, check_catalog);
    if (rc == 0)
        rc = step(&v, verify_packs);
    if (rc == 0)
        rc = step(&v, verify_objects);
    digestset_release(&v.good);
    return rc;
}
