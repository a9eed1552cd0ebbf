#!/bin/bash
# kill -9 at every call that writes, of an import, a removal, a gc and a rebuild: afterwards the store verifies, has the image or hasn't, and the same
# command, given again, does its work. Then a full disk.
. "$(dirname "$0")/../lib/env.sh"
strace -o /dev/null true 2>/dev/null || skip "strace can't trace here"
base=$T/base
CAIRN_STORE=$base cairn import -q --name odd:0 "$FIX/oci-odd:t" >/dev/null
points=0
# sweep NAME COMMAND…: from a copy of $base, each kill point in turn.
sweep() {
    local name=$1 call k rc n
    shift
    for call in fsync fdatasync pwrite64 write renameat unlinkat unlink openat ftruncate mkdirat; do
        for ((k = 1; k < 400; k++)); do
            rm -rf "$T/store"
            cp -a "$base" "$T/store"
            rc=0
            # (the brace group keeps bash from telling that it was killed)
            { strace -f -qq -o /dev/null -e trace=$call -e "inject=$call:signal=SIGKILL:when=$k" "$CAIRN" "$@" >/dev/null 2>&1; } 2>/dev/null || rc=$?
            [ $rc = 0 ] && break
            [ $rc = 137 ] || fail "$name, $call $k: exit code $rc"
            points=$((points + 1))
            cairn verify >"$T/out" 2>&1 || { cat "$T/out"; fail "$name, killed at $call $k: the store doesn't verify"; }
            n=$(cairn images -q | wc -l)
            [ "$n" = 1 ] || [ "$n" = 2 ] || [ "$n" = 0 ] || fail "$name, killed at $call $k: $n images"
            # gc and rebuild may be needed once more; all else works as if nothing had happened.
            cairn "$@" >"$T/out" 2>&1 || grep -q 'no image' "$T/out" || { cat "$T/out"; fail "$name, killed at $call $k: can't be done again"; }
            cairn cat odd:0:/usr/lib/landed >"$T/out" 2>&1 || [ "$name" = removal ] || fail "$name, killed at $call $k: an older image is hurt"
        done
        [ $k -lt 400 ] || fail "$name: no end of $call"
    done
    echo "$name: $points points so far"
}
tar -C "$FIX/root-base/rootfs/etc" -cf "$T/small.tar" passwd group apt cron.d default
sweep import import --name new:1 "$T/small.tar"
sweep removal rm odd:0
CAIRN_STORE=$base cairn import -q --name new:1 "$T/small.tar" >/dev/null
CAIRN_STORE=$base cairn rm -q new:1
sweep gc gc --full
sweep rebuild rebuild

# A full disk: the importer is told so, readers notice nothing, and there is room again after gc.
mkdir "$T/disk"
mount -t tmpfs -o size=8M t "$T/disk"
export CAIRN_STORE=$T/disk/store
cairn import -q --name odd:0 "$FIX/oci-odd:t" >/dev/null
mounted
refuse 1 'No space left on device' "$CAIRN" import --name base:1 "$FIX/base.tar"
same "$(cat "$T/mnt/images/odd@0/rootfs/usr/lib/landed")" through "a file read from a full store"
same "$(cairn images -q | wc -l)" 1 "images"
cairn verify
[ "$(du -sm "$T/disk/store" | cut -f1)" -lt 4 ] || fail "the failed import left its bytes behind"
cairn umount "$T/mnt"
umount -l "$T/disk"
