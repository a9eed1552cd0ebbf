#!/bin/bash
# What goes out is what came in: layers by diffID, images that skopeo and umoci take.
. "$(dirname "$0")/../lib/env.sh"
cairn import --name deb:nginx "$FIX/oci:nginx"
mounted
config=$T/mnt/images/deb@nginx/config.json
for d in $(jq -r '.rootfs.diff_ids[]' "$config"); do
    same "sha256:$(cairn export "$d" --as layer | sha256sum | cut -d' ' -f1)" "$d" "digest of the exported layer"
done
cairn export deb:nginx --as oci -o "$T/out.tar"
skopeo copy -q "oci-archive:$T/out.tar" "oci:$T/copied:nginx"
m=$(jq -r '.manifests[0].digest' "$T/copied/index.json" | cut -d: -f2)
cmp "$T/copied/blobs/sha256/$(jq -r .config.digest "$T/copied/blobs/sha256/$m" | cut -d: -f2)" "$config"
umoci unpack --image "$T/copied:nginx" "$T/unpacked"
listing -d "$T/unpacked/rootfs" >"$T/got"
listing -d "$FIX/root-nginx/rootfs" | diff - "$T/got"
cairn export deb:nginx --as docker -o "$T/docker.tar"
skopeo copy -q "docker-archive:$T/docker.tar" "oci:$T/copied2:nginx"
# The exported forms import as the same layers: nothing is stored.
before=$(du -sb "$CAIRN_STORE/packs" | cut -f1)
cairn import --name deb:again "$T/docker.tar"
cairn import --name deb:third "$T/out.tar"
[ $(($(du -sb "$CAIRN_STORE/packs" | cut -f1) - before)) -lt 100000 ] || fail "importing an exported image stored its layers again"
cmp "$T/mnt/images/deb@again/config.json" "$config"
# Forms that skopeo writes.
skopeo copy -q --dest-compress --dest-compress-format zstd "oci:$FIX/oci:nginx" "oci:$T/zstd:nginx"
skopeo copy -q "oci:$FIX/oci:nginx" "docker-archive:$T/skopeo.tar:deb:skopeo"
cairn import --name deb:zstd "$T/zstd:nginx"
cairn import "$T/skopeo.tar"
same "$(stat -c %i "$T/mnt/images/docker.io+library+deb@skopeo/rootfs/usr/sbin/nginx")" "$(stat -c %i "$T/mnt/images/deb@zstd/rootfs/usr/sbin/nginx")" "one file, three images"
tar -C "$T/copied" -cf - . | cairn import --name deb:piped -
zstd -q -c "$FIX/base.tar" | cairn import --name base:tar -
cairn import --name base:dir "$FIX/root-base/rootfs"
listing -d "$FIX/root-base/rootfs" >"$T/want"
for n in tar dir; do listing -d "$T/mnt/images/base@$n/rootfs" | diff "$T/want" -; done
# Not onto a terminal.
script -qec "$CAIRN export deb:nginx" /dev/null >"$T/tty" 2>&1 && fail "it wrote to a terminal"
grep -q 'is a terminal' "$T/tty"
cairn verify
