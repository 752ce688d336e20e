#!/usr/bin/env bash
# Runs the tests, and says at the end what ran on what, and what was skipped and why.
#
#   scripts/test.sh [ARGUMENTS OF cargo test]
#   scripts/test.sh --long      thousands of fresh seeds, the tests that take minutes, the fuzz targets
#
#   RECORDINGS=DIR    tests on recordings run over each *.jsonl and *.jsonl.gz of DIR as well
#   SEEDS=N SEED=S    how many fresh seeds, and which is the first
#   FUZZ_SECONDS=N    of each fuzz target, with --long (60)
#
# It needs cargo, curl and a nats-server of 2.11 or later; a missing nats-server is installed into .tools. What else this
# machine does not have and cannot get (Debian's nats-server 2.9; Chromium, which only root can install, for the live page; axe-core; promtool)
# is in SENPAI_SKIP: the tests that need it say that they are skipped.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

# The slowest target takes three minutes on two cores.
TARGET_LIMIT_SECONDS=1200
# One process of tests has servers, services and clients by the hundred.
ulimit -Sn "$(ulimit -Hn)"
host=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')

log=$(mktemp)
trap 'rm -f "$log"' EXIT
report=()
skipped=()
failed=0

skip() { # what it is called in SENPAI_SKIP, and why
    SENPAI_SKIP=${SENPAI_SKIP:+$SENPAI_SKIP,}$1
    skipped+=("$1: $2")
}

# Runs a command, and keeps what it says for the report.
run() {
    printf '\n$ %s\n' "$*"
    "$@" 2>&1 | tee -a "$log" || { failed=1 && report+=("FAILED: $*"); }
}

for program in cargo curl; do
    command -v $program >/dev/null || { echo "test.sh: $program is needed" >&2 && exit 1; }
done
NATS_SERVER=$(scripts/nats-server.sh current) || exit 1
report+=("$("$NATS_SERVER" --version), $NATS_SERVER")
# One that is named and is none is a mistake, no reason to skip.
given_old=${NATS_SERVER_OLD:-}
if NATS_SERVER_OLD=$(scripts/nats-server.sh old); then
    report+=("old $("$NATS_SERVER_OLD" --version), $NATS_SERVER_OLD")
    export NATS_SERVER_OLD
elif [ -n "$given_old" ]; then
    exit 1
else
    unset NATS_SERVER_OLD
    skip nats-server-old "there is none here, and it cannot be unpacked from Debian's packages (see above)"
fi
# One that is named and is not there is a mistake as well.
for tool in chromium axe; do
    name=$(echo $tool | tr a-z A-Z)
    if path=$(scripts/browser.sh $tool); then
        report+=("$tool, $path")
        export "$name=$path"
    elif [ -n "${!name:-}" ]; then
        exit 1
    else
        skip $tool "there is none here, and it cannot be installed (see above): the live page is not tested, or not for barriers"
    fi
done
if PYTHON_TOOLS=$(scripts/python-tools.sh); then
    report+=("openapi-spec-validator, schemathesis, nats-py and pandas, $PYTHON_TOOLS")
    export PYTHON_TOOLS
else
    unset PYTHON_TOOLS
    skip python-tools "there is no such Python here, and it cannot be installed (see above): neither openapi-spec-validator nor schemathesis nor the examples run"
fi
# Here as well.
if path=$(scripts/promtool.sh); then
    report+=("$("$path" --version 2>&1 | head -1), $path")
    export PROMTOOL=$path
elif [ -n "${PROMTOOL:-}" ]; then
    exit 1
else
    skip promtool "there is none here, and it cannot be unpacked from Debian's packages (see above): it does not check /metrics"
fi
if [ -n "${RECORDINGS:-}" ]; then
    RECORDINGS=$(realpath "$RECORDINGS") && [ -d "$RECORDINGS" ] ||
        { echo "test.sh: RECORDINGS must be a folder that is there" >&2 && exit 1; }
    export RECORDINGS
else
    skipped+=("recorded data: RECORDINGS is not set, so that recordings are the generated ones alone")
fi
export NATS_SERVER SENPAI_SKIP=${SENPAI_SKIP:-}

# Test targets of a package's folder whose sources hold a text.
targets_with() {
    grep -rlF --include='*.rs' "$1" "$2" | sed -E "s,^$2/,,; s,(\.rs|/.*)$,," | sort -u
}

run_long() {
    local name arguments=()
    export SEEDS=${SEEDS:-10000}
    for name in $(targets_with 'seeds::fresh(' tests); do arguments+=(--test "$name"); done
    run cargo test --release "${arguments[@]}" -- --nocapture
    arguments=()
    for name in $(targets_with 'seeds::fresh(' proto_nats/tests); do arguments+=(--test "$name"); done
    run cargo test --release -p proto_nats "${arguments[@]}" -- --nocapture
    arguments=()
    for name in $(targets_with '#[ignore' tests) $(targets_with 'with_ignored_flag(' tests); do
        arguments+=(--test "$name")
    done
    run cargo test --release "${arguments[@]}" -- --ignored --nocapture
    local fuzz_targets
    fuzz_targets=$(cd proto_nats/fuzz/fuzz_targets && printf '%s\n' *.rs | sed 's/\.rs$//')
    for name in $fuzz_targets; do
        if cargo fuzz --version >/dev/null 2>&1; then
            # What cargo-fuzz asks of the compiler is nightly's; a stable one does it where it is told that it may.
            run env RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir proto_nats/fuzz "$name" -- -max_total_time="${FUZZ_SECONDS:-60}"
        else
            skipped+=("fuzz target $name: cargo-fuzz is not installed (cargo install cargo-fuzz)")
        fi
    done
}

if [ "${1:-}" = --long ]; then
    run_long
else
    # A test that hangs ends its target, with what it has started, and not the run: libtest has said which one it is.
    export CARGO_TARGET_${host}_RUNNER="timeout --kill-after=10 $TARGET_LIMIT_SECONDS"
    run cargo test --workspace --no-fail-fast "$@"
fi

echo
echo "What ran"
printf '  %s\n' "${report[@]}"
grep -aohE '^recordings: .*' "$log" | sort -u | sed 's/^/  /'
grep -aohE '[a-z_]+: SEED=.*' "$log" | sed 's/^/  /'
grep -aohE '^[a-z_]+: [0-9a-zA-Z ].* (agree|lost for want of room).*|^capacity: Counts.*|^page: [0-9].*|^Done [0-9]+ runs.*' "$log" | sed 's/^/  /'
grep -aE '^test result: ' "$log" | tr -d '.;' |
    awk '{ passed += $4; failed += $6; ignored += $8 } END { printf "  %d passed, %d failed, %d ignored\n", passed, failed, ignored }'
echo "What was skipped"
skipped_tests=$(grep -aohE 'SKIPPED .*|^test .* \.\.\. ignored.*' "$log" | sort -u | sed -E 's/^(test )?/  /')
[ ${#skipped[@]} = 0 ] || printf '  %s\n' "${skipped[@]}"
printf '%s\n' "${skipped_tests:-  no test}"
exit $failed
