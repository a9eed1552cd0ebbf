#!/bin/bash
# Three real images imported: their root filesystems are entry by entry what umoci unpacks; the union's files are the
# layers' files; importing again stores nothing.
. "$(dirname "$0")/../lib/env.sh"
for n in base nginx apache2; do cairn import --name "deb:$n" "$FIX/oci:$n" >"$T/import-$n"; done
cat "$T"/import-*
mounted
for n in base nginx apache2; do
    r=$T/mnt/images/deb@$n/rootfs
    # A root directory that no layer describes has no time of its own.
    listing -d "$FIX/root-$n/rootfs" >"$T/want"
    listing -d "$r" >"$T/got"
    diff -u "$T/want" "$T/got" | head -n 20 || true
    cmp "$T/want" "$T/got"
    diff -r --no-dereference "$FIX/root-$n/rootfs" "$r"
    # No two paths of one root filesystem share an inode number unless they are hard links (overlayfs would alias them).
    same "$(find "$r" -links 1 -printf '%i\n' | sort | uniq -d | wc -l)" 0 "$n: paths with one inode and one link"
    same "$(find "$r" -type d -printf '%i\n' | sort | uniq -d | wc -l)" 0 "$n: aliased directories"
    cmp "$T/mnt/images/deb@$n/config.json" "$FIX/oci/blobs/sha256/$(jq -r .config.digest "$FIX/oci/blobs/sha256/$(jq -r --arg n $n '.manifests[] | select(.annotations["org.opencontainers.image.ref.name"] == $n).digest' "$FIX/oci/index.json" | cut -d: -f2)" | cut -d: -f2)"
done
# The base layer's file has one inode number in every image that shows it, and in the layer itself.
base=$(jq -r '.rootfs.diff_ids[0]' "$T/mnt/images/deb@base/config.json" | cut -d: -f2)
for f in usr/bin/perl etc/debian_version usr/bin/apt; do
    want=$(stat -c %i "$T/mnt/layers/sha256/$base/$f")
    for n in base nginx apache2; do same "$(stat -c %i "$T/mnt/images/deb@$n/rootfs/$f")" "$want" "inode of $f in $n"; done
done
before=$(du -sb "$CAIRN_STORE/packs" | cut -f1)
cairn import --name deb:nginx "$FIX/oci:nginx" | tee "$T/again"
grep -qi 'nothing new' "$T/again"
same "$(du -sb "$CAIRN_STORE/packs" | cut -f1)" "$before" "bytes in packs after the second import"
# Read-only: every write is refused as such.
r=$T/mnt/images/deb@nginx/rootfs
for c in "touch $r/new" "rm $r/etc/passwd" "mkdir $r/d" "chmod 0 $r/etc/passwd" "ln $r/etc/passwd $r/p" "mv $r/etc/passwd $r/p" "truncate -s 0 $r/etc/passwd" "setfattr -n user.a -v b $r/etc/passwd"; do
    refuse 1 'Read-only file system' $c
done
cairn verify
