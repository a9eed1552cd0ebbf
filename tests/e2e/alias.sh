#!/bin/bash
# Overlayfs takes two names on one inode with one link for one file, so that a write to the first shows in the second. Files that are equal in
# everything, in one layer, over layers and over forms, must therefore stay inodes of their own; hard links are one.
. "$(dirname "$0")/../lib/env.sh"
[ "$(id -u)" = 0 ] || skip "an overlay needs root here"
mkdir -p "$T"/{1,2}/{x,y}
for f in 1/a 1/b 1/x/same 2/y/same; do echo "hello from lower" >"$T/$f"; done
ln "$T/1/x/same" "$T/1/x/linked"
umoci init --layout "$T/oci"
umoci new --image "$T/oci:t"
for l in 1 2; do
    tar -C "$T/$l" --sort=name --numeric-owner --owner=0 --group=0 --mtime=@1700000000 -cf "$T/$l.tar" .
    umoci raw add-layer --image "$T/oci:t" "$T/$l.tar"
done
cairn import --name alias:1 "$T/oci:t"
mounted
r=$T/mnt/images/alias@1/rootfs
mkdir "$T/up" "$T/work" "$T/root"
mount -t overlay t -o "lowerdir=$r,upperdir=$T/up,workdir=$T/work" "$T/root"
echo "written to a" >"$T/root/a"
same "$(cat "$T/root/b")" "hello from lower" "b after a write to a"
echo "written to x/same" >"$T/root/x/same"
same "$(cat "$T/root/y/same")" "hello from lower" "y/same after a write to x/same"
same "$(cat "$T/root/b")" "hello from lower" "b after a write to x/same"
for f in a b y/same; do same "$(stat -c %h "$r/$f")" 1 "links of $f"; done
same "$(stat -c '%h %i' "$r/x/same")" "$(stat -c '%h %i' "$r/x/linked")" "a hard link"
same "$(stat -c %h "$r/x/same")" 2 "its links"
# The same with both images that share a layer below one overlay each: neither sees the other's writes.
umount "$T/root"
cairn tag alias:1 alias:2
mkdir "$T"/{up,work,root}2
mount -t overlay t -o "lowerdir=$r,upperdir=$T/up,workdir=$T/work" "$T/root"
mount -t overlay t -o "lowerdir=$T/mnt/images/alias@2/rootfs,upperdir=$T/up2,workdir=$T/work2" "$T/root2"
echo changed >"$T/root2/b"
same "$(cat "$T/root/b")" "hello from lower" "b in the other container"
umount "$T/root" "$T/root2"
