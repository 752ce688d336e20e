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

if [ -n "${PROMTOOL:-}" ]; then
    runs "$PROMTOOL" && printf '%s\n' "$PROMTOOL" && exit 0
    say "PROMTOOL is $PROMTOOL, and that is no promtool that runs"
    exit 1
fi
find_promtool && exit 0
[ "${1:-}" = --find ] && exit 1

"$root/scripts/unpack-debian.sh" prometheus "$folder" && find_promtool && exit 0
say "no promtool: install Debian's package prometheus, or put one into PROMTOOL"
exit 1
