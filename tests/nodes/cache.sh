# Read by the scripts beside it: where nodes are kept, and how one gets there whole or not at all.
#
# obtain NAME BINARY MAKER: prints the path of BINARY below the folder NAME of the cache. Where it is
# not there yet, MAKER is called with an empty folder that becomes NAME once it has succeeded.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${TOMBOLO_NODES:-${HOME:?}/.cache/tombolo/nodes}

need() {
    command -v "$1" >/dev/null || fail "$1 is not installed; install $2"
}

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

obtain() {
    local name=$1 binary=$2 maker=$3 fresh
    if [ ! -e "$cache/$name/$binary" ]; then
        mkdir -p "$cache"
        # One maker at a time; the second finds what the first made.
        exec 9>"$cache/.$name.lock"
        flock 9
        if [ ! -e "$cache/$name/$binary" ]; then
            fresh=$(mktemp -d "$cache/.$name.XXXXXX")
            if ! (cd "$fresh" && "$maker" "$fresh") >"$cache/$name.log" 2>&1; then
                rm -rf "$fresh"
                fail "$name cannot be had; the log is $cache/$name.log, its end: $(tail -n 3 "$cache/$name.log")"
            fi
            [ -e "$fresh/$binary" ] || fail "$name was made, but $binary is not in $fresh"
            rm -rf "${cache:?}/$name"
            mv "$fresh" "$cache/$name"
        fi
        exec 9>&-
    fi
    echo "$cache/$name/$binary"
}
