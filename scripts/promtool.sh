#!/bin/sh
# Prints the path of a promtool, which checks /metrics in the tests: $PROMTOOL, the one on PATH, or that of Debian's package
# prometheus, which is unpacked into .tools/prometheus when there is none. No root is needed where the package lists are there.
#
# With --find it installs nothing. Messages go to standard error; exit 1 when there is none.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
folder=$root/.tools/prometheus

say() { printf '%s\n' "promtool.sh: $*" >&2; }

runs() { "$1" --version >/dev/null 2>&1; }

find_promtool() {
    for promtool in "$(command -v promtool || true)" "$folder/usr/bin/promtool"; do
        runs "$promtool" && printf '%s\n' "$promtool" && return 0
    done
    return 1
}

unpack() {
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || {
        say "this system has no apt-get and dpkg-deb"
        return 1
    }
    say "unpacking Debian's prometheus"
    (cd "$1" && apt-get download prometheus >&2) || {
        # The package lists may be missing, as in a fresh container.
        as_root=$([ "$(id -u)" = 0 ] || echo "sudo -n")
        $as_root apt-get update >&2 && (cd "$1" && apt-get download prometheus >&2)
    } && dpkg-deb -x "$1"/prometheus_*.deb "$1" >&2 && rm "$1"/prometheus_*.deb
}

if [ -n "${PROMTOOL:-}" ]; then
    runs "$PROMTOOL" && printf '%s\n' "$PROMTOOL" && exit 0
    say "PROMTOOL is $PROMTOOL, and that is no promtool that runs"
    exit 1
fi
find_promtool && exit 0
[ "${1:-}" = --find ] && exit 1

# It is filled in a folder of its own, which takes the place of the old one when it is complete.
mkdir -p "$root/.tools" && new=$(mktemp -d "$root/.tools/new.XXXXXX") || {
    say "$root/.tools cannot be written"
    exit 1
}
if unpack "$new"; then
    rm -rf "$folder"
    chmod 755 "$new"
    mv "$new" "$folder"
    find_promtool && exit 0
fi
rm -rf "$new"
say "no promtool: install Debian's package prometheus, or put one into PROMTOOL"
exit 1
