/* SPDX-License-Identifier: MIT */
/*
 * tarwrite: headers of a tar archive, POSIX ustar with PAX records where a value doesn't fit (long or non-ASCII
 * names, ids over 2097151, sizes of 8 GiB and above, fractions of a second, times before 1970, xattrs).
 * Equal input gives equal bytes. Reads back with tar.h, Go, GNU tar, libarchive.
 *
 *   per member: tarwrite_header → size payload bytes by the caller → tarwrite_pad; at the end tarwrite_end
 *
 * Everything is appended to a buf, which the caller writes out and empties. Pure functions, any thread.
 */
#ifndef CAIRN_TARWRITE_H
#define CAIRN_TARWRITE_H

#include "../buf.h"
#include "../treewrite.h" /* struct xattr */

struct tarwrite_member {
    char type; /* '0' file, '1' hard link, '2' symlink, '3' char device, '4' block device, '5' directory, '6' fifo */
    const char *name; /* as it shall stand in the archive; a directory gets its "/" here */
    const char *link; /* '1', '2': target; else NULL */
    uint32_t mode;    /* permission bits (07777) */
    uint32_t uid, gid;
    uint64_t size; /* '0' only: bytes that follow */
    int64_t mtime;
    uint32_t mtime_nsec;
    uint32_t devmajor, devminor; /* '3', '4' */
    const struct xattr *xattrs;  /* written in this order */
    size_t xattr_count;
};

/* A plain file of mode 0644, root, time 0: what archives of images are made of. Set name and size. */
#define TARWRITE_FILE                                                                                                  \
    {                                                                                                                  \
        .type = '0', .mode = 0644                                                                                      \
    }

/* Appends the header blocks. ERR_UNSUPPORTED for what tar can't say (an xattr name with '='). */
int tarwrite_header(const struct tarwrite_member *m, struct buf *out, struct err *e);
/* Appends the zeros that follow a payload of that size (0 to 511). */
int tarwrite_pad(uint64_t size, struct buf *out, struct err *e);
/* Appends the two zero blocks that end an archive. */
int tarwrite_end(struct buf *out, struct err *e);

#endif
