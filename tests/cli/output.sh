#!/bin/bash
# What commands print: tables and lists to the byte, --json with its keys, -q, control characters, closed and full outputs.
. "$(dirname "$0")/../lib/env.sh"
export TZ=UTC
mkdir -p "$T/one/a/b"
echo hello >"$T/one/a/b/file"
ln "$T/one/a/b/file" "$T/one/a/hard"
ln -s b "$T/one/a/link"
mkfifo "$T/one/pipe"
printf x >"$T/one/"$'evil\033[31m\n\302\233name'
cp -a "$T/one" "$T/two"
echo 'hello, you' >"$T/two/a/b/file"
chmod 1777 "$T/two/a"
rm "$T/two/pipe"
touch "$T/two/new"
for d in one two; do find "$T/$d" -print0 | xargs -0 touch -h -d @1600000000; [ "$(id -u)" != 0 ] || chown -Rh 0:0 "$T/$d"; chmod 4755 "$T/$d/a/b/file"; done
cairn import -q --name d:1 "$T/one" >/dev/null
cairn import -q --name d:2 --created-by 'by hand' "$T/two" >/dev/null
cairn import -q "$FIX/cache-none" >/dev/null
top=$(cat "$FIX/nix-top")
owner="$(stat -c '%5u %5g' "$T/one")"
golden() { # NAME: standard input is what the rest prints
    local name=$1
    shift
    cat >"$T/want"
    "$@" >"$T/got"
    diff -u "$T/want" "$T/got" || fail "$name"
}
times() { sed -E 's/[0-9]+ (second|minute)s? ago|just now/AGE/; s/ +$//'; }
golden "ls" cairn ls d:1:a <<'EOF'
b
hard
link
EOF
golden "ls -lR" cairn ls -lR d:1:/a <<EOF
/a:
drwxr-xr-x   2 $owner           0 2020-09-13 12:26 b
-rwsr-xr-x   2 $owner           6 2020-09-13 12:26 hard
lrwxrwxrwx   1 $owner           1 2020-09-13 12:26 link -> b

/a/b:
-rwsr-xr-x   2 $owner           6 2020-09-13 12:26 file
EOF
golden "ls of a link, and of what it points to" cairn ls -l d:1:/a/link d:1:/a/link/ <<EOF
lrwxrwxrwx   1 $owner           1 2020-09-13 12:26 d:1:/a/link -> b
-rwsr-xr-x   2 $owner           6 2020-09-13 12:26 file
EOF
golden "diff" cairn diff d:1 d:2 <<'EOF'
C      0B      0B  /a
C      6B     11B  /a/b/file
C      6B     11B  /a/hard
A              0B  /new
D      0B          /pipe
1 added, 1 removed, 3 changed, +10B
EOF
golden "diff the other way round" cairn diff --stat d:2 d:1 <<'EOF'
1 added, 1 removed, 3 changed, -10B
EOF
golden "no difference" cairn diff d:1:/a d:1:/a <<'EOF'
0 added, 0 removed, 0 changed, +0B
EOF
same "$(cairn diff -q d:1 d:1)" "" "diff -q of what is equal"
images() { cairn images d | sed -E 's/[0-9a-f]{12}/DIGEST______/' | times; }
golden "images" images <<'EOF'
REPOSITORY   TAG   DIGEST         LAYERS   SIZE   UNIQUE   IMPORTED
d            1     DIGEST______        1     7B       6B   AGE
d            2     DIGEST______        1    12B      11B   AGE
EOF
layers() { cairn layers | sed -E 's/[0-9a-f]{12}/DIGEST______/' | times; }
golden "layers" layers <<'EOF'
DIFFID         ENTRIES   SIZE   UNIQUE   IMAGES   IMPORTED
DIGEST______         8     7B       6B        1   AGE
DIGEST______         8    12B      11B        1   AGE
EOF
history() { cairn history d:2 | sed -E 's/[0-9a-f]{12}/DIGEST______/; s/[0-9]+ years? ago/AGE/' | tr -s ' ' | times; }
golden "history" history <<'EOF'
LAYER CREATED CREATED BY SIZE COMMENT
DIGEST______ AGE by hand 12B
EOF
packages() { cairn packages | grep -E '^NAME|-nginx-conf-1 ' | tr -s ' ' | times | sed 's/ AGE$//'; }
golden "packages" packages <<EOF
NAME SIZE UNIQUE REFS TRUSTED IMPORTED
$(grep -o '[^/]*-nginx-conf-1$' "$FIX/nix-closure") 5.20kB 5.20kB 0 no
EOF
cairn why "$top" zlib >"$T/got"
same "$(sed -n '1p;2s/^└─ //p;3s/^   └─ //p' "$T/got" | wc -l)" "$(wc -l <"$T/got")" "the chain of why"
same "$(cairn closure "$top")" "$(cairn closure --json "$top" | jq -r '.[]')" "closure and its JSON"
same "$(cairn closure "$top" | sort)" "$(sort "$FIX/nix-closure")" "closure and Nix's"

# --json: one document with exactly these members.
has() { # WANTED-KEYS FILTER COMMAND…: the keys of what the filter takes from the command's only document
    local want=$1 filter=$2
    shift 2
    "$@" >"$T/json" || fail "$*: exit $?"
    same "$(jq -s length "$T/json")" 1 "documents of '$*'"
    same "$(jq -r "$filter | keys | join(\" \")" "$T/json" | sort -u)" "$want" "members of '$*'"
}
same "$(cairn images --json | jq -r '.[] | select(.tag == "2") | .size, .unique' | xargs)" "12 11" "sizes in JSON"
d=$(cairn layers -q | head -n 1)
has "config digest imported layers repository size tag unique" '.[]' cairn images --json
has "diffid entries images imported size tar_size unique" '.[]' cairn layers --json
has "imported nar_hash nar_size path references size trusted unique" '.[]' cairn packages --json
has "comment created created_by layer size" '.[]' cairn history --json d:1
has "config config_digest imported layers manifest names type" . cairn info --json d:1
has "ca deriver imported nar_hash nar_size path references signatures trusted type" . cairn info --json zlib
has "diffid entries imported tar_size type" . cairn info --json "$d"
has "change path size_after size_before" '.[]' cairn diff --json d:1 d:2
has "gid mode mtime nlink path size type uid" '.[] | select(.type != "l")' cairn ls --json -R d:1
has "gid mode mtime nlink path size target type uid" '.[] | select(.type == "l")' cairn ls --json -R d:1
has "bytes chunks damaged findings objects packs" . cairn verify --json
has "bytes_freed bytes_waiting chunks dry_run objects_removed" . cairn gc --json
has "bytes_in bytes_new bytes_stored files imported nothing_new" . cairn import --json --name d:1 "$T/one"
has "id kind name new" '.imported[]' cairn import --json --name d:1 "$T/one"
has "bytes_in bytes_new bytes_stored files imported nothing_new" . cairn add --json "$T/two/a"
has "args env init steps user workdir" . cairn run --json --dry-run d:1 x
cairn tag d:1 e:1
has "removed" . cairn rm --json e:1
for c in images layers packages; do same "$(cairn $c -q --json)" "$(cairn $c --json)" "$c: -q beside --json"; done
for p in /a /a/ a a//; do same "$(cairn ls --json "d:1:$p" | jq -r '.[0].path')" /a/b "the path of '$p'"; done
same "$(cairn ls --json d:1 | jq -r '.[1].path')" "$(printf '/evil\033[31m\n\302\233name')" "a name in JSON"

# -q: names and ids alone.
same "$(cairn images -q --no-trunc d)" "$(cairn images --json d | jq -r '.[].digest')" "images -q --no-trunc"
same "$(cairn images -q d)" "$(cairn images --json d | jq -r '.[].digest[7:19]')" "images -q"
same "$(cairn images -q --names d | xargs)" "d:1 d:2" "images -q --names"
same "$(cairn layers -q)" "$(cairn layers --json | jq -r '.[].diffid')" "layers -q"
same "$(cairn packages -q)" "$(cairn packages --json | jq -r '.[].path')" "packages -q"
same "$(cairn add -q "$T/one/a/b/file")" "$(cairn packages -q | grep -- '-file$')" "add -q"
same "$(cairn import -q --name d:1 "$T/one")" "$(cairn info --json d:1 | jq -r .manifest)" "import -q"
for c in "verify" "gc" "gc --dry-run" "tag d:1 f:1" "rm f:1"; do same "$(cairn -q $c 2>&1)" "" "-q $c"; done

# Control characters don't reach a terminal, from whatever they come; elsewhere names are what they are.
terminal() { script -qec "$*" /dev/null </dev/null; }
cairn import -q --name g:1 --created-by $'first\033[31m\nsecond\302\233' "$T/one" >/dev/null
cp -a "$T/one" "$T/bad"$'\033[31m'
for c in "ls d:1" "ls -lR d:1" "diff d:1 d:2" "history g:1" "history --no-trunc g:1" "info g:1" "import --name h:1 '$T/bad"$'\033[31m'"'" \
    "info 'no"$'\033[31m'"ne'" "cat 'd:1:/"$'\033[31m'"x'" "run --dry-run d:1 $'\\033[31m'"; do
    terminal "$CAIRN $c" >"$T/got" || true
    [ -s "$T/got" ] || fail "'$c' prints nothing"
    if grep -qaP '\x1b\[31m|\xc2\x9b' "$T/got"; then cat -v "$T/got"; fail "'$c': a control sequence reached the terminal"; fi
done
terminal "$CAIRN ls d:1" | grep -qF 'evil\033[31m\012\302\233name' || fail "names aren't shown in octal"
cairn ls d:1 | grep -qaF $'evil\033[31m' || fail "names elsewhere aren't as they are"

# A reader that goes away is no error message; a full disk is one.
list=("images" "layers" "packages" "history d:1" "info d:1" "ls -lR d:1" "diff d:1 d:2" "closure $top" "why $top zlib" "cat d:1:/a/hard"
    "verify" "gc --dry-run" "export d:1" "export zlib" "export $d" "completion bash" "help" "help import" "import --help" "--version"
    "run --dry-run d:1 x" "images --json" "help --man")
for c in "${list[@]}"; do
    rc=0; "$CAIRN" $c 2>"$T/err" | true || rc=$?
    [ ! -s "$T/err" ] || fail "'$c' into a closed pipe: $(cat "$T/err")"
    rc=0; "$CAIRN" $c >/dev/full 2>"$T/err" || rc=$?
    want=1; [[ $c != run* ]] || want=125
    same $rc $want "exit code of '$c' on a full disk"
    same "$(grep -c 'No space left on device' "$T/err")" 1 "messages of '$c' on a full disk"
done
