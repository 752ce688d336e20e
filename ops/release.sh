#!/usr/bin/env bash
# Makes what a release consists of, in target/release-files (or the folder that is named): a tarball with the binary, units,
# man pages, completions and documents, a package for Debian and Ubuntu, what the binary is made of (CycloneDX), and their
# checksums.
#
#   ops/release.sh [FOLDER]
#   BINARY=FILE ops/release.sh     around a binary that is there already
#
# It needs cargo, binutils, tar, dpkg-deb and Python 3.11. What the binary is built on decides which systems it runs on: the
# oldest glibc that it accepts is in the package's Depends, and printed.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
folder=${1:-$target/release-files}
name=senpai-md-consumer
version=$(sed -nE 's/^version = "(.*)"/\1/p' Cargo.toml | head -1)
architecture=$(dpkg --print-architecture)

if [ -z "${BINARY:-}" ]; then
    cargo build --release --locked --bin $name
    BINARY=$target/release/$name
fi
# With the features of `cargo test --workspace`, so that after that nothing is compiled again.
cargo build --locked --workspace --example manual
# The same input gives the same files. (Not above: what compiles C would compile it again at each commit.)
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$folder"

strip --strip-debug -o "$scratch/$name" "$BINARY"
glibc=$(objdump -T "$scratch/$name" | grep -oE 'GLIBC_[0-9.]+' | sort -uV | tail -1 | cut -d_ -f2)

"$target/debug/examples/manual" "$scratch"
completions=$scratch/completions

# What it is made of.
base=$name-$version-linux-$(uname -m)
sbom=$base.cdx.json
ops/sbom.py --binary "$scratch/$name" >"$folder/$sbom"

# The tarball.
mkdir -p "$scratch/$base/systemd"
install -m 755 "$scratch/$name" "$scratch/$base/$name"
install -m 644 README.md CHANGELOG.md LICENSE .env.example ops/RUNBOOK.md ops/sharding.md ops/seccomp.json ops/seccomp.LICENSE \
    "$scratch/$base/"
install -m 644 ops/systemd/*.service "$scratch/$base/systemd/"
cp -r "$scratch/man" "$completions" "$scratch/$base/"
chmod -R u=rwX,go=rX "$scratch/$base"
tar -C "$scratch" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -c "$base" |
    gzip -n9 >"$folder/$base.tar.gz"

# The package.
package=${name}_${version}_$architecture.deb
root=$scratch/deb
mkdir -p "$root/DEBIAN"
install -D -m 755 "$scratch/$name" "$root/usr/bin/$name"
# What systemd reads from a file wins over Environment= in a unit's override, an empty value as well.
mkdir -p "$root/etc/$name"
cat - <(sed '1,/^$/d; s/^[A-Z0-9_]*=/#&/' .env.example) >"$root/etc/$name/env" <<END
# Settings of the service under systemd, each with its default: take the # away from what you change, then
# systemctl restart $name. A line here wins over Environment= in an override of the unit. Put values with
# spaces, #, \$ or \\ into single quotes.

END
chmod 640 "$root/etc/$name/env"
for unit in ops/systemd/*.service; do install -D -m 644 "$unit" "$root/lib/systemd/system/$(basename "$unit")"; done
for document in README.md ops/RUNBOOK.md ops/sharding.md; do
    install -D -m 644 "$document" "$root/usr/share/doc/$name/$(basename "$document")"
done
install -D -m 644 LICENSE "$root/usr/share/doc/$name/copyright"
for page in "$scratch"/man/*.1; do
    install -D -m 644 "$page" "$root/usr/share/man/man1/$(basename "$page")"
    gzip -n9 "$root/usr/share/man/man1/$(basename "$page")"
done
install -D -m 644 "$completions/$name" "$root/usr/share/bash-completion/completions/$name"
install -D -m 644 "$completions/_$name" "$root/usr/share/zsh/vendor-completions/_$name"
install -D -m 644 "$completions/$name.fish" "$root/usr/share/fish/vendor_completions.d/$name.fish"
cat >"$root/DEBIAN/control" <<END
Package: $name
Version: $version
Architecture: $architecture
Maintainer: SenpAI <ops@senpai.invalid>
Depends: libc6 (>= $glibc), libgcc-s1, ca-certificates
Section: net
Priority: optional
Installed-Size: $(du -sk "$root" | cut -f1)
Description: market events from NATS in, features and signals out
 Subscribes to normalised trades, quotes and books, keeps exact sliding windows
 and publishes features and trade signals back to NATS.
END
# What was changed there stays at an upgrade, and goes at a purge.
echo "/etc/$name/env" >"$root/DEBIAN/conffiles"
cat >"$root/DEBIAN/postinst" <<END
#!/bin/sh
set -e
if [ "\$1" = configure ] && command -v systemctl >/dev/null; then
    [ -n "\$2" ] || systemctl enable $name.service
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload
        if [ -n "\$2" ]; then
            systemctl try-restart $name.service '$name@*.service'
        else
            systemctl start $name.service
        fi
    fi
fi
END
cat >"$root/DEBIAN/prerm" <<END
#!/bin/sh
set -e
if [ "\$1" = remove ] && command -v systemctl >/dev/null; then
    [ ! -d /run/systemd/system ] || systemctl stop $name.service '$name@*.service'
    systemctl disable $name.service
fi
END
cat >"$root/DEBIAN/postrm" <<END
#!/bin/sh
set -e
# Shares that were enabled by hand.
[ "\$1" != purge ] || rm -f /etc/systemd/system/*.wants/$name@*.service
[ ! -d /run/systemd/system ] || systemctl daemon-reload
END
chmod 755 "$root/DEBIAN/postinst" "$root/DEBIAN/prerm" "$root/DEBIAN/postrm"
dpkg-deb --root-owner-group --build "$root" "$folder/$package" >/dev/null

(cd "$folder" && sha256sum "$base.tar.gz" "$package" "$sbom" >SHA256SUMS)
echo "in $folder, for glibc $glibc and later:"
(cd "$folder" && ls -l "$base.tar.gz" "$package" "$sbom" SHA256SUMS | awk '{ print "  " $9, $5 }')
