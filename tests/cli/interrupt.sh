#!/bin/bash
# The progress bar is for terminals only, and Ctrl-C there stops an import: exit code 130, and the store as it was.
. "$(dirname "$0")/../lib/env.sh"
command -v python3 >/dev/null || skip "no python3"
cairn import -q --name odd:1 "$FIX/oci-odd:t" >/dev/null
before=$(cairn images --json | jq -S 'map(del(.imported))'; cd "$CAIRN_STORE/packs" && sha256sum ./*)
mkfifo "$T/source"
# Runs an import of a tar that goes on for ever on a terminal of 80 columns, until the bar was seen; then presses Ctrl-C.
cat >"$T/press.py" <<'EOF'
import fcntl, os, pty, re, select, struct, sys, termios, threading, time
cairn, fifo = sys.argv[1:3]
pid, terminal = pty.fork()
if pid == 0:
    os.execvp("sh", ["sh", "-c", 'exec "$0" import --name new:1 - <"$1"', cairn, fifo])
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 25, 80, 0, 0))
def feed():
    try:
        with open(fifo, "wb", buffering=0) as f:
            name = b"big"
            head = bytearray(512)
            head[0:len(name)] = name
            head[100:107], head[108:115], head[116:123] = b"0000644", b"0000000", b"0000000"
            head[124:135], head[136:147] = b"77777777777", b"00000000000"
            head[156], head[257:265] = ord("0"), b"ustar\x0000"
            head[148:156] = b" " * 8
            head[148:155] = b"%06o\0" % sum(head)
            f.write(head)
            while True:
                f.write(os.urandom(200000))
                time.sleep(0.01)
    except BrokenPipeError:
        pass
threading.Thread(target=feed, daemon=True).start()
seen, pressed, end = b"", False, time.time() + 60
while time.time() < end:
    if select.select([terminal], [], [], 0.2)[0]:
        try:
            data = os.read(terminal, 65536)
        except OSError:
            break
        if not data:
            break
        seen += data
    if not pressed and len(re.findall(rb"\r\x1b\[K[^\r]*MB/s", seen)) >= 3:
        os.write(terminal, b"\x03")
        pressed = True
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
text = seen.decode(errors="replace")
print("exit", code)
print("bar", max((len(x) for x in re.findall(r"\r\x1b\[K([^\r]*)", text)), default=0))
print("last", repr(text.replace("^C", "").rsplit("\r\x1b[K", 1)[-1]))
EOF
timeout 100 python3 "$T/press.py" "$CAIRN" "$T/source" >"$T/said"
grep -qx 'exit 130' "$T/said" || { cat "$T/said"; fail "exit code"; }
grep -q '^last .cairn import: import -: .*; nothing was imported' "$T/said" || { cat "$T/said"; fail "message"; }
n=$(sed -n 's/^bar //p' "$T/said")
[ "$n" -gt 10 ] && [ "$n" -lt 80 ] || fail "the bar is $n columns wide"
same "$(cairn images --json | jq -S 'map(del(.imported))'; cd "$CAIRN_STORE/packs" && sha256sum ./*)" "$before" "the store afterwards"
same "$(find "$CAIRN_STORE/tmp" -type f | wc -l)" 0 "files in tmp/"
cairn verify | grep -q 'all as it should be'
# No terminal, no bar, however long it takes; with -v a line now and then.
(exec 3>"$T/source"; for _ in 1 2 3 4; do head -c 200000 /dev/urandom >&3; sleep .3; done) 2>/dev/null &
refuse 1 'not recognised' "$CAIRN" import --name new:1 "$T/source"
grep -q 'MB/s' "$T/refuse.err" && fail "a bar without a terminal"
tar -C "$FIX/root-base" -cf "$T/base.tar" rootfs/usr/lib
cairn import --name base:1 - <"$T/base.tar" >"$T/out" 2>"$T/err"
[ ! -s "$T/err" ] || fail "standard error: $(cat "$T/err")"
# A terminal on standard output alone gets no bar, either; and -q none on any.
cairn rm base:1 >/dev/null
cairn gc --full -q
script -qec "$CAIRN import -q --name base:1 $T/base.tar" "$T/typescript" </dev/null >"$T/out"
same "$(tr -d '\r' <"$T/out" | grep -c .)" 1 "lines with -q"
