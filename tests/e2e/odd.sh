#!/bin/bash
# Everything that a tar layer can hold, in two layers: links, devices, sparse files, xattrs, capabilities, ACLs, old times, huge ids,
# names of 255 bytes and of bytes that are no text, whiteouts, an opaque directory, a path through a link of the lower layer.
. "$(dirname "$0")/../lib/env.sh"
cairn import --name odd:1 "$FIX/oci-odd:t"
mounted
r=$T/mnt/images/odd@1/rootfs
listing -d "$FIX/root-odd/rootfs" >"$T/want"
listing -d "$r" >"$T/got"
diff -u "$T/want" "$T/got"
same "$(readlink "$r/lib")" usr/lib "the lower layer's link"
same "$(cat "$r/usr/lib/landed")" through "a file that came through the link"
[ ! -e "$r/d/gone" ] && [ ! -e "$r/e/hidden" ] || fail "hidden files show"
same "$(stat -c '%h %i' "$r/hard")" "$(stat -c '%h %i' "$r/d/keep")" "a hard link"
[ "$(stat -c %b "$r/sparse")" -lt 100 ] || fail "the sparse file isn't sparse"
same "$(getcap "$r/hard" | grep -c cap_net_raw)" 1 capability
# The upper layer as overlayfs wants it.
upper=$(jq -r '.rootfs.diff_ids[1]' "$T/mnt/images/odd@1/config.json" | cut -d: -f2)
l=$T/mnt/layers/sha256/$upper
same "$(stat -c '%F %t:%T' "$l/d/gone")" 'character special file 0:0' whiteout
same "$(getfattr -n trusted.overlay.opaque --only-values "$l/e")" y 'opaque directory'
# The tars come out as they went in.
i=1
for d in $(jq -r '.rootfs.diff_ids[]' "$T/mnt/images/odd@1/config.json"); do
    cairn export "$d" --as layer -o "$T/out.tar"
    cmp "$T/out.tar" "$FIX/odd-$i.tar"
    i=$((i + 1))
done
cairn verify
