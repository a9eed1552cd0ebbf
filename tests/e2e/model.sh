#!/bin/bash
# Random layer stacks: the naive model (tests/model/stacks.py), umoci and Cairn must agree entry by entry.
# CAIRN_SEED repeats a run, CAIRN_STACKS sets how many.
. "$(dirname "$0")/../lib/env.sh"
seed=${CAIRN_SEED:-$((RANDOM * 32768 + RANDOM))} n=${CAIRN_STACKS:-500}
echo "seed $seed, $n stacks (CAIRN_SEED=$seed CAIRN_STACKS=$n tests/run model)"
python3 "$ROOT/tests/model/stacks.py" "$T" "$n" "$seed"
cairn import --platform linux/amd64 "$T/oci" | tail -n 1
mounted
for ((i = 0; i < n; i++)); do
    rm -rf "$T/bundle"
    umoci unpack --image "$T/oci:s$i" "$T/bundle" >"$T/log" 2>&1 || { cat "$T/log"; fail "umoci refuses stack $i"; }
    listing -t "$T/bundle/rootfs" | diff -u "$T/want/s$i" - || fail "umoci and the model differ on stack $i"
    listing -t "$T/mnt/images/oci@s$i/rootfs" | diff -u "$T/want/s$i" - || fail "Cairn and the model differ on stack $i"
done
echo "$n stacks agree"
cairn verify | tail -n 1
