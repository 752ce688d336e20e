#!/usr/bin/env bash
# Installs a nats-server when there is none, then runs every test.
set -euo pipefail
cd "$(dirname "$0")/.."
NATS_SERVER="$(scripts/nats-server.sh)"
export NATS_SERVER
exec cargo test --workspace "$@"
