#!/bin/bash
# Every kept input of every parser, each once found to matter or to crash, and the vectors that others test with, goes through its parser again: no crash.
. "$(dirname "$0")/../lib/env.sh"
n=0
for src in "$ROOT"/tests/fuzz/fuzz_*.c; do
    name=$(basename "$src" .c)
    inputs=()
    for f in "$ROOT/tests/fuzz/corpus/${name#fuzz_}"/*; do [ -f "$f" ] && inputs+=("$f"); done
    case $name in
    fuzz_nar) inputs+=("$DATA"/nar/*.nar) ;;
    fuzz_tar) inputs+=(/usr/share/go-1.*/src/archive/tar/testdata/*.tar /usr/lib/go-1.*/src/archive/tar/testdata/*.tar) ;;
    esac
    for f in "${inputs[@]}"; do
        [ -f "$f" ] || continue
        timeout 20 "$BUILD/fuzz/$name" "$f" >/dev/null || fail "$name crashes, or takes over 20 s, on $f"
        n=$((n + 1))
    done
done
echo "$n inputs"
[ "$n" -gt 0 ]
