#!/bin/bash
# mount -t fuse.cairn STORE MNT, by our own helper and by fstab; the options that people write there; a store that can't be written.
. "$(dirname "$0")/../lib/env.sh"
[ "$(id -u)" = 0 ] || skip "mount(8) needs root"
cairn import -q --name odd:1 "$FIX/oci-odd:t" >/dev/null
[ ! -e /sbin/mount.fuse.cairn ] || skip "/sbin/mount.fuse.cairn is there already: not ours to replace"
ln -s "$CAIRN" /sbin/mount.fuse.cairn
undo() { rm -f /sbin/mount.fuse.cairn; cleanup; }
trap undo EXIT
mkdir -p "$T/mnt"
mounts+=("$T/mnt")
mount -t fuse.cairn "$CAIRN_STORE" "$T/mnt" -o ro,allow_other,cache-size=16M
same "$(cat "$T/mnt/images/odd@1/rootfs/d/keep")" b "a file"
grep " $T/mnt fuse" /proc/mounts
umount "$T/mnt"
echo "$CAIRN_STORE $T/mnt fuse.cairn ro,allow_other,noauto,x-systemd.automount,_netdev 0 0" >"$T/fstab"
mount -T "$T/fstab" "$T/mnt"
same "$(cat "$T/mnt/images/odd@1/rootfs/d/keep")" b "a file"
umount "$T/mnt"
rc=0; mount -t fuse.cairn "$CAIRN_STORE" "$T/mnt" -o rw 2>"$T/err" || rc=$?
[ $rc != 0 ] && grep -q "read-only" "$T/err" || { cat "$T/err"; fail "rw isn't refused with the reason"; }
# A mount point that isn't there, and a store of a later version: the caller sees why, and there is no mount.
refuse 1 'No such file' "$CAIRN" mount "$T/nowhere"
cp -r "$CAIRN_STORE" "$T/later"
echo 'cairn store 9' >"$T/later/format"
refuse 1 'cairn store 9' "$CAIRN" --store "$T/later" mount "$T/mnt"
grep " $T/mnt " /proc/mounts && fail "it is mounted all the same"
# A store on a read-only medium.
mkdir "$T/ro"
mount --bind "$CAIRN_STORE" "$T/ro"
mount -o remount,bind,ro "$T/ro"
cairn --store "$T/ro" mount "$T/mnt"
same "$(cat "$T/mnt/images/odd@1/rootfs/d/keep")" b "a file"
cairn umount "$T/mnt"
umount -l "$T/ro"
