#!/bin/bash
# An import stays under 256 MiB whatever it is fed: a large file, many small ones, sparse ones.
. "$(dirname "$0")/../lib/env.sh"
rss() { # COMMAND…: prints the largest resident size in KiB
    python3 -c 'import resource, subprocess, sys
r = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(r.returncode)' "$@"
}
bounded() { local n; n=$(rss "$CAIRN" import "${@:2}"); echo "$1: $((n / 1024)) MiB"; [ "$n" -lt 262144 ] || fail "$1 took $n KiB"; }
bounded "an image" --name deb:nginx "$FIX/oci:nginx"
wide() { # FILE COUNT LENGTH: so many small files with names so long
    python3 - "$@" <<'P'
import io, sys, tarfile
t = tarfile.open(sys.argv[1], "w", format=tarfile.PAX_FORMAT)
name = "n" * int(sys.argv[3])
for i in range(int(sys.argv[2])):
    m = tarfile.TarInfo(f"some/folder/{i % 977}/{name}{i}"); m.size = 8
    t.addfile(m, io.BytesIO(b"%08d" % i))
t.close()
P
}
wide "$T/wide.tar" 380000 10
bounded "380,000 small files" --name wide:1 "$T/wide.tar"
wide "$T/wide.tar" 220000 200
bounded "220,000 with long names" --name wide:2 "$T/wide.tar"
wide "$T/wide.tar" 300000 200
refuse 1 'over the limit' "$CAIRN" import --name wide:3 "$T/wide.tar"
openssl enc -aes-128-ctr -K 00 -iv 00 -nosalt </dev/zero 2>/dev/null | head -c 1500000000 >"$T/large" || true
truncate -s 5G "$T/large"
(cd "$T" && tar --sparse -cf large.tar large)
bounded "a file over 4 GiB, mostly a hole" --name large:1 "$T/large.tar"
mounted
cmp "$T/large" "$T/mnt/images/large@1/rootfs/large"
