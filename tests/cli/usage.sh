#!/bin/bash
# Wrong usage of every command: exit code 2 (run: 125), what is wrong, how it is right; and nothing on standard output.
. "$(dirname "$0")/../lib/env.sh"
wrong() { # CODE TEXT COMMAND…
    refuse "$@"
    [ ! -s "$T/refuse.out" ] || fail "'${*:3}' prints on standard output"
}
verbs=$(cairn help | sed -n '/^commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
[ "$(wc -w <<<"$verbs")" -gt 20 ] || fail "commands: $verbs"
for v in $verbs; do
    code=2; [ $v != run ] || code=125
    synopsis=$(cairn help $v | sed -n '1s/^usage: //p')
    for bad in --no-such-option --json=x -Z; do
        wrong $code "cairn $v: " "$CAIRN" $v $bad
        grep -qxF "usage: $synopsis (cairn help $v)" "$T/refuse.err" || { cat "$T/refuse.err"; fail "$v $bad: no usage line"; }
        same "$(wc -l <"$T/refuse.err")" 2 "lines of '$v $bad'"
    done
    wrong $code "option '--store' wants DIR" "$CAIRN" $v --store
    # Too few and too many, where there is such a thing.
    case $synopsis in
    "cairn $v" | "cairn $v [options]" | "cairn $v [options] ["*) ;;
    "cairn run "*) wrong 125 'what is to be run?' "$CAIRN" run ;;
    "cairn $v ["*) ;;
    *) wrong 2 "cairn $v: too few arguments: cairn $v " "$CAIRN" $v ;;
    esac
    case $synopsis in
    *…*) ;;
    *) wrong 2 "cairn $v: too many arguments: cairn $v" "$CAIRN" $v 1 2 3 ;;
    esac
    # --help wins over all that is wrong, but an unknown option.
    cairn $v --help 1 2 3 >"$T/out"
    cairn $v -q --help | cmp - "$T/out"
    cairn --help $v | cmp - "$T/out"
    cairn help $v | cmp - "$T/out"
    # A store that isn't there; and one that is something else.
    case $v in
    help | completion | mount | umount | add | import) ;;
    run) refuse 125 "no store at $T/none" "$CAIRN" run --store "$T/none" x ;;
    *)
        args=$(sed 's/^cairn [a-z]* *//; s/\[[^]]*\]//g' <<<"$synopsis")
        [ $v != export ] || args="$args -o $T/x"
        # shellcheck disable=SC2086
        refuse 1 "cairn $v: no store at $T/none (the first import makes one)" "$CAIRN" $v --store "$T/none" $args
        [ ! -e "$T/none" ] || fail "$v made a store"
        ;;
    esac
done
# Without a command.
wrong 2 "cairn: unknown command 'imoprt' (cairn help lists them)" "$CAIRN" imoprt
wrong 2 "unknown command 'nope'" "$CAIRN" help nope
wrong 2 "unknown command 'nope'" "$CAIRN" nope --help
wrong 2 'cairn: no command' "$CAIRN" -q
wrong 2 'cairn: no command' "$CAIRN" ''
wrong 2 'cairn: no command' "$CAIRN" --store "$T"
wrong 2 "option '--store' wants DIR" "$CAIRN" --store
wrong 2 "unknown option '--jsom' (did you mean '--json'?)" "$CAIRN" --jsom images
wrong 2 "unknown option '-n'" "$CAIRN" -n images
# Values that make no sense.
wrong 2 "cache size 'x': a size like 64M or 1G is wanted" "$CAIRN" mount --cache-size x "$T"
wrong 2 'a cache of less than 4M is of no use' "$CAIRN" mount --cache-size 1k "$T"
wrong 2 "unknown mount option 'wings'" "$CAIRN" mount -o ro,wings "$T"
wrong 2 'a store is shown read-only' "$CAIRN" mount -o rw "$T"
wrong 2 '--name and --store-path are for one source' "$CAIRN" import --name a:1 x y
wrong 2 '--name is for one path' "$CAIRN" add --name a x y
wrong 2 "no completion for 'tcsh'" "$CAIRN" completion tcsh
refuse 2 "isn't a mountpoint" "$CAIRN" umount "$T"
# Stores that are none.
mkdir "$T/else" && touch "$T/else/file"
refuse 1 "$T/else" "$CAIRN" --store "$T/else" images
refuse 2 'is not empty and not a store' "$CAIRN" --store "$T/else" import --name a:1 "$FIX/oci-odd:t"
[ ! -e "$T/else/format" ] && [ ! -e "$T/else/packs" ] || fail "a folder that is no store became one"
refuse 1 "$T/else/file" "$CAIRN" --store "$T/else/file" images
