#!/usr/bin/env bash
# What ten readers of /events cost a trade on its way to its snapshot: 1,000 symbols that change four times a second, phases with
# and without readers in turns, and what the service's own loop did meanwhile. The same with ten pages, where there is a Chromium
# (scripts/browser.sh chromium). Some four minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
NATS_SERVER="$(scripts/nats-server.sh)"
export NATS_SERVER
if CHROMIUM="$(scripts/browser.sh chromium --find)"; then export CHROMIUM; fi
exec cargo bench --bench live -- --only readers
