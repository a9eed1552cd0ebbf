#!/bin/bash
# make install puts everything in place below DESTDIR, and what it put there works.
. "$(dirname "$0")/../lib/env.sh"
make -s -C "$ROOT" BUILD="$BUILD" DESTDIR="$T/dest" PREFIX=/usr install
for f in usr/bin/cairn usr/share/man/man1/cairn.1 usr/share/man/man1/cairn-run.1 usr/share/bash-completion/completions/cairn \
    usr/share/zsh/site-functions/_cairn usr/share/fish/vendor_completions.d/cairn.fish; do [ -s "$T/dest/$f" ] || fail "$f is missing"; done
same "$(readlink "$T/dest/sbin/mount.fuse.cairn")" /usr/bin/cairn "mount helper"
"$T/dest/usr/bin/cairn" --version | grep -q '^cairn '
bash -n "$T/dest/usr/share/bash-completion/completions/cairn"
make -s -C "$ROOT" DESTDIR="$T/dest" PREFIX=/usr uninstall
same "$(find "$T/dest" ! -type d | wc -l)" 0 "files after uninstall"
