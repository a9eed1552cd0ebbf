# Sourced by shell tests. Gives: CAIRN (the program), FIX (fixtures, see fixtures.sh), T (scratch), DATA (shared vectors, may be absent),
# and small assertions. A test ends at the first thing that is not so.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=${BUILD:-$ROOT/build}
CAIRN=$BUILD/cairn
FIX=${CAIRN_FIXTURES:-/var/tmp/cairn-fixtures}
DATA=${CAIRN_DATA:-$ROOT/../shared/data}
T=${T:-$(mktemp -d)}
export CAIRN_STORE=$T/store SOURCE_DATE_EPOCH=1700000000 LC_ALL=C.UTF-8
mounts=()
# fusermount3 wants it; installed systems have it, the barest don't.
[ "$(id -u)" != 0 ] || [ -e /etc/mtab ] || ln -s ../proc/self/mounts /etc/mtab 2>/dev/null || [ -e /etc/mtab ]

fail() { echo "FAIL: $*" >&2; exit 1; }
skip() { echo "$*"; exit 77; }
cairn() { "$CAIRN" "$@"; }
# refuse CODE TEXT COMMAND…: the command must exit with exactly CODE and say TEXT on stderr (a crash is never right).
refuse() {
    local want=$1 text=$2 rc=0
    shift 2
    "$@" >"$T/refuse.out" 2>"$T/refuse.err" </dev/null || rc=$?
    [ "$rc" = "$want" ] || { cat "$T/refuse.err" >&2; fail "'$*' exited with $rc, not $want"; }
    grep -qF -- "$text" "$T/refuse.err" || { cat "$T/refuse.err" >&2; fail "'$*' doesn't say '$text'"; }
}
same() { [ "$1" = "$2" ] || fail "${3:-values differ}: got '$1', want '$2'"; }
mounted() { # [options…] : mounts the store at $T/mnt
    mkdir -p "$T/mnt"
    cairn mount "$@" "$T/mnt"
    mounts+=("$T/mnt")
}
listing() { "$BUILD/tests/treelist" "$@"; }
cleanup() {
    local m
    for m in "${mounts[@]}"; do cairn umount "$m" 2>/dev/null || umount -l "$m" 2>/dev/null || true; done
}
trap cleanup EXIT
