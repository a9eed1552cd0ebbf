/* SPDX-License-Identifier: MIT */
/* mountinfo: lines of /proc/self/mountinfo, and what is mounted here. */
#include "../../fs/mountinfo.h"

#include "tap.h"

#include <sys/sysmacros.h>

static void test_lines(void)
{
    struct mount_entry m;
    const char *path = NULL;
    char plain[] = "36 35 98:7 / /mnt rw,noatime master:1 shared:2 - fuse.cairn /var/lib/cairn ro,user_id=0\n";
    char odd[] = "1 2 0:45 / /a\\040b\\134c\\011 rw - ext4 /dev/x rw\n";
    char dash[] = "1 2 0:45 / /- rw - tmpfs - rw\n";
    ok(mountinfo_line(plain, &path, &m), "with optional fields");
    is_str(path, "/mnt", "path");
    is_str(m.type, FS_TYPE, "type");
    ok(m.dev == makedev(98, 7) && !m.part, "device, the whole of it");
    char bound[] = "1 2 0:45 /images/x/rootfs /y rw - fuse.cairn a ro\n";
    ok(mountinfo_line(bound, &path, &m) && m.part, "a part of one");
    ok(mountinfo_line(odd, &path, &m), "without");
    is_str(path, "/a b\\c\t", "escapes");
    ok(mountinfo_line(dash, &path, &m), "a path that is a dash");
    is_str(path, "/-", "path");
    is_str(m.type, "tmpfs", "type");
    const char *const bad[] = {"", "1 2 3", "1 2 0:45 / /x rw", "1 2 0:45 / /x rw -", "1 2 x / /x rw - ext4 a b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char line[64];
        snprintf(line, sizeof line, "%s", bad[i]);
        ok(!mountinfo_line(line, &path, &m), "'%s' is refused", bad[i]);
    }
}

static void test_here(void)
{
    struct mount_entry m;
    struct err e = {0};
    bool found = false;
    ok(mountinfo_at("/proc", &m, &found, &e) == 0 && found, "/proc is mounted");
    is_str(m.type, "proc", "as proc");
    ok(!mountinfo_has_parts(makedev(4000, 1)), "nothing is bound of a device that there isn't");
    ok(mountinfo_at("/proc/self", &m, &found, &e) == 0 && !found, "/proc/self isn't");
}

int main(void)
{
    test_lines();
    test_here();
    return tap_done();
}
