#!/usr/bin/env bash
# The service and a tokio + async-nats + serde_json service of the same job, built and run in one go behind a real
# nats-server: cost of an event, latency, flood, HTTP under flood, memory. Some eight minutes a recording.
#
#   benches/compare.sh [RECORDING]      without one: each of the folder RECORDINGS, or else a generated one
set -euo pipefail
cd "$(dirname "$0")/.."
NATS_SERVER="$(scripts/nats-server.sh)"
export NATS_SERVER
recordings=()
if [ $# -gt 0 ]; then
    recordings=("$1")
elif [ -n "${RECORDINGS:-}" ]; then
    shopt -s nullglob
    recordings=("$RECORDINGS"/*.jsonl "$RECORDINGS"/*.jsonl.gz)
    [ ${#recordings[@]} -gt 0 ] || { echo "compare.sh: RECORDINGS is $RECORDINGS, and that holds no recording" >&2 && exit 1; }
fi
for recording in "${recordings[@]}"; do
    [ -e "$recording" ] || { echo "compare.sh: there is no $recording" >&2 && exit 1; }
done
peer_target=${CARGO_TARGET_DIR:-target}/peer
mkdir -p "$peer_target"
peer_target=$(realpath "$peer_target")
cargo build --release --manifest-path benches/peer/Cargo.toml --target-dir "$peer_target"
# On a busy machine the medians of a run still stand beside each other; wall times of two runs do not.
compare() { cargo bench --bench live -- --peer "$peer_target/release/peer" "$@"; }
# The bench generates one where it is given none.
[ ${#recordings[@]} -gt 0 ] || compare
for recording in "${recordings[@]}"; do compare "$(realpath "$recording")"; done
