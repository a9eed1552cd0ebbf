/* SPDX-License-Identifier: MIT */
/*
 * What a config says about running an image. Absent, null and empty mean the same throughout.
 */
#include "image.h"
#include "../json.h"
#include "../limits.h"

#include <stdlib.h>

static void free_list(char **v)
{
    for (char **p = v; p && *p; p++)
        free(*p);
    free(v);
}

void image_config_release(struct image_config *c)
{
    free_list(c->entrypoint);
    free_list(c->cmd);
    free_list(c->env);
    free(c->workdir);
    free(c->user);
    free(c->stop_signal);
    free(c->os);
    free(c->arch);
    free(c->created);
    *c = (struct image_config){0};
}

/* Absent, null and empty are the same. */
static int get_text(const struct json *obj, const char *key, char **ret, struct err *e)
{
    const struct json *j = json_get(obj, key);
    enum json_type t = json_type(j);
    const char *s = json_str(j);
    if (t == JSON_ABSENT || t == JSON_NULL || (s && !*s))
        return 0;
    if (!s)
        return err_set(e, ERR_INPUT, "config: %s is not a string", key);
    *ret = strdup(s);
    return *ret ? 0 : err_nomem(e);
}

static int get_list(const struct json *obj, const char *key, char ***ret, struct err *e)
{
    const struct json *j = json_get(obj, key);
    enum json_type t = json_type(j);
    size_t n = json_count(j);
    if (t == JSON_ABSENT || t == JSON_NULL)
        return 0;
    if (t != JSON_ARRAY)
        return err_set(e, ERR_INPUT, "config: %s is not a list", key);
    if (!n)
        return 0;
    char **v = calloc(n + 1, sizeof *v);
    if (!v)
        return err_nomem(e);
    *ret = v;
    for (size_t i = 0; i < n; i++) {
        const char *s = json_str(json_at(j, i));
        if (!s)
            return err_set(e, ERR_INPUT, "config: %s: element %zu is not a string", key, i + 1);
        v[i] = strdup(s);
        if (!v[i])
            return err_nomem(e);
    }
    return 0;
}

static int fill(const struct json *doc, struct image_config *c, struct err *e)
{
    const struct json *run = json_get(doc, "config");
    enum json_type t = json_type(run);
    if (json_type(doc) != JSON_OBJECT)
        return err_set(e, ERR_INPUT, "config is not a JSON object");
    if (t != JSON_ABSENT && t != JSON_NULL && t != JSON_OBJECT)
        return err_set(e, ERR_INPUT, "config: \"config\" is not an object");
    if (get_list(run, "Entrypoint", &c->entrypoint, e) < 0 || get_list(run, "Cmd", &c->cmd, e) < 0 ||
        get_list(run, "Env", &c->env, e) < 0 || get_text(run, "WorkingDir", &c->workdir, e) < 0 ||
        get_text(run, "User", &c->user, e) < 0 || get_text(run, "StopSignal", &c->stop_signal, e) < 0)
        return -1;
    return get_text(doc, "os", &c->os, e) < 0 || get_text(doc, "architecture", &c->arch, e) < 0 ||
                   get_text(doc, "created", &c->created, e) < 0
               ? -1
               : 0;
}

int image_config_parse(const void *p, size_t n, struct image_config *ret, struct err *e)
{
    struct json *doc;
    struct image_config c = {0};
    if (json_parse(p, n, LIMIT_JSON_DOC, "config", &doc, e) < 0)
        return -1;
    int r = fill(doc, &c, e);
    json_unref(doc);
    if (r < 0)
        image_config_release(&c);
    else
        *ret = c;
    return r;
}
