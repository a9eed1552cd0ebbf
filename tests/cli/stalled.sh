#!/bin/bash
# Ctrl-C reaches an import whose standard input stalls.
. "$(dirname "$0")/../lib/env.sh"
mkfifo "$T/fifo"
sleep 60 >"$T/fifo" &
holder=$!
"$CAIRN" import --name a:1 - <"$T/fifo" >"$T/out" 2>"$T/err" &
pid=$!
sleep 1
# (a background job of a script ignores SIGINT unless the program asks for it, as import does)
kill -INT $pid
for ((i = 0; i < 50; i++)); do kill -0 $pid 2>/dev/null || break; sleep .1; done
kill -0 $pid 2>/dev/null && { kill -9 $pid $holder; fail "it still waits"; }
rc=0; wait $pid || rc=$?
kill $holder
same $rc 130 "exit code"
grep -q 'nothing was imported' "$T/err" || { cat "$T/err"; fail "it doesn't say that nothing was imported"; }
same "$(cairn images -q | wc -l)" 0 images
