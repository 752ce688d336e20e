#!/bin/sh
# Prints the path of a Python that has what the tests of the contracts need (openapi-spec-validator and
# schemathesis; nats-py and pandas, for the examples): $PYTHON_TOOLS, or one in .tools/python, which is installed from PyPI when it
# is not there.
#
# With --find it installs nothing. Messages go to standard error; exit 1 when there is none.
set -u
packages="openapi-spec-validator==0.9.0 schemathesis==4.32.5 nats-py==2.16.0 pandas==3.1.1"
root=$(cd "$(dirname "$0")/.." && pwd)
folder=$root/.tools/python
python=$folder/bin/python

say() { printf '%s\n' "python-tools.sh: $*" >&2; }

# What was installed as a whole says so at the end.
find_python() { [ -x "$python" ] && [ "$(cat "$folder/packages" 2>/dev/null)" = "$packages" ] && printf '%s\n' "$python"; }

install_packages() {
    command -v python3 >/dev/null || { say "there is no python3" && return 1; }
    say "installing $packages with pip"
    # Debian's Python has no pip for new environments; the one beside it can fill them.
    rm -rf "$folder" && mkdir -p "$root/.tools" && python3 -m venv --without-pip "$folder" &&
        python3 -m pip --python "$python" install --quiet --disable-pip-version-check $packages >&2 &&
        printf '%s\n' "$packages" >"$folder/packages"
}

if [ -n "${PYTHON_TOOLS:-}" ]; then
    "$PYTHON_TOOLS" -c 'import nats, openapi_spec_validator, pandas, schemathesis' && printf '%s\n' "$PYTHON_TOOLS" && exit 0
    say "PYTHON_TOOLS is $PYTHON_TOOLS, and that is no Python that has nats-py, openapi-spec-validator, pandas and schemathesis"
    exit 1
fi
find_python && exit 0
[ "${1:-}" = --find ] && exit 1
install_packages && find_python && exit 0
say "no such Python: Python 3.11 or later with pip and venv, and PyPI, are needed"
exit 1
