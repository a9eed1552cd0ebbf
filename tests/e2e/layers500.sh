#!/bin/bash
# No layer limit: an image of 500 layers is browsed, run, and costs no more per look-up than one of 5.
. "$(dirname "$0")/../lib/env.sh"
python3 - "$T" <<'P'
import hashlib, io, json, os, sys, tarfile
out = sys.argv[1]
def layout(path, count):
    blobs = path + "/blobs/sha256"
    os.makedirs(blobs)
    def put(b):
        d = hashlib.sha256(b).hexdigest()
        open(f"{blobs}/{d}", "wb").write(b)
        return "sha256:" + d, len(b)
    layers, diffs = [], []
    for i in range(count):
        f = io.BytesIO()
        t = tarfile.open(fileobj=f, mode="w", format=tarfile.PAX_FORMAT)
        for name, data in [(f"d/f{i:03}", b"layer %d\n" % i), ("top", b"last %d\n" % i)]:
            m = tarfile.TarInfo(name); m.size = len(data); m.mtime = i
            t.addfile(m, io.BytesIO(data))
        t.close()
        d, n = put(f.getvalue())
        layers.append({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": d, "size": n}); diffs.append(d)
    c, cn = put(json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": diffs}}).encode())
    m, mn = put(json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": c, "size": cn}, "layers": layers}).encode())
    open(path + "/oci-layout", "w").write('{"imageLayoutVersion":"1.0.0"}')
    json.dump({"schemaVersion": 2, "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": m, "size": mn, "annotations": {"org.opencontainers.image.ref.name": "t"}}]}, open(path + "/index.json", "w"))
for n in (5, 500): layout(f"{out}/l{n}", n)
P
for n in 5 500; do cairn import --platform linux/amd64 --name many:$n "$T/l$n:t"; done
mounted
r=$T/mnt/images/many@500/rootfs
same "$(ls "$r/d" | wc -l)" 500 "files"
same "$(cat "$r/top")" "last 499" "the upper layer wins"
same "$(cat "$r/d/f000")" "layer 0" "the lowest layer shows"
same "$(ls "$T/mnt/images/many@500/layers" | wc -l)" 500 "layers"
cairn ls -R many:500 | tail -n 3
for n in 5 500; do
    s=$(date +%s%N)
    for i in 1 2 3 4 5 6 7 8 9 10; do stat "$T/mnt/images/many@$n/rootfs/none-$i-$n" 2>/dev/null || true; done
    echo "$n layers: $((($(date +%s%N) - s) / 10000)) us a look-up (with the process)"
done
