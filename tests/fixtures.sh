#!/bin/bash
# Makes the real data that the tests and the demo use, once, in $CAIRN_FIXTURES (default /var/tmp/cairn-fixtures):
#   base.tar           a Debian root filesystem (mmdebstrap, minbase)
#   oci/               OCI layout: base, and nginx and apache2 installed on top of it by apt
#   root-NAME/rootfs   what umoci unpacks of these, to compare with
#   oci-odd/           two small layers with everything that a tar layer can hold
#   nixroot/           a Nix store with a real closure: nginx, file and their libraries taken from Debian's packages, each in a store
#                      path of its own, patched to find each other; cache-*/ the same as binary caches; closure.export, top.nar
#   oci-closure/       the closure as a one-layer image (one) and as an image with a layer per package (layered)
# Every part is made in a temporary name and renamed, so an interrupted run continues. Arguments: the parts wanted (default: all).
set -euo pipefail
FIX=${CAIRN_FIXTURES:-/var/tmp/cairn-fixtures}
export SOURCE_DATE_EPOCH=1700000000 LC_ALL=C.UTF-8
mkdir -p "$FIX"
chmod 755 "$FIX"
exec 9>"$FIX/.lock"
flock 9
log=$FIX/fixtures.log
say() { echo "fixture: $*" >&2; }
done_part() { touch "$FIX/.done-$1"; }
has_part() { [ -e "$FIX/.done-$1" ]; }

make_base() {
    local codename mirror
    codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
    mirror=$(apt-get indextargets --format '$(SITE) $(CODENAME)' 'Created-By: Packages' | awk -v c="$codename" '$2 == c {print $1; exit}')
    # Without device nodes in /dev, as images have it (oci-odd has some): GNU diff calls any two of them different.
    mmdebstrap --mode=root --variant=minbase --format=tar --skip=output/dev --aptopt='Apt::Install-Recommends "false"' "$codename" "$FIX/base.tmp" $mirror >>"$log" 2>&1
    mv "$FIX/base.tmp" "$FIX/base.tar"
}

install_in() { # rootfs package
    local r=$1
    mkdir -p "$r/dev"
    cp -L /etc/resolv.conf "$r/etc/resolv.conf"
    printf '#!/bin/sh\nexit 101\n' >"$r/usr/sbin/policy-rc.d"
    chmod +x "$r/usr/sbin/policy-rc.d"
    unshare -m sh -ec "mount -t proc proc '$r/proc'; mount --bind /dev '$r/dev'
        DEBIAN_FRONTEND=noninteractive chroot '$r' sh -ec 'apt-get -q update; apt-get -qy install --no-install-recommends $2; apt-get clean; rm -rf /var/lib/apt/lists/*'"
    rm -f "$r/usr/sbin/policy-rc.d"
}

make_oci() {
    local o=$FIX/oci n
    rm -rf "$o" "$FIX"/work-* "$FIX"/root-*
    umoci init --layout "$o"
    umoci new --image "$o:base"
    umoci raw add-layer --image "$o:base" --history.created_by "mmdebstrap minbase" "$FIX/base.tar"
    umoci config --image "$o:base" --config.cmd /bin/bash --created 2023-11-14T22:13:20Z \
        --config.env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    for n in nginx apache2; do
        umoci unpack --image "$o:base" "$FIX/work-$n"
        install_in "$FIX/work-$n/rootfs" $n
        umoci repack --image "$o:$n" --history.created_by "apt-get install $n" "$FIX/work-$n"
        umoci config --image "$o:$n" --config.exposedports 80/tcp --config.cmd $n --no-history
        rm -rf "$FIX/work-$n"
    done
    for n in base nginx apache2; do umoci unpack --image "$o:$n" "$FIX/root-$n"; done
}

make_odd() {
    local o=$FIX/oci-odd d=$FIX/work-odd l long
    long=$(printf 'n%.0s' {1..255})
    rm -rf "$o" "$d" "$FIX/root-odd"
    umoci init --layout "$o"
    umoci new --image "$o:t"
    mkdir -p "$d"/1/{d,e,usr/lib,empty} "$d"/2/{d,e,lib,acl}
    echo a >"$d/1/d/gone"; echo b >"$d/1/d/keep"; ln "$d/1/d/keep" "$d/1/hard"
    echo h >"$d/1/e/hidden"; mkfifo "$d/1/fifo"; mknod "$d/1/null" c 1 3; mknod "$d/1/blk" b 250 1048
    truncate -s 1M "$d/1/sparse"; echo tail >>"$d/1/sparse"
    setfattr -n user.test -v x "$d/1/d/keep"; chmod 4755 "$d/1/d/keep"; setcap cap_net_raw+ep "$d/1/d/keep"
    chown 1000:1000 "$d"/{1,2}/d; ln -s usr/lib "$d/1/lib"; ln -s nowhere "$d/1/dangling"
    echo long >"$d/1/$long"; printf 'raw' >"$d/1/"$'bytes-\xff\xfe'; echo new >"$d/1/line"$'\n'"break"
    echo old >"$d/1/old"; touch -d '1965-02-03 04:05:06.123456789' "$d/1/old"; touch -d '2100-01-01 00:00:00.5' "$d/1/e"
    echo big >"$d/1/ids"; chown 3000000000:3000000001 "$d/1/ids"; chmod 1777 "$d/1/empty"
    : >"$d/2/d/.wh.gone"; : >"$d/2/e/.wh..wh..opq"; echo n >"$d/2/e/new"; echo through >"$d/2/lib/landed"
    echo acl >"$d/2/acl/f"; setfacl -m u:1234:rw "$d/2/acl/f"; setfacl -d -m g:99:rx "$d/2/acl"
    for l in 1 2; do
        # Layer 2 names lib/landed but not lib: it must land behind layer 1's link.
        (cd "$d/$l" && find . -mindepth 1 ! -path ./lib -print0 -o -path ./lib -type l -print0 | sort -z |
            tar --null --no-recursion -T - --xattrs --xattrs-include='*' --format=posix --sparse --numeric-owner -cf "../$l.tar")
        umoci raw add-layer --image "$o:t" "$d/$l.tar"
    done
    umoci unpack --image "$o:t" "$FIX/root-odd"
    mv "$d/1.tar" "$FIX/odd-1.tar"
    mv "$d/2.tar" "$FIX/odd-2.tar"
    rm -rf "$d"
}

nix_env() {
    export NIX_REMOTE="local?root=$FIX/nixroot" HOME=$FIX/nixhome NIX_PATH= NIX_CONF_DIR=$FIX/nixconf
    mkdir -p "$HOME" "$NIX_CONF_DIR"
    printf 'build-users-group =\nsandbox = true\nsandbox-paths = /bin /lib /lib64 /usr\nsubstituters =\nexperimental-features = nix-command\n' >"$NIX_CONF_DIR/nix.conf"
}

# Files of a Debian package's libraries or programs, out of the nginx root filesystem, into a folder per package.
collect() { # name pattern…
    local name=$1 p
    shift
    mkdir -p "$FIX/work-nix/$name"
    for p in "$@"; do cp -a "$FIX/root-nginx/rootfs"/$p "$FIX/work-nix/$name/"; done
}

make_nix() {
    local lib=usr/lib/x86_64-linux-gnu top c
    rm -rf "$FIX"/work-nix "$FIX"/nixroot "$FIX"/cache-* "$FIX"/nix-*
    mkdir -p "$FIX/work-nix/nginx-conf"
    nix_env
    collect glibc $lib/{ld-linux-x86-64.so.2,libc.so.6,libm.so.6,libdl.so.2,libpthread.so.0,librt.so.1}
    collect libcrypt "$lib/libcrypt.so.1*"
    collect pcre2 "$lib/libpcre2-8.so.0*"
    collect zlib "$lib/libz.so.1*"
    collect openssl $lib/libssl.so.3 $lib/libcrypto.so.3
    collect bzip2 "$lib/libbz2.so.1*"
    collect xz "$lib/liblzma.so.5*"
    collect selinux $lib/libselinux.so.1
    collect coreutils usr/bin/{cat,ls,sleep,true,uname}
    collect bash usr/bin/bash
    collect tinfo "$lib/libtinfo.so.6*"
    collect nginx usr/sbin/nginx
    collect gzip usr/bin/gzip
    cp -a "$FIX/root-nginx/rootfs/etc/nginx/mime.types" "$FIX/root-nginx/rootfs/var/www/html/"* "$FIX/work-nix/nginx-conf/" 2>/dev/null || true
    cat >"$FIX/work-nix/default.nix" <<'N'
let
  build = name: version: deps: files: script: derivation {
    name = "${name}-${version}"; system = "x86_64-linux"; builder = "/bin/bash"; PATH = "/usr/bin:/bin";
    inherit deps files; glibc = if name == "glibc" then "" else glibc;
    args = [ "-euc" ''
      set -o pipefail
      mkdir -p $out
      patch() { # ELF files find their libraries in the store
        local rpath=$out/lib d
        for d in $deps; do rpath=$rpath:$d/lib; done
        [ -z "$glibc" ] || rpath=$rpath:$glibc/lib
        [ $# = 1 ] || patchelf --set-interpreter $glibc/lib/ld-linux-x86-64.so.2 $1
        patchelf --set-rpath $rpath $1
      }
      ${script}
    '' ];
  };
  libs = name: version: deps: files: build name version deps files ''
    mkdir -p $out/lib; cp -a $files/* $out/lib/
    for f in $out/lib/*; do [ -L $f ] || { chmod u+w $f; patch $f; }; done
  '';
  bins = name: version: deps: files: build name version deps files ''
    mkdir -p $out/bin; cp -a $files/* $out/bin/
    for f in $out/bin/*; do chmod u+w $f; case $(head -c 4 $f | tr -d '\0') in *ELF) patch $f program ;; esac; done
  '';
  glibc = build "glibc" "2.36" [] ./glibc "mkdir $out/lib; cp -aL $files/* $out/lib/; chmod 555 $out/lib/*";
in rec {
  libcrypt = libs "libxcrypt" "4.4.33" [] ./libcrypt;
  pcre2 = libs "pcre2" "10.42" [] ./pcre2;
  zlib = libs "zlib" "1.2.13" [] ./zlib;
  openssl = libs "openssl" "3.0" [] ./openssl;
  bzip2 = libs "bzip2" "1.0.8" [] ./bzip2;
  xz = libs "xz" "5.4.1" [] ./xz;
  selinux = libs "libselinux" "3.4" [ pcre2 ] ./selinux;
  tinfo = libs "ncurses" "6.4" [] ./tinfo;
  coreutils = bins "coreutils" "9.1" [ selinux pcre2 ] ./coreutils;
  bash = bins "bash" "5.2.15" [ tinfo ] ./bash;
  gzip = bins "gzip" "1.12" [] ./gzip;
  nginxconf = build "nginx-conf" "1" [] ./nginx-conf ''
    cp -aL $files/* $out/
    printf 'daemon off;\npid /tmp/nginx.pid;\nerror_log stderr;\nevents {}\nhttp { include %s/mime.types; access_log off; server { listen 8080; root %s; } }\n' $out $out >$out/nginx.conf
  '';
  nginx = bins "nginx" "1.22.1" [ libcrypt pcre2 zlib openssl ] ./nginx;
  top = build "nginx-env" "1" [ nginx coreutils bash gzip xz bzip2 nginxconf ] ./nginx-conf ''
    mkdir -p $out/bin $out/lib
    for d in $deps; do [ ! -d $d/bin ] || ln -s $d/bin/* $out/bin/; [ ! -d $d/lib ] || ln -s $d/lib/* $out/lib/; done
    ln -s ${nginxconf} $out/conf
  '';
}
N
    top=$(cd "$FIX/work-nix" && nix-build --no-out-link default.nix -A top 2>>"$log")
    echo "$top" >"$FIX/nix-top"
    nix-store -qR "$top" >"$FIX/nix-closure"
    nix-store --generate-binary-cache-key cairn-test-1 "$FIX/nix-secret" "$FIX/nix-public"
    nix store sign -k "$FIX/nix-secret" -r "$top"
    for c in none xz zstd bzip2 gzip; do
        nix copy --to "file://$FIX/cache-$c?compression=$c&write-nar-listing=true" "$top" 2>>"$log"
    done
    nix-store --dump "$FIX/nixroot$top" >"$FIX/nix-top.nar"
    # shellcheck disable=SC2046
    nix-store --export $(cat "$FIX/nix-closure") >"$FIX/nix-closure.export"
    rm -rf "$FIX/work-nix"
}

make_closure_images() {
    local o=$FIX/oci-closure p i=0 d=$FIX/work-closure
    rm -rf "$o" "$d"
    mkdir -p "$d"
    umoci init --layout "$o"
    umoci new --image "$o:one"
    umoci new --image "$o:layered"
    # Store paths as dockerTools packs them: root's, epoch + 1.
    tar -C "$FIX/nixroot" --sort=name --numeric-owner --owner=0 --group=0 --mtime=@1 -cf "$d/one.tar" $(sed 's|^/||' "$FIX/nix-closure")
    umoci raw add-layer --image "$o:one" --history.created_by "one layer" "$d/one.tar"
    while read -r p; do
        tar -C "$FIX/nixroot" --sort=name --numeric-owner --owner=0 --group=0 --mtime=@1 -cf "$d/$((++i)).tar" "${p#/}"
        umoci raw add-layer --image "$o:layered" --history.created_by "${p##*/}" "$d/$i.tar"
    done <"$FIX/nix-closure"
    for p in one layered; do umoci config --image "$o:$p" --config.entrypoint "$(cat "$FIX/nix-top")/bin/nginx"; done
    rm -rf "$d"
}

needs() { case $1 in oci) echo base ;; nix) echo oci ;; closure) echo nix ;; esac; }
part() {
    local dep
    for dep in $(needs "$1"); do part "$dep"; done
    has_part "$1" && return 0
    say "making '$1' in $FIX"
    case $1 in
    base) make_base ;;
    oci) make_oci >>"$log" 2>&1 ;;
    odd) make_odd >>"$log" 2>&1 ;;
    nix) make_nix >>"$log" 2>&1 ;;
    closure) make_closure_images >>"$log" 2>&1 ;;
    *) say "unknown part '$1'"; return 2 ;;
    esac
    done_part "$1"
}
trap 'rc=$?; [ $rc = 0 ] || { say "failed; the end of $log:"; tail -n 20 "$log" >&2; }' EXIT
[ $# -gt 0 ] || set -- base oci odd nix closure
for p; do part "$p"; done
