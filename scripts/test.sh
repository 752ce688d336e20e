#!/usr/bin/env bash
# Installs the two nats-servers that the tests run, when they are not there, then runs every test.
set -euo pipefail
cd "$(dirname "$0")/.."
NATS_SERVER="$(scripts/nats-server.sh current)"
NATS_SERVER_OLD="$(scripts/nats-server.sh old)"
export NATS_SERVER NATS_SERVER_OLD
exec cargo test --workspace "$@"
