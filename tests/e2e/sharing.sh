#!/bin/bash
# The scenario of the design: two images on one base, and nginx as closure, as one-layer and as layered image: every distinct byte once.
. "$(dirname "$0")/../lib/env.sh"
packs() { du -sb "$CAIRN_STORE/packs" | cut -f1; }
cairn import --name deb:base "$FIX/oci:base"
p1=$(packs)
cairn import --name deb:nginx "$FIX/oci:nginx"
p2=$(packs)
cairn import --name deb:apache2 "$FIX/oci:apache2"
p3=$(packs)
cairn import "$FIX/cache-zstd" >/dev/null
p4=$(packs)
cairn import --name nix:one "$FIX/oci-closure:one"
p5=$(packs)
cairn import --name nix:layered "$FIX/oci-closure:layered"
p6=$(packs)
echo "packs: base $p1, + nginx $((p2 - p1)), + apache2 $((p3 - p2)), + closure $((p4 - p3)), + one-layer image $((p5 - p4)), + layered image $((p6 - p5))"
closure=$(du -sb --apparent-size $(sed "s|^|$FIX/nixroot|" "$FIX/nix-closure") | awk '{n += $1} END {print n}')
echo "closure: $closure bytes raw"
# The same bytes in another form cost headers and trees only.
[ $((p5 - p4)) -lt $((closure / 20)) ] || fail "the one-layer image stored its files again"
[ $((p6 - p5)) -lt $((closure / 20)) ] || fail "the layered image stored its files again"
mounted
top=$(cat "$FIX/nix-top")
nginx=$(grep -- -nginx-1 "$FIX/nix-closure")
for i in one layered; do cmp "$T/mnt/store/${nginx##*/}/bin/nginx" "$T/mnt/images/nix@$i/rootfs$nginx/bin/nginx"; done
cairn images
cairn packages
cairn history deb:nginx
