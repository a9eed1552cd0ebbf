#!/bin/sh
# Installs through apt what a stage needs and this machine lacks; says nothing when all is there.
#   tests/deps.sh build|demo|test|check|bench|man
set -eu

build="gcc make pkg-config libc6-dev libfuse3-dev libsqlite3-dev libssl-dev libzstd-dev libarchive-dev zlib1g-dev libjansson-dev libseccomp-dev libcap-dev fuse3"
# Real peers and makers of real data: images (mmdebstrap, umoci, skopeo), packages (nix, patchelf).
data="mmdebstrap umoci skopeo nix-bin patchelf jq busybox-static attr acl libcap2-bin util-linux ca-certificates zstd xz-utils bzip2 uidmap curl"
case ${1:-build} in
build) want=$build ;;
demo) want="$build $data" ;;
test) want="$build $data strace sqlite3 golang-1.19-src|golang-src python3 procps openssl lzip lz4" ;;
check) want="$build clang-format clang-tidy cppcheck mandoc" ;;
bench) want="$build $data squashfs-tools squashfuse erofs-utils casync time hyperfine bubblewrap crun runc" ;;
*) echo "deps.sh: unknown stage '$1'" >&2; exit 2 ;;
esac

missing=
for alternatives in $want; do
    found=
    for p in $(echo "$alternatives" | tr '|' ' '); do
        if dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'install ok installed'; then found=1; fi
    done
    [ -n "$found" ] || missing="$missing $alternatives"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
    echo "deps.sh: these packages are missing; install them as root: apt-get install$(echo "$missing" | tr '|' ' ')" >&2
    exit 1
fi
echo "installing:$missing" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update >&2
# Of alternatives, the first that this release has.
install=
for alternatives in $missing; do
    for p in $(echo "$alternatives" | tr '|' ' '); do
        if apt-cache show "$p" >/dev/null 2>&1; then install="$install $p"; break; fi
    done
done
# shellcheck disable=SC2086
apt-get -o DPkg::Lock::Timeout=300 -qq install -y --no-install-recommends $install </dev/null >/dev/null
