# The file system on a real mount: types, attributes, names, positions, xattrs, writes, changes while mounted, and its end.
. "$(dirname "$0")/../lib/env.sh"
[ "$(id -u)" = 0 ] || skip "needs root"
[ -w /dev/fuse ] || skip "no /dev/fuse"

# says TEXT COMMAND…: the command fails and says so (refuse is for cairn's own exit codes)
says() {
    local text=$1 out
    shift
    out=$("$@" 2>&1 >/dev/null) && fail "'$*' succeeds"
    [[ $out == *"$text"* ]] || fail "'$*' doesn't say '$text': $out"
}

# --- one image with everything that a tar can bring ---
S=$T/src
mkdir -p "$S/d/sub" "$S/many" "$S/empty" "$S/opq"
echo hello >"$S/d/hello"
ln -s ../d/hello "$S/d/sym"
ln "$S/d/hello" "$S/d/sub/hard"
: >"$S/d/nothing"
head -c 3000000 /dev/urandom >"$S/d/large"
for i in $(seq 1 3000); do echo "$i" >"$S/many/file$i"; done
long=$(printf 'n%.0s' $(seq 1 255))
echo long >"$S/$long"
printf 'x' >"$S/"$'odd \n\\ \xff'
mkfifo "$S/fifo"
mknod "$S/null" c 1 3
mknod "$S/big" b 259 1048575
chmod 4755 "$S/d/hello"
chown 4000000000:7 "$S/d/nothing"
touch -d '1969-12-31 23:59:58.25 UTC' "$S/d/nothing"
touch -d '2033-05-18 03:33:20.123456789 UTC' "$S/d/sym" -h
cp /bin/true "$S/d/prog"
setcap cap_net_raw+ep "$S/d/prog"
setfattr -n user.note -v hi "$S/d/sub"
setfattr -n trusted.overlay.redirect -v /etc "$S/d/sub"
echo secret >"$S/secret"
chmod 600 "$S/secret"
setfacl -m u:65534:r "$S/secret"
truncate -s 5G "$S/sparse"
printf end | dd of="$S/sparse" bs=1 seek=$((5 * 1024 * 1024 * 1024 - 3)) conv=notrunc status=none
: >"$S/opq/.wh..wh..opq"
: >"$S/.wh.hidden"
tar -C "$S" --sort=name --format=posix --acls --xattrs --xattrs-include='*' -S -cf "$T/one.tar" .
cairn -q import --name t:one "$T/one.tar"

mounted
M=$T/mnt
R=$M/images/t@one/rootfs
grep -q " $M ro,nosuid,nodev,.* - fuse.cairn " /proc/self/mountinfo || fail "mount options: $(grep " $M " /proc/self/mountinfo)"
same "$(ls "$M" | xargs)" "images layers store views" "the root"
same "$(ls "$M/images" | sed 's/sha256-[0-9a-f]\{64\}$/DIGEST/' | xargs)" "t@one t@DIGEST" "images"
same "$(ls "$M/images/t@one" | xargs)" "config.json layers manifest.json rootfs" "an image's folder"
same "$(ls "$M/images/t@one/layers")" 000 "its layers"
L=$(realpath "$M/images/t@one/layers/000")
hex=$(basename "$L")
same "$L" "$M/layers/sha256/$hex" "the link leads to the layer"
same "$hex" "$(sha256sum <"$T/one.tar" | cut -d' ' -f1)" "which is named by its digest"
same "$(ls "$M/layers/sha256")" "$hex" "layers"
same "$(sha256sum <"$M/images/t@one/config.json" | cut -d' ' -f1)" \
    "$(grep -o '"config":{[^}]*}' "$M/images/t@one/manifest.json" | grep -o 'sha256:[0-9a-f]*' | cut -d: -f2)" "config.json is what the manifest names"

# --- contents and attributes ---
rm -r "$S/opq/.wh..wh..opq" "$S/.wh.hidden"
diff -r --no-dereference -x fifo -x null -x big -x sparse "$S" "$R" || fail "contents differ"
for f in d d/hello d/sym d/sub/hard d/nothing d/large fifo null big sparse "$long" empty many; do
    same "$(stat -c '%F %a %u %g %h %Y %y %t:%T' "$R/$f")" "$(stat -c '%F %a %u %g %h %Y %y %t:%T' "$S/$f")" "attributes of $f"
    [ -d "$R/$f" ] || same "$(stat -c %s "$R/$f")" "$(stat -c %s "$S/$f")" "size of $f"
done
same "$(readlink "$R/d/sym")" ../d/hello "target"
same "$(stat -c %i "$R/d/hello")" "$(stat -c %i "$R/d/sub/hard")" "hard links are one inode"
same "$(stat -c %i "$R/d/hello")" "$(stat -c %i "$L/d/hello")" "the image's file is the layer's"
[ "$(stat -c %i "$R/d")" != "$(stat -c %i "$L/d")" ] || fail "a directory is in two places"
[ "$(stat -c %b "$R/sparse")" -le 64 ] || fail "the sparse file has $(stat -c %b "$R/sparse") blocks"
same "$(tail -c 3 "$R/sparse")" end "bytes behind 4 GiB"
same "$(perl -e 'open F,"<",$ARGV[0] or die; printf "%d %d", sysseek(F,0,3)>4e9, sysseek(F,0,4)' "$R/sparse")" "1 0" "SEEK_DATA, SEEK_HOLE"
same "$(getcap "$R/d/prog" | sed 's/.* //')" cap_net_raw=ep "capability"
same "$(getfacl -cp "$R/secret" | xargs)" "user::rw- user:nobody:r-- group::--- mask::r-- other::---" "ACL"
same "$(setpriv --reuid=65534 --regid=65534 --clear-groups cat "$R/secret" 2>&1)" secret "an ACL lets in"
says "Permission denied" setpriv --reuid=1 --regid=1 --clear-groups cat "$R/secret"
same "$(getfattr -m - -d "$R/d/sub" 2>/dev/null | grep -v '^#' | sort | xargs)" "trusted.overlay.overlay.redirect=/etc user.note=hi" "xattrs, overlayfs's escaped"
says "No such attribute" getfattr -n user.nosuch "$R/d/sub"
[ ! -e "$R/hidden" ] && [ ! -e "$R/.wh.hidden" ] || fail "a whiteout is visible in the image"
same "$(stat -c '%F %t:%T' "$L/hidden")" "character special file 0:0" "whiteout of a layer"
same "$(getfattr -m - -d "$L/opq" 2>/dev/null | grep -v '^#' | sort | xargs)" "trusted.overlay.opaque=y user.overlay.opaque=y" "opaque directory of a layer"
[ "$(df --output=size "$M" | tail -n 1)" -gt 0 ] || fail "statfs"

# --- names ---
says "No such file" stat "$R/d/nosuch"
says "Not a directory" stat "$R/d/hello/x"
cat >"$T/dir.pl" <<'PL'
use strict; my ($d) = @ARGV; opendir(my $h, $d) or die; my (@n, @p);
for (;;) { my $p = telldir $h; my $n = readdir $h; last unless defined $n; push @n, $n; push @p, $p }
for my $i (reverse 0 .. $#n) { next if $i % 97; seekdir $h, $p[$i]; my $n = readdir $h; die "at $p[$i]: $n, not $n[$i]\n" if $n ne $n[$i] }
my %s; $s{$_}++ for @n; die "doubles\n" if grep { $_ > 1 } values %s; print scalar(@n), "\n";
PL
same "$(perl "$T/dir.pl" "$R/many")" 3002 "names with . and .."
same "$(perl "$T/dir.pl" "$R/many")" 3002 "again, from the kernel's pages"
same "$(perl "$T/dir.pl" "$M/images")" 4 "a list"
same "$(find "$R/d" -maxdepth 1 -printf '%f %y %i\n' | sort)" "$(cd "$R" && for n in d d/*; do stat -c "$(basename "$n") %F %i" "$n"; done |
    sed 's/directory/d/; s/regular empty file/f/; s/regular file/f/; s/symbolic link/l/' | sort)" "types and inode numbers of readdir"

# --- nothing can be written ---
for c in "touch $R/d/hello" "touch $R/new" "mkdir $R/new" "rm $R/d/hello" "rmdir $R/empty" "mv $R/d $R/e" "ln $R/d/hello $R/h" "ln -s a $R/h" \
    "chmod 644 $R/d/hello" "chown 1 $R/d/hello" "truncate -s 0 $R/d/hello" "setfattr -n user.a -v b $R/d/hello" "mkdir $M/views/x" "rm $M/images/t@one/config.json"; do
    says "Read-only file system" $c
done

# --- an overlay over the layer as it stands ---
mkdir -p "$T/low/opq" "$T/up" "$T/work" "$T/merged"
touch "$T/low/hidden" "$T/low/opq/below"
mount -t overlay ov -o "lowerdir=$L:$T/low,upperdir=$T/up,workdir=$T/work" "$T/merged"
[ ! -e "$T/merged/hidden" ] && [ ! -e "$T/merged/opq/below" ] || fail "overlayfs doesn't take the layer's whiteouts"
echo more >>"$T/merged/d/hello"
same "$(cat "$T/merged/d/hello" | xargs)" "hello more" "copied up"
same "$(cat "$R/d/hello")" hello "and not below"
umount "$T/merged"

# --- imports and removals in the live mount ---
ino=$(stat -c %i "$R/d/large")
says "No such file" stat "$M/images/t@two1"
mkdir "$T/s2"
for i in 1 2 3 4 5; do
    echo "two $i" >"$T/s2/f"
    cairn -q import --name "t:two$i" "$T/s2"
    same "$(ls "$M/images" | grep -c @two)" "$i" "an import is listed at once"
    same "$(cat "$M/images/t@two$i/rootfs/f")" "two $i" "and can be read"
done
exec 5<"$M/images/t@two1/rootfs/f"
cd "$M/images/t@two2/rootfs"
cairn -q rm t:two1 t:two2
[ ! -e "$M/images/t@two1" ] || fail "removed, and still there"
same "$(ls "$M/images" | grep -c @two)" 3 "not listed either"
cairn -q gc >/dev/null
same "$(cat <&5)" "two 1" "what is open can be read on"
same "$(cat f)" "two 2" "as can a directory that is in use"
exec 5<&-
cd /
# What the kernel has merely cached doesn't keep gc from freeing; what is mounted on top of a removed image's directory stays.
for i in $(seq 60); do grep -q '"held":\[\]' "$CAIRN_STORE"/run/* && break; sleep 0.1; done
grep -q '"held":\[\]' "$CAIRN_STORE"/run/* || fail "removed and unused, but held: $(cat "$CAIRN_STORE"/run/*)"
mkdir -p "$T/s2/proc" "$T/bound"
cairn -q import --name t:bound "$T/s2"
mount --bind "$M/images/t@bound/rootfs" "$T/bound"
mount -t proc proc "$T/bound/proc"
cairn -q rm t:bound
sleep 1
[ -e "$T/bound/proc/self" ] || fail "removing an image detached what was mounted on it"
same "$(cat "$T/bound/f")" "two 5" "a bound image can be read on"
umount "$T/bound/proc" "$T/bound"
rmdir "$T/s2/proc"
echo moved >"$T/s2/f"
cairn -q import --name t:two3 "$T/s2"
same "$(cat "$M/images/t@two3/rootfs/f")" moved "a name that moved"
mkdir "$T/pkg"
echo p >"$T/pkg/p"
p=$(cairn add "$T/pkg" | grep -o '[0-9a-z]\{32\}-pkg' | head -n 1)
same "$(cat "$M/store/$p/p")" p "a package"
same "$(ls "$M/store")" "$p" "is listed"

# --- the end, and again ---
server() { # of the one mount, once those that are on their way out are gone
    local i
    for i in $(seq 100); do
        [ "$(ls "$CAIRN_STORE"/run/mount-*.json | wc -l)" = 1 ] && break
        sleep 0.05
    done
    grep -o '"pid": *[0-9]*' "$CAIRN_STORE"/run/mount-*.json | grep -o '[0-9]*$'
}
exec 5<"$R/d/large"
refuse 1 "in use" cairn umount "$M"
exec 5<&-
cairn umount "$M"
! mountpoint -q "$M" || fail "still mounted"
mounted
same "$(stat -c %i "$R/d/large")" "$ino" "inode numbers hold over a remount"
pid=$(server)
kill -TERM "$pid"
for i in $(seq 100); do mountpoint -q "$M" || break; sleep 0.05; done
! mountpoint -q "$M" || fail "SIGTERM doesn't unmount"
mounted
pid=$(server)
kill -KILL "$pid"
sleep 0.2
says "not connected" stat "$M/images"
cairn umount "$M"
mounted

# --- damage is an error of what is damaged only, and no missing file ---
head -c 2000000 /dev/urandom >"$T/s2/f"
before=$(ls "$CAIRN_STORE/packs")
cairn -q import --name t:hurt "$T/s2"
pack=$(comm -13 <(echo "$before") <(ls "$CAIRN_STORE/packs"))
stat "$M/images/t@hurt/rootfs/f" >/dev/null
dd if=/dev/zero of="$CAIRN_STORE/packs/$pack" bs=1000 seek=500 count=800 conv=notrunc status=none
says "Input/output error" cat "$M/images/t@hurt/rootfs/f"
[ -f "$M/images/t@hurt/rootfs/f" ] || fail "a damaged file isn't missing"
cmp "$S/d/large" "$R/d/large" || fail "another image's file is hurt too"
cairn umount "$M"
