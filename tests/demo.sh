#!/bin/bash
# make demo: the whole story on real data, in a store of its own that is removed afterwards.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PWD/build:$PATH
FIX=${CAIRN_FIXTURES:-/var/tmp/cairn-fixtures}
work=$(mktemp -d /tmp/cairn-demo.XXXXXX)
export CAIRN_STORE=$work/store LC_ALL=C.UTF-8
bold=$(tput bold 2>/dev/null || true) plain=$(tput sgr0 2>/dev/null || true)
say() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
run() { printf '%s$ %s%s\n' "$bold" "$*" "$plain"; "$@"; }
cleanup() {
    cairn umount "$work/mnt" 2>/dev/null || umount -l "$work/mnt" 2>/dev/null || true
    rm -rf --one-file-system "$work"
}
trap cleanup EXIT

say "1. Real data: a Debian base, nginx and apache2 installed on it by apt, and a Nix closure of nginx (made once, in $FIX)"
if [ "$(id -u)" != 0 ]; then echo "the demo makes root filesystems and runs containers: run it as root"; exit 1; fi
tests/fixtures.sh oci nix closure
top=$(cat "$FIX/nix-top")

say "2. Import: two images on one base, then the same nginx as packages, as a one-layer image, as a layer per package"
run cairn import --name deb:nginx "$FIX/oci:nginx"
run cairn import --name deb:apache2 "$FIX/oci:apache2"
run cairn import --trusted-key "$(cat "$FIX/nix-public")" "$FIX/cache-zstd:${top##*/}"
run cairn import --name nix:one "$FIX/oci-closure:one"
run cairn import --name nix:layered "$FIX/oci-closure:layered"

say "3. What is in the store, and what it shares"
run cairn images
run cairn history deb:nginx
run cairn packages
run cairn why "$top" "$(grep -- -zlib- "$FIX/nix-closure")"
extracted=$(($(du -sb "$FIX/root-nginx/rootfs" | cut -f1) + $(du -sb "$FIX/root-apache2/rootfs" | cut -f1) + 3 * $(du -scb $(sed "s|^|$FIX/nixroot|" "$FIX/nix-closure") | tail -n 1 | cut -f1)))
stored=$(du -sb "$CAIRN_STORE" | cut -f1)
printf 'extracted side by side: %d MB; the store holds all of it in %d MB (1 : %d)\n' $((extracted / 1000000)) $((stored / 1000000)) $((extracted / stored))

say "4. One tree, mounted; nothing was extracted"
mkdir -p "$work/mnt"
run cairn mount "$work/mnt"
run ls "$work/mnt" "$work/mnt/images" "$work/mnt/store"
run ls -l "$work/mnt/images/deb@nginx/" "$work/mnt/images/deb@nginx/rootfs/"

say "5. Byte for byte what the usual tools extract"
for n in nginx apache2; do
    run diff -r --no-dereference "$FIX/root-$n/rootfs" "$work/mnt/images/deb@$n/rootfs" && echo "(silent: umoci's rootfs and ours are the same)"
done
run diff -r --no-dereference "$FIX/nixroot$top" "$work/mnt/store/${top##*/}" && echo "(silent: as Nix restores it)"
f=usr/bin/perl
run stat -c '%n: inode %i, %s bytes' "$work"/mnt/images/deb@{nginx,apache2}/rootfs/$f
echo "(one inode in both images: one copy in RAM, too)"

say "6. Processes in these root filesystems"
run cairn run deb:nginx nginx -v
run cairn run deb:apache2 apache2 -v
run cairn run deb:nginx sh -c 'echo "I am PID $$ on $(hostname), $(cat /etc/debian_version), and can write:"; echo x >/etc/x; ls -l /etc/x'
run cairn run --package "$top" -- nginx -v
run cairn run --package "$top" -- ls /nix/store

say "7. Out again as it came in"
layer=$(jq -r '.rootfs.diff_ids[1]' "$work/mnt/images/deb@nginx/config.json")
echo "layer $layer"
printf '%s$ cairn export %s --as layer | sha256sum%s\n' "$bold" "$layer" "$plain"
cairn export "$layer" --as layer | sha256sum
run cairn verify
run cairn umount "$work/mnt"
say "Done; the demo's store is removed. Yours begins with: cairn import --name NAME:TAG IMAGE"
