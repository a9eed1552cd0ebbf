/* SPDX-License-Identifier: MIT */
#include "records.h"

#include <time.h>

static struct json *checked(struct json *j, int rc)
{
    if (rc == 0)
        return j;
    json_unref(j);
    return NULL;
}

struct json *record_name(const char *repo, const char *tag, const struct digest *manifest)
{
    char hex[DIGEST_HEX_LEN + 1];
    struct json *j = json_new_object();
    digest_hex(manifest, hex);
    int rc = json_set(j, "type", json_new_str(tag ? "name" : "digestname")) | json_set(j, "repo", json_new_str(repo));
    if (tag)
        rc |= json_set(j, "tag", json_new_str(tag));
    rc |= json_set(j, "manifest", json_new_str(hex)) | json_set(j, "time", json_new_int((int64_t)time(NULL)));
    return checked(j, rc);
}

struct json *record_remove(const char *of, uint32_t no)
{
    struct json *j = json_new_object();
    int rc = json_set(j, "type", json_new_str("remove")) | json_set(j, "of", json_new_str(of)) |
             json_set(j, "no", json_new_int(no)) | json_set(j, "time", json_new_int((int64_t)time(NULL)));
    return checked(j, rc);
}
