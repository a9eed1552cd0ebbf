#!/bin/bash
# Processes in the composed roots: both images, a package with its closure; exit codes as docker's; nothing stays behind.
. "$(dirname "$0")/../lib/env.sh"
cairn import --name deb:nginx "$FIX/oci:nginx"
cairn import --name deb:apache2 "$FIX/oci:apache2"
cairn import "$FIX/cache-zstd" >/dev/null
mounts_before=$(wc -l </proc/self/mountinfo)
folders() { find /run /tmp -maxdepth 1 -name 'cairn-run-*' 2>/dev/null | sort; }
folders >"$T/folders"
check_runs() {
    cairn run deb:nginx nginx -v 2>&1 | grep -q 'nginx version'
    cairn run deb:apache2 apache2 -v 2>&1 | grep -q Apache
    # PID 1 is the init, or the command with --init=false; own host name and mounts; the writable layer is private.
    same "$(cairn run --init=false deb:nginx sh -c 'echo $$')" 1 "PID"
    same "$(cairn run --hostname box deb:nginx hostname)" box "host name"
    cairn run deb:nginx sh -ec 'echo changed >/etc/debian_version; rm -rf /usr/share/doc; cat /etc/debian_version' | grep -qx changed
    cairn run deb:nginx cat /etc/debian_version | cmp - "$FIX/root-nginx/rootfs/etc/debian_version"
    same "$(cairn run -e A=b -w /usr/share -u 33:33 deb:nginx sh -c 'echo $A $PWD $(id -u):$(id -g)')" "b /usr/share 33:33" "-e -w -u"
    same "$(echo hello | cairn run -i deb:nginx cat)" hello "standard input"
    rc=0; cairn run deb:nginx sh -c 'exit 42' || rc=$?; same $rc 42 "exit code"
    rc=0; cairn run deb:nginx sh -c 'kill -9 $$' || rc=$?; same $rc 137 "killed"
    refuse 127 'no-such-command' "$CAIRN" run deb:nginx no-such-command
    refuse 126 '/etc/passwd' "$CAIRN" run deb:nginx /etc/passwd
    refuse 125 'no-such-image' "$CAIRN" run no-such-image true
    refuse 125 'unknown option' "$CAIRN" run --no-such-option deb:nginx true
    # A package: its closure at its true paths and nothing else.
    top=$(cat "$FIX/nix-top")
    cairn run --package "$top" -- nginx -v 2>&1 | grep -q 'nginx version'
    same "$(cairn run --package "$top" ls /nix/store | wc -l)" "$(wc -l <"$FIX/nix-closure")" "paths in /nix/store"
    cairn run --package "$top" ls /usr 2>/dev/null && fail "the host's /usr shows"
    cairn run --dry-run deb:nginx true | grep overlay >/dev/null
    # What a process may not do to the host's device nodes; what it gets back of SIGPIPE; what can't be a volume.
    mode=$(stat -c %a /dev/full /dev/null)
    cairn run deb:nginx sh -c 'chmod 600 /dev/full; chmod 600 /proc/keys; echo x >/dev/null' 2>/dev/null
    same "$(stat -c %a /dev/full /dev/null)" "$mode" "the host's device nodes"
    same "$(cairn run deb:nginx sh -c 'yes | head -1' 2>&1)" y "SIGPIPE"
    refuse 125 'root itself' "$CAIRN" run -v "$T:/." deb:nginx true
    # Killed hard: the container goes, too, whatever its user.
    "$CAIRN" run -u www-data deb:nginx sleep 86399 & pid=$!
    for _ in $(seq 100); do [ -n "$(pgrep -xf 'sleep 86399')" ] && break; sleep .05; done
    kill -9 $pid; wait $pid 2>/dev/null || true
    for _ in $(seq 100); do [ -z "$(pgrep -xf 'sleep 86399')" ] && break; sleep .05; done
    [ -z "$(pgrep -xf 'sleep 86399')" ] || fail "the process outlived cairn run"
    # What a hard kill leaves, an empty folder, the next run sweeps away (seen at the end).
    # Targets that are links to nothing are made where they point, inside.
    rm -rf "$T/r,o"; mkdir -p "$T/r,o/etc" "$T/r,o/bin"; cp /bin/busybox "$T/r,o/bin/cat"
    ln -s ../run/none/hosts "$T/r,o/etc/hosts"; ln -s ../../../../../..$T/escaped "$T/r,o/dev"
    cairn run "$T/r,o" cat /run/none/hosts | grep localhost >/dev/null # -q would close the pipe early
    [ ! -e "$T/escaped" ] || fail "a mount target left the root"
    # Closed standard streams are no numbers for files of the store; a closed output is an error.
    refuse 1 'write standard output' sh -c '"$0" images >&-' "$CAIRN"
    same "$(cairn run deb:nginx sh -c 'readlink /proc/self/fd/0' <&-)" /dev/null "closed standard input"
    # A folder serves as a root, too.
    cairn run "$FIX/root-base/rootfs" cat /etc/debian_version | cmp - "$FIX/root-base/rootfs/etc/debian_version"
}
check_runs
mounted
check_runs
cairn run "$T/mnt/images/deb@nginx/rootfs" nginx -v 2>&1 | grep -q 'nginx version'
cairn umount "$T/mnt"
same "$(wc -l </proc/self/mountinfo)" "$mounts_before" "mounts afterwards"
same "$(folders | comm -13 "$T/folders" - | wc -l)" 0 "folders afterwards"
pgrep -f "$CAIRN_STORE" && fail "a process stayed behind"
exit 0
