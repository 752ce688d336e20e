#!/usr/bin/env bash
# The service and a tokio + async-nats + serde_json service of the same job, built and run in one go behind a real
# nats-server: cost of an event, latency, flood, HTTP under flood, memory. Some eight minutes.
#   benches/compare.sh [RECORDING]
set -euo pipefail
cd "$(dirname "$0")/.."
NATS_SERVER="$(scripts/nats-server.sh)"
export NATS_SERVER
recording=${1:-../shared/data/binance-usdm-250s.jsonl.gz}
arguments=()
if [ -e "$recording" ]; then
    arguments=("$(realpath "$recording")")
elif [ $# -gt 0 ]; then
    echo "compare.sh: there is no $recording" >&2
    exit 1
fi
peer_target=${CARGO_TARGET_DIR:-target}/peer
mkdir -p "$peer_target"
peer_target=$(realpath "$peer_target")
cargo build --release --manifest-path benches/peer/Cargo.toml --target-dir "$peer_target"
# On a busy machine the medians of a run still stand beside each other; wall times of two runs do not.
exec cargo bench --bench live -- --peer "$peer_target/release/peer" "${arguments[@]}"
