#!/bin/bash
# What the commands print, refuse and exit with.
. "$(dirname "$0")/../lib/env.sh"
# A store that isn't there, a command that isn't, options that aren't.
refuse 1 'no store at' "$CAIRN" images
refuse 2 "unknown command 'imoprt'" "$CAIRN" imoprt
refuse 2 "did you mean '--platform'" "$CAIRN" import --platfrom x y
refuse 2 'wants DIR' "$CAIRN" images --store
refuse 2 'takes no value' "$CAIRN" images --json=yes
refuse 2 'too few arguments' "$CAIRN" cat
refuse 2 'too many arguments' "$CAIRN" history a b
refuse 2 'usage: cairn' "$CAIRN" tag x
cairn | grep -q '^usage: cairn'
cairn --version | grep -q '^cairn [0-9]'
for v in import add mount umount run images layers packages history info closure why ls cat diff tag rm export verify gc rebuild completion; do
    cairn help $v | grep -q "^usage: cairn $v"
    cairn $v --help | grep -q "^options of all commands"
done
# Options may come before the command and among its arguments.
cairn --store "$CAIRN_STORE" import --name odd:1 "$FIX/oci-odd:t" >/dev/null
cairn -q images --names | grep -qx odd:1
cairn images --names -q | grep -qx odd:1
cairn import "$FIX/cache-none" >/dev/null
top=$(cat "$FIX/nix-top")
# Every --json is one document with the keys that the manual promises.
cairn images --json | jq -e '.[0] | .repository == "odd" and .tag == "1" and .size > 0 and .layers == 2' >/dev/null
cairn layers --json | jq -e 'length == 2 and (.[0].diffid | startswith("sha256:"))' >/dev/null
cairn packages --json | jq -e --arg p "$top" 'map(.path) | index($p) != null' >/dev/null
cairn history --json odd:1 | jq -e 'type == "array"' >/dev/null
cairn info --json odd:1 | jq -e '.type == "image" and (.layers | length) == 2 and .names == ["odd:1"]' >/dev/null
cairn info --json "$top" | jq -e '.nar_hash | startswith("sha256:")' >/dev/null
cairn ls --json -R odd:1 | jq -e 'map(select(.path == "/usr/lib/landed")) | .[0].type == "-"' >/dev/null
cairn diff --json odd:1 odd:1 | jq -e 'length == 0' >/dev/null
cairn closure --json "$top" | jq -e 'length == 15' >/dev/null
cairn verify --json | jq -e '.damaged == 0 and .findings == []' >/dev/null
cairn gc --json --dry-run | jq -e '.chunks == 0' >/dev/null
cairn run --dry-run --json odd:1 true | jq -e '.args == ["true"]' >/dev/null
cairn import --json --name odd:1 "$FIX/oci-odd:t" | jq -e '.nothing_new == true' >/dev/null
# Objects by name, digest, beginning, store path; what is not clear is said so.
digest=$(cairn images -q --no-trunc)
for o in odd:1 "$digest" "${digest#sha256:}" "$(echo "${digest#sha256:}" | cut -c1-8)" "odd@$digest"; do cairn history "$o" >/dev/null; done
cairn info "${top##*/}" nginx-env "$top" "$(basename "$top" | cut -c1-10)" >/dev/null
refuse 2 'could be' "$CAIRN" info ngin
refuse 1 "no image, layer or package 'nowhere'" "$CAIRN" info nowhere
refuse 2 'is no image' "$CAIRN" history "$top"
refuse 1 "no '/none'" "$CAIRN" cat odd:1:/none
refuse 2 'is a directory' "$CAIRN" cat odd:1:/usr
same "$(cairn cat odd:1:/lib/landed)" through "a path through a link"
same "$(cairn ls odd:1:/usr/lib)" landed "ls"
cairn ls -l odd:1 | grep -q '^lrwxrwxrwx .* lib -> usr/lib$'
cairn ls -l odd:1 | grep -q '^crw-r--r-- .* 1,    3 .* null$'
# why, and what refers to what.
cairn why nginx-env zlib | tail -n 1 | grep -q 'zlib-1.2.13$'
refuse 1 "doesn't refer to" "$CAIRN" why zlib nginx-env
refuse 1 'is referred to by' "$CAIRN" rm zlib
cairn tag odd:1 other/name:2
cairn images other/name | grep -q '^other/name  *2 '
refuse 2 'reference' "$CAIRN" tag odd:1 'Bad Name'
cairn rm odd:1 other/name:2 | grep -q '^removed odd:1'
same "$(cairn images -q | wc -l)" 0 "images after rm"
# All tags of a repository at once: nothing stays under the digest. Packages together, by whatever name; all or none.
cairn import -q --name odd:1 "$FIX/oci-odd:t" >/dev/null
cairn tag odd:1 odd:2
cairn tag odd:1 other:1
refuse 1 "'nowhere'" "$CAIRN" rm odd:1 nowhere
cairn rm odd:1 odd:2 odd:2 >/dev/null
same "$(cairn images -q --names)" other:1 "images after rm of both tags"
cairn rm -q "$digest"
same "$(cairn images -q | wc -l)" 0 "images after rm by digest"
cairn add -q "$FIX/oci-odd/oci-layout" >/dev/null
refuse 1 'is referred to by' "$CAIRN" rm oci-layout nginx-1
same "$(cairn packages -q | wc -l)" 16 "packages after a refused rm"
cairn rm -q nginx-1 nginx-env oci-layout
same "$(cairn packages -q | wc -l)" 13 "packages after rm"
cairn import -q "$FIX/cache-none" >/dev/null
cairn gc --dry-run | grep -q 'would be freed'
# A closed pipe is nobody's trouble; a full disk is told.
cairn packages | head -n 1 >/dev/null
rc=0; cairn packages >/dev/full 2>"$T/err" || rc=$?
[ $rc = 1 ] && grep -q 'No space left' "$T/err" || fail "/dev/full: exit $rc, $(cat "$T/err")"
# Control characters of names and errors don't reach a terminal.
printf 'x' >"$T/"$'evil\033[31mname'
mkdir "$T/dir"
mv "$T/"$'evil\033[31mname' "$T/dir/"
cairn import --name evil:1 "$T/dir" >/dev/null
script -qec "$CAIRN ls evil:1" /dev/null | grep -q $'\033\[31m' && fail "an escape sequence reached the terminal"
# A damaged store: exit code 3, and the place is named.
pack=$(ls -S "$CAIRN_STORE"/packs/* | head -n 1)
cp "$pack" "$T/saved"
size=$(stat -c %s "$pack")
for ((at = 300; at < size - 5000; at += size / 40)); do printf '\377\000\377' | dd of="$pack" bs=1 seek=$at conv=notrunc status=none; done
rc=0; cairn verify >"$T/out" || rc=$?
same $rc 3 "exit code of verify"
grep -q '^damaged: ' "$T/out" && grep -q 'DAMAGED' "$T/out" || { cat "$T/out"; fail "verify doesn't name the damage"; }
refuse 3 "$(basename "$pack" .pack | cut -c1-8)" "$CAIRN" export "$top" --closure -o "$T/x"
[ ! -e "$T/x" ] || fail "a damaged export was left behind"
cp "$T/saved" "$pack"
cairn verify | grep -q 'all as it should be'
# A store on a read-only medium can be looked at; what would change it says so.
if [ "$(id -u)" = 0 ]; then
    mkdir "$T/ro"
    mount --bind "$CAIRN_STORE" "$T/ro"
    mount -o remount,bind,ro "$T/ro"
    cairn --store "$T/ro" images -q >/dev/null
    cairn --store "$T/ro" packages -q | grep -q glibc
    cairn --store "$T/ro" verify >/dev/null
    refuse 1 'Read-only file system' "$CAIRN" --store "$T/ro" import --name a:1 "$FIX/oci-odd:t"
    refuse 1 'Read-only file system' "$CAIRN" --store "$T/ro" rm --force zlib
    umount -l "$T/ro"
fi
# A store of a later version is refused by every command and left as it is.
echo 'cairn store 2' >"$CAIRN_STORE/format"
refuse 1 'cairn store 2' "$CAIRN" images
refuse 1 'cairn store 2' "$CAIRN" import --name a:1 "$FIX/oci-odd:t"
