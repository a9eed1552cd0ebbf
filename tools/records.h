/* SPDX-License-Identifier: MIT */
/* records: the records (catalog.h) that commands write: names and removals. NULL: out of memory. */
#ifndef CAIRN_RECORDS_H
#define CAIRN_RECORDS_H

#include "../index/digest.h"
#include "../index/json.h"

/* How long tag and rm wait for mounts to follow. */
enum { RECORDS_MOUNT_WAIT_MS = 2000 };

/* tag NULL: the folder by digest. */
struct json *record_name(const char *repo, const char *tag, const struct digest *manifest);
struct json *record_remove(const char *of, uint32_t no);

#endif
