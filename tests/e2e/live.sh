#!/bin/bash
# Imports and removals appear in a live mount at once; gc frees beside it, and readers see no error.
. "$(dirname "$0")/../lib/env.sh"
mounted
same "$(ls "$T/mnt/store" | wc -l) $(ls "$T/mnt/images" | wc -l)" "0 0" "an empty store"
[ ! -e "$T/mnt/images/deb@base" ] || fail "it isn't there yet"
cairn import --name deb:base "$FIX/oci:base"
[ -d "$T/mnt/images/deb@base/rootfs/etc" ] || fail "an imported image doesn't show"
ls "$T/mnt/images" | grep -qx deb@base || fail "an imported image isn't listed"
while read -r p; do [ ! -e "$T/mnt/store/${p##*/}" ] || fail "early"; done <"$FIX/nix-closure"
cairn import "$FIX/cache-zstd" >/dev/null
same "$(ls "$T/mnt/store" | wc -l)" "$(wc -l <"$FIX/nix-closure")" "packages listed"
cairn tag deb:base other/name:v1
# A folder can't hold a '/': the repository's slash is spelt '+'.
ls "$T/mnt/images" | grep -qx 'other+name@v1' || { ls "$T/mnt/images"; fail "a tag doesn't show"; }
exec 5<"$T/mnt/images/deb@base/rootfs/usr/bin/perl"
cairn rm deb:base
[ ! -e "$T/mnt/images/deb@base" ] || fail "a removed image shows"
ls "$T/mnt/images" | grep -x deb@base && fail "a removed image is listed"
cairn rm other/name:v1
cairn gc --full
same "$(sha256sum <&5 | cut -d' ' -f1)" "$(sha256sum <"$FIX/root-base/rootfs/usr/bin/perl" | cut -d' ' -f1)" "a file that was open over rm and gc"
exec 5<&-
before=$(du -sb "$CAIRN_STORE/packs" | cut -f1)
cairn gc --full
same "$(ls "$T/mnt/store" | wc -l)" "$(wc -l <"$FIX/nix-closure")" "packages after gc"
cairn verify
echo "packs: $before, then $(du -sb "$CAIRN_STORE/packs" | cut -f1)"
# Inode numbers survive a remount.
cairn import --name deb:base "$FIX/oci:base"
(cd "$T/mnt" && find . -printf '%p %i\n' | sort) >"$T/inodes"
cairn umount "$T/mnt"
mounted
(cd "$T/mnt" && find . -printf '%p %i\n' | sort) | cmp - "$T/inodes"
# verify beside them: what came or moved after it listed the packs is no damage.
while [ ! -e "$T/stop" ]; do
    cairn import --name deb:nginx "$FIX/oci:nginx" && cairn rm deb:nginx && cairn gc --full || touch "$T/failed"
done >"$T/loop" 2>&1 &
for i in 1 2 3 4 5 6 7 8; do cairn verify >"$T/out" 2>&1 || { cat "$T/out"; touch "$T/stop"; wait; fail "verify beside import and gc"; }; done
touch "$T/stop"
wait
[ ! -e "$T/failed" ] || { cat "$T/loop"; fail "import and gc beside verify"; }
