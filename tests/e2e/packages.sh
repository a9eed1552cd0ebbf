#!/bin/bash
# A real Nix closure, from binary caches in all compressions, an export stream, NARs and a directory: as Nix restores it, and out again.
. "$(dirname "$0")/../lib/env.sh"
top=$(cat "$FIX/nix-top")
name=${top##*/}
key=$(cat "$FIX/nix-public")
for c in none xz zstd bzip2 gzip; do
    export CAIRN_STORE=$T/store-$c
    cairn import --trusted-key "$key" "$FIX/cache-$c:$name"
    cairn closure "$name" | sort >"$T/closure"
    sort "$FIX/nix-closure" | diff - "$T/closure"
done
export CAIRN_STORE=$T/store-zstd
mounted
while read -r p; do
    listing "$FIX/nixroot$p" >"$T/want"
    listing "$T/mnt/store/${p##*/}" >"$T/got"
    diff -u "$T/want" "$T/got"
done <"$FIX/nix-closure"
# Out again, bit for bit, and Nix takes it.
cairn export "$name" --as nar | cmp - "$FIX/nix-top.nar"
cairn export "$name" --as nix-export --closure >"$T/closure.export"
cmp "$T/closure.export" "$FIX/nix-closure.export" || echo "(order or metadata differs from nix-store's own; Nix judges below)"
export NIX_REMOTE="local?root=$T/nixroot" HOME=$T NIX_CONF_DIR=$FIX/nixconf
nix-store --import <"$T/closure.export" >"$T/imported"
same "$(sort "$T/imported")" "$(cat "$T/closure")" "paths that nix-store imported"
nix-store --verify --check-contents
# In through the other doors; the store path of a directory is what Nix computes.
export CAIRN_STORE=$T/store2
cairn import "$FIX/nix-closure.export"
cairn import - <"$FIX/nix-closure.export" | grep -qi 'nothing new'
cairn import --store-path "$top" "$FIX/nix-top.nar" | grep -qi 'nothing new'
diff <(cairn closure "$top") <(CAIRN_STORE=$T/store-zstd cairn closure "$top")
cp -r "$FIX/nixroot$top" "$T/dir"
same "$(cairn -q add "$T/dir")" "$(nix-store --add "$T/dir")" "store path of a directory"
same "$(cairn -q add "$FIX/nix-public")" "$(nix-store --add "$FIX/nix-public")" "store path of a file"
cairn why "$top" "$(grep glibc "$FIX/nix-closure")" | grep -q glibc
# Refused, with the reason, and nothing is left behind.
export CAIRN_STORE=$T/store3
wrong=cairn-test-1:$(head -c 32 /dev/urandom | base64)
refuse 1 'no signature by a trusted key' "$CAIRN" import --trusted-key "$wrong" "$FIX/cache-zstd:$name"
cp -r "$FIX/cache-none" "$T/bad"
nar=$(ls -S "$T"/bad/nar/* | tail -n 1)
printf 'X' | dd of="$nar" bs=1 seek=200 conv=notrunc status=none
refuse 1 'nothing was imported' "$CAIRN" import "$T/bad:$name"
head -c 1000 "$FIX/nix-top.nar" >"$T/cut.nar"
refuse 1 'truncated' "$CAIRN" import --store-path "$top" "$T/cut.nar"
same "$(cairn packages -q | wc -l)" 0 "packages after refused imports"
