#!/usr/bin/env bash
# What ten readers of /events cost a trade on its way to its snapshot: 1,000 symbols that change four times a second, phases with
# and without readers in turns, and what the service's own loop did meanwhile. The same with ten pages, where there is a Chromium
# (scripts/browser.sh chromium). Some four minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
NATS_SERVER="$(scripts/nats-server.sh)"
export NATS_SERVER
cargo bench --bench live -- --only readers
cores=$(nproc)
if ! chromium=$(scripts/browser.sh chromium --find); then
    echo "There is no Chromium: pages are not measured"
elif [ "$cores" = 1 ]; then
    echo "There is one core only: pages are not measured"
else
    export PAGE_BROWSER="taskset -c 1-$((cores - 1)) chrt --idle 0 $chromium"
    taskset -c 0 cargo bench --bench live -- --only pages
fi
