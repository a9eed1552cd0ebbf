#!/bin/bash
# Bad input gets a clear error and the store is as it was: digests, truncation, hostile layouts, Go-refused tars, an interrupted import.
. "$(dirname "$0")/../lib/env.sh"
cairn import --name odd:1 "$FIX/oci-odd:t"
rows() { sqlite3 -cmd '.mode quote' "$CAIRN_STORE/catalog.db" 'select * from layer; select * from image; select * from name' | sort; }
rows >"$T/before"
blob() { jq -r "$1" "$T/bad/blobs/sha256/$m" | cut -d: -f2; }
fresh() { rm -rf "$T/bad"; cp -r "$FIX/oci-odd" "$T/bad"; m=$(jq -r '.manifests[0].digest' "$T/bad/index.json" | cut -d: -f2); }
put() { local d; d=$(sha256sum <"$1" | cut -d' ' -f1); cp "$1" "$T/bad/blobs/sha256/$d"; echo "$d"; }
manifest() { # jq program: replaces the manifest by an edited one, digests kept right
    jq -c "$1" "$T/bad/blobs/sha256/$m" >"$T/m"
    local d; d=$(put "$T/m")
    jq -c --arg d "sha256:$d" --argjson n "$(stat -c %s "$T/m")" '.manifests[0].digest = $d | .manifests[0].size = $n' "$T/bad/index.json" >"$T/i"
    cp "$T/i" "$T/bad/index.json"
}
other=$T/other
# A store of its own, so that nothing is known already.
try() { local text=$1; CAIRN_STORE=$other refuse 1 "$text" "$CAIRN" import --name bad:1 "$T/bad:t"; same "$(CAIRN_STORE=$other cairn images -q | wc -l)" 0 "images after '$text'"; }
fresh; l=$(blob '.layers[0].digest'); printf X | dd of="$T/bad/blobs/sha256/$l" bs=1 seek=100 conv=notrunc status=none; try 'nothing was imported'
fresh; l=$(blob '.layers[1].digest'); truncate -s -20 "$T/bad/blobs/sha256/$l"; try 'nothing was imported'
fresh; l=$(blob '.layers[1].digest'); rm "$T/bad/blobs/sha256/$l"; try "$l"
fresh; c=$(blob '.config.digest'); echo '{}' >"$T/bad/blobs/sha256/$c"; try 'config'
fresh; manifest '.layers |= reverse'; try 'diff'
fresh; manifest '.layers[0].digest = "sha256:../../../etc/passwd"'; try 'digest'
fresh; manifest '. + {manifests: []}'; try 'manifests'
fresh; manifest '.layers[0].size += 1'; try 'its descriptor says'
fresh; manifest '.layers = []'; try 'layers'
fresh; echo '{"schemaVersion":2,"schemaVersion":2,"manifests":[]}' >"$T/bad/index.json"; try 'duplicate'
fresh; head -c 5000000 /dev/zero | tr '\0' '[' >"$T/bad/index.json"; try 'index.json'
for f in /dev/null /etc/passwd "$CAIRN"; do refuse 1 'import' "$CAIRN" import --name bad:1 "$f"; done
refuse 1 'No such file' "$CAIRN" import "$T/nowhere"
refuse 2 'SOURCE' "$CAIRN" import
for f in "$FIX"/base.tar; do
    head -c 3000000 "$f" >"$T/cut.tar"
    refuse 1 'truncated' "$CAIRN" import --name bad:1 "$T/cut.tar"
    gzip -1 -c "$f" 2>/dev/null | head -c 2000000 >"$T/cut.tar.gz" || true
    refuse 1 'nothing was imported' "$CAIRN" import --name bad:1 "$T/cut.tar.gz"
done
# Ctrl-C and kill -9 in the middle of an import.
cairn import --name big:1 "$FIX/base.tar" & pid=$!; sleep 0.4; kill -INT $pid; rc=0; wait $pid || rc=$?
[ $rc = 130 ] || [ $rc = 0 ] || fail "interrupted import exits with $rc"
cairn images -q --no-trunc >/dev/null
for s in 0.05 0.2 0.5; do cairn import --name "big:$s" "$FIX/base.tar" >/dev/null 2>&1 & pid=$!; sleep $s; kill -9 $pid 2>/dev/null || true; wait $pid 2>/dev/null || true; cairn verify >/dev/null; done
for s in $(cairn images --json | jq -r '.[]? // .images[] | select(.repository == "big") | .repository + ":" + .tag'); do cairn rm "$s"; done
cairn gc >/dev/null
cairn verify
rows | diff "$T/before" -
