#!/bin/bash
# Everything as an ordinary user: a store at the default place, import, mount, look, run with the ids of /etc/subuid and with one id.
. "$(dirname "$0")/../lib/env.sh"
[ "$(id -u)" = 0 ] || skip "needs root to become another user"
user=cairn-test
id $user >/dev/null 2>&1 || useradd -M -d /nonexistent -s /bin/bash $user
grep -q "^$user:" /etc/subuid || usermod --add-subuids 500000-565535 --add-subgids 500000-565535 $user
chmod 755 "$T"
mkdir -p "$T/home" "$T/home/run" "$T/mnt" "$T/dev"
cp "$CAIRN" "$T/cairn"
chown -R $user "$T/home" "$T/mnt"
# Where only root may open /dev/fuse, this namespace gets a node for everybody, as ordinary machines have.
if [ "$(stat -c %a /dev/fuse)" != 666 ]; then
    mount -t tmpfs -o mode=755,dev t "$T/dev"
    mknod -m 666 "$T/dev/fuse" c 10 229
    mount --bind "$T/dev/fuse" /dev/fuse
fi
as() { setpriv --reuid=$user --regid=$user --init-groups env -i HOME="$T/home" XDG_RUNTIME_DIR="$T/home/run" PATH=/usr/bin:/bin:/usr/sbin:/sbin LC_ALL=C.UTF-8 FIX="$FIX" T="$T" "$@"; }
chmod -R a+rX "$FIX/oci" "$FIX/cache-zstd"
as "$T/cairn" import --name deb:nginx "$FIX/oci:nginx"
[ -e "$T/home/.local/share/cairn/format" ] || fail "the default store isn't where it should be"
as "$T/cairn" import "$FIX/cache-zstd" >/dev/null
as "$T/cairn" mount "$T/mnt"
as bash -c 'cmp $FIX/root-base/rootfs/etc/debian_version $T/mnt/images/deb@nginx/rootfs/etc/debian_version 2>/dev/null || cat $T/mnt/images/deb@nginx/rootfs/etc/debian_version'
as ls "$T/mnt/store" | grep -q glibc
rc=0; as touch "$T/mnt/x" 2>"$T/err" || rc=$?
[ $rc = 1 ] && grep -q 'Read-only' "$T/err" || fail "a write isn't refused as it should be"
as "$T/cairn" umount "$T/mnt"
run_it() {
    as "$T/cairn" run deb:nginx nginx -v 2>&1 | grep -q 'nginx version'
    same "$(as "$T/cairn" run deb:nginx sh -c 'echo x >/root/f; cat /root/f; id -u')" $'x\n0' "a write inside"
    top=$(cat "$FIX/nix-top")
    as "$T/cairn" run --package "$top" -- nginx -v 2>&1 | grep -q 'nginx version'
    rc=0; as "$T/cairn" run deb:nginx sh -c 'exit 7' || rc=$?; same $rc 7 "exit code"
}
run_it
same "$(as "$T/cairn" run -u www-data deb:nginx id -u)" 33 "another user inside"
sed -i "/^$user:/d" /etc/subuid /etc/subgid
run_it
rc=0; as "$T/cairn" run -u www-data deb:nginx id -u 2>"$T/err" || rc=$?
same $rc 125 "a user that isn't mapped" && grep -q subuid "$T/err"
same "$(find "$T/home/run" -maxdepth 1 -name 'cairn-run-*' | wc -l)" 0 "folders afterwards"
userdel $user
