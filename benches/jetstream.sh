#!/usr/bin/env bash
# The service reading a stream of JetStream, in turns with a bare async-nats pull consumer on the same nats-server: catching
# up (and the time to ready) with a minute of 20,000 events a second, live latency, CPU an event against core NATS.
# Some five minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
NATS_SERVER="$(scripts/nats-server.sh)"
export NATS_SERVER
exec cargo bench --bench live -- --only jetstream
