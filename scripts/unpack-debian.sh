#!/bin/sh
# Unpacks a package of Debian into a folder, without installing it: unpack-debian.sh PACKAGE FOLDER. No root is needed where the
# package lists are there. Messages go to standard error.
set -u
package=$1 folder=$2

command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || {
    printf '%s\n' "unpack-debian.sh: this system has no apt-get and dpkg-deb" >&2
    exit 1
}
printf '%s\n' "unpack-debian.sh: unpacking Debian's $package" >&2

# It is filled in a folder of its own, which takes the place of the old one when it is complete.
mkdir -p "$(dirname "$folder")" && new=$(mktemp -d "$folder.new.XXXXXX") || exit 1
trap 'rm -rf "$new"' EXIT
(cd "$new" && apt-get download "$package" >&2) || {
    # The package lists may be missing, as in a fresh container.
    as_root=$([ "$(id -u)" = 0 ] || echo "sudo -n")
    $as_root apt-get update >&2 && (cd "$new" && apt-get download "$package" >&2)
} && dpkg-deb -x "$new/$package"_*.deb "$new" >&2 && rm "$new/$package"_*.deb || exit 1
chmod 755 "$new"
rm -rf "$folder"
mv "$new" "$folder"
