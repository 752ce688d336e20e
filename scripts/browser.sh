#!/bin/sh
# Prints the path of what the tests of the live page need, and installs it when it is not there:
#
#   browser.sh chromium   $CHROMIUM, a Chromium or Chrome on PATH, or Debian's package chromium (by root)
#   browser.sh axe        $AXE, or axe.min.js (axe-core, which looks for barriers) out of a package of PyPI, into .tools
#
# With --find as the second argument it installs nothing. Messages go to standard error; exit 1 when there is none.
set -u
package=axe-playwright-python==0.1.8
root=$(cd "$(dirname "$0")/.." && pwd)
axe=$root/.tools/axe/axe_playwright_python/axe.min.js

say() { printf '%s\n' "browser.sh: $*" >&2; }

find_chromium() {
    command -v chromium || command -v chromium-browser || command -v google-chrome
}

install_chromium() {
    command -v apt-get >/dev/null || { say "this system has no apt-get" && return 1; }
    as_root=$([ "$(id -u)" = 0 ] || echo "sudo -n")
    say "installing Debian's chromium"
    # Without a font there would be no text. The package lists may be missing, as in a fresh container.
    install="$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends chromium fonts-dejavu-core"
    $install >&2 || { $as_root apt-get update >&2 && $install >&2; }
}

find_axe() { [ -r "$axe" ] && printf '%s\n' "$axe"; }

install_axe() {
    command -v python3 >/dev/null || { say "there is no python3" && return 1; }
    say "installing $package with pip"
    mkdir -p "$root/.tools" && rm -rf "$root/.tools/axe" &&
        python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$root/.tools/axe" "$package" >&2
}

case ${1:-} in
chromium) given=${CHROMIUM:-} ;;
axe) given=${AXE:-} ;;
*) say "${1:-nothing} is neither chromium nor axe" && exit 1 ;;
esac
if [ -n "$given" ]; then
    [ -r "$given" ] && printf '%s\n' "$given" && exit 0
    say "$given is not there" && exit 1
fi
"find_$1" && exit 0
[ "${2:-}" = --find ] && exit 1
"install_$1" && "find_$1" && exit 0
say "there is no $1, and it could not be installed"
exit 1
