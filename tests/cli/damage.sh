#!/bin/bash
# A damaged store: commands that meet the damage exit with 3 (run: 125) and name the pack, the others go on; nothing wrong is ever printed.
. "$(dirname "$0")/../lib/env.sh"
mkdir -p "$T/a" "$T/b"
seq 100000 >"$T/a/numbers"
echo small >"$T/a/small"
seq 200000 300000 >"$T/b/numbers"
cairn import -q --name a:1 "$T/a" >/dev/null
cairn import -q --name b:1 "$T/b" >/dev/null
cairn import -q "$FIX/cache-none" >/dev/null
packs=$CAIRN_STORE/packs
cp -a "$packs" "$T/saved"
restore() { cp -a "$T/saved/." "$packs/"; }
flip() { # PACK OFFSET: one bit of that byte
    local byte
    byte=$(od -An -tu1 -j "$2" -N 1 "$1")
    printf "\\x$(printf %02x $((byte ^ 16)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
# The pack of a:1's file, found by damaging each pack's middle and asking for it.
first=
for p in "$packs"/*; do
    flip "$p" $(($(stat -c %s "$p") / 2))
    if ! cairn cat a:1:/numbers >/dev/null 2>&1; then first=${p##*/}; fi
    restore
done
[ -n "$first" ] || fail "no pack holds the file"
id=${first%.pack}

# One flipped bit in a file's block: that file, and what needs it.
flip "$packs/$first" $(($(stat -c %s "$packs/$first") / 2))
refuse 3 "pack $id, block at offset " "$CAIRN" cat a:1:/numbers
grep -q '^cairn cat: a:1:/numbers: ' "$T/refuse.err" || { cat "$T/refuse.err"; fail "cat doesn't name the file"; }
cmp -n "$(stat -c %s "$T/refuse.out")" "$T/refuse.out" "$T/a/numbers" || fail "cat printed something else than the file's beginning"
refuse 3 "pack $id" "$CAIRN" export a:1 -o "$T/x"
[ -z "$(find "$T" -maxdepth 1 -name 'x*')" ] || fail "a damaged export was left behind"
rc=0; cairn verify >"$T/verify" 2>"$T/err" || rc=$?
same "$rc" 3 "exit code of verify"
grep -q "^damaged: .*(pack $id at [0-9]*)$" "$T/verify" && grep -q "^damaged: sha256:[0-9a-f]* /numbers: .*pack $id, block at " "$T/verify" || { cat "$T/verify"; fail "verify doesn't name the file and the pack"; }
grep -q 'DAMAGED$' "$T/verify" || fail "verify's last line"
rc=0; cairn verify --json >"$T/json" || rc=$?; same "$rc" 3 "exit code of verify --json"
jq -e --arg pack "$first" '.damaged == (.findings | length) and any(.findings[]; .pack == $pack) and any(.findings[]; .path == "/numbers")' "$T/json" >/dev/null ||
    { cat "$T/json"; fail "verify --json"; }
rc=0; cairn verify a:1 >"$T/verify" || rc=$?; same "$rc" 3 "exit code of verify a:1"
# The rest is as before.
cairn verify b:1 | grep -q 'all as it should be'
cairn cat b:1:/numbers | cmp - "$T/b/numbers"
for c in images layers packages "ls -lR a:1" "history a:1" "info a:1" "diff a:1 b:1" "gc --dry-run" "tag a:1 c:1" "rm c:1"; do cairn $c >/dev/null; done
restore
cairn verify | grep -q 'all as it should be'

# Everything of one pack is damaged, trees, too: its objects can't be listed, yet the lists are whole.
size=$(stat -c %s "$packs/$first")
for ((at = 100; at < size; at += 64)); do flip "$packs/$first" $at; done
for c in "ls a:1" "cat a:1:/small" "diff b:1 a:1" "export a:1 -o $T/x"; do
    # shellcheck disable=SC2086
    refuse 3 "pack $id" "$CAIRN" $c
    [ ! -s "$T/refuse.out" ] || fail "'$c' prints something"
done
refuse 3 "pack $id" "$CAIRN" images
grep -qE '^a +1 +[0-9a-f]+ +1 +\? +\? ' "$T/refuse.out" || { cat "$T/refuse.out"; fail "the damaged image isn't listed with ?"; }
grep -qE '^b +1 +[0-9a-f]+ +1 +700kB +' "$T/refuse.out" || { cat "$T/refuse.out"; fail "the other image isn't listed"; }
refuse 3 "pack $id" "$CAIRN" layers
same "$(grep -c ' ? ' "$T/refuse.out")" 1 "damaged layers in the list"
same "$(wc -l <"$T/refuse.out")" 3 "lines of layers"
rc=0; cairn images --json >"$T/json" 2>/dev/null || rc=$?
same "$rc $(jq -c 'map([.repository, .size])' "$T/json")" '3 [["a",null],["b",700007]]' "images --json"
same "$(cairn images -q --names | xargs)" "a:1 b:1" "images -q"
rc=0; cairn verify -q >"$T/out" || rc=$?; same "$rc" 3 "exit code of verify -q"
[ "$(id -u)" != 0 ] || refuse 125 "cairn run: " "$CAIRN" run a:1 true
cairn cat b:1:/numbers | cmp - "$T/b/numbers"
restore

# A pack that is gone, and one that is cut off.
rm "$packs/$first"
refuse 3 "$id" "$CAIRN" cat a:1:/numbers
cairn cat b:1:/numbers | cmp - "$T/b/numbers"
rc=0; cairn verify >"$T/verify" 2>&1 || rc=$?; same "$rc" 3 "verify without a pack"
grep -q "$id" "$T/verify" || { cat "$T/verify"; fail "verify doesn't name the pack that is gone"; }
restore
truncate -s $((size / 2)) "$packs/$first"
refuse 3 "$id" "$CAIRN" ls a:1
cairn cat b:1:/numbers | cmp - "$T/b/numbers"
restore
cairn verify | grep -q 'all as it should be'

# The catalog: damaged it is refused, and a rebuild makes it anew.
cairn images --json | jq 'map(del(.imported))' >"$T/before"
dd if=/dev/urandom of="$CAIRN_STORE/catalog.db" bs=4096 count=1 conv=notrunc status=none
rm -f "$CAIRN_STORE"/catalog.db-*
refuse 3 'cairn rebuild' "$CAIRN" images
cairn rebuild >/dev/null
cairn images --json | jq 'map(del(.imported))' | cmp - "$T/before"
cairn verify | grep -q 'all as it should be'

# A store of a later version, or of none, is refused by every command and left as it is.
for line in 'cairn store 2' 'cairn store 10' 'something else' ''; do
    echo "$line" >"$CAIRN_STORE/format"
    find "$CAIRN_STORE" -type f ! -name '*.db-shm' -print0 | sort -z | xargs -0 sha256sum >"$T/sums"
    for c in images layers packages "history a:1" "info a:1" "closure zlib" "why zlib zlib" "ls a:1" "cat a:1:/small" "diff a:1 b:1" \
        "tag a:1 b:2" "rm a:1" "export a:1 -o $T/x" verify gc rebuild "import --name n:1 $T/a" "add $T/a"; do
        # shellcheck disable=SC2086
        refuse 1 "$line" "$CAIRN" $c
        grep -q "$CAIRN_STORE" "$T/refuse.err" || { cat "$T/refuse.err"; fail "'$c' doesn't name the store"; }
    done
    refuse 125 "$line" "$CAIRN" run a:1 true
    mkdir -p "$T/mnt"
    refuse 1 "$line" "$CAIRN" mount "$T/mnt"
    find "$CAIRN_STORE" -type f ! -name '*.db-shm' -print0 | sort -z | xargs -0 sha256sum | cmp - "$T/sums" || fail "a store of '$line' was changed"
done
