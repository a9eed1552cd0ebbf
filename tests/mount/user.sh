# The mount of an ordinary user: by fusermount3, and inside a user namespace with an overlay on top.
. "$(dirname "$0")/../lib/env.sh"
[ "$(id -u)" = 0 ] || skip "needs root, to become somebody else"
command -v fusermount3 >/dev/null || skip "no fusermount3"
# /dev/fuse is root's on some machines: a node of our own, in this test's mount namespace only.
mknod -m 666 "$T/fuse" c 10 229 && mount --bind "$T/fuse" /dev/fuse || skip "no /dev/fuse to be had"
chmod 755 "$T"
cp "$CAIRN" "$T/cairn" # the checkout may lie where others cannot go
CAIRN=$T/cairn
U=$T/user
mkdir -p "$U/mnt" "$U/src/d" "$U/tmp"
echo hello >"$U/src/d/f"
chown -R nobody "$U"
export CAIRN_STORE=$U/store
as() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }

as "$CAIRN" -q import --name t:one "$U/src" >/dev/null
as "$CAIRN" mount "$U/mnt"
same "$(as cat "$U/mnt/images/t@one/rootfs/d/f")" hello "read through the mount"
grep -q " $U/mnt ro,nosuid,nodev,.* - fuse.cairn .*user_id=65534" /proc/self/mountinfo || fail "mount options"
ls "$U/mnt" 2>/dev/null && fail "root sees a user's mount"
echo more >"$U/src/d/f"
as "$CAIRN" -q import --name t:two "$U/src" >/dev/null
same "$(as cat "$U/mnt/images/t@two/rootfs/d/f")" more "an import in the live mount"
as "$CAIRN" -q rm t:two
[ -z "$(as ls "$U/mnt/images" | grep '@two')" ] || fail "removed, and still there"
exec 5< <(as sh -c "exec 6<$U/mnt/images/t@one/rootfs/d/f; echo; exec sleep 60")
holder=$!
read -r -u 5
refuse 1 "in use" as "$CAIRN" umount "$U/mnt"
as "$CAIRN" umount --lazy "$U/mnt"
! mountpoint -q "$U/mnt" || fail "still mounted"
kill "$holder"
exec 5<&-
refuse 2 "isn't a mountpoint" as "$CAIRN" umount "$U/mnt"
if ! grep -q '^user_allow_other' /etc/fuse.conf 2>/dev/null; then
    refuse 1 "user_allow_other" as "$CAIRN" mount --allow-other "$U/mnt"
fi
refuse 1 "Permission denied" as "$CAIRN" mount /root

# Inside a user namespace: mount(2) itself, and a writable overlay over the layer.
as unshare -rm --propagation private true 2>/dev/null || skip "no user namespaces; the rest passed"
tar -C "$U/src" --owner=0 --group=0 -cf "$U/root.tar" .
as "$CAIRN" -q import --name t:root "$U/root.tar" >/dev/null
as unshare -rm --propagation private bash -euc '
    cd "$1"
    "$2" mount mnt
    mount -t tmpfs tmp tmp
    mkdir tmp/up tmp/work tmp/merged
    mount -t overlay ov -o "userxattr,lowerdir=$PWD/mnt/images/t@root/rootfs,upperdir=$PWD/tmp/up,workdir=$PWD/tmp/work" tmp/merged
    [ "$(cat tmp/merged/d/f)" = more ]
    echo changed >tmp/merged/d/f
    [ "$(cat tmp/merged/d/f) $(cat mnt/images/t@root/rootfs/d/f)" = "changed more" ]
    umount tmp/merged
    "$2" umount mnt
' _ "$U" "$CAIRN" || fail "in a user namespace"
