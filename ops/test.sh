#!/usr/bin/env bash
# Tries what ops/ has, from the rules of Prometheus to the compose files, and prints what it measured and what it skipped.
#
#   ops/test.sh             everything that this machine can do
#   ops/test.sh static      what needs no container engine: rules, manifests, units
#
#   BINARY=FILE             the service (else target/release's, else a debug build, which does as well)
#
# It needs bash, cargo, curl, Python 3.11 and jq. On Debian it fetches promtool, man, busybox and mmdebstrap where they are
# missing (man and jq by root, the others into .tools), and Kubernetes' schemas from PyPI; kubectl, systemd-analyze and a Docker
# engine are used where they are. No image is pulled: bases that are not there are made of this machine's own files under the
# names that the Dockerfile and the compose files use, and removed again. Everything behind these names is the real thing. The
# package is installed in a fresh Debian, by root on Debian alone. It listens on loopback and Docker's networks alone, and what
# it starts, makes or mounts is gone when it ends, however it ends.
set -euo pipefail
cd "$(dirname "$0")/.."
. ops/test/common.sh

command -v jq >/dev/null || install_package jq || fail "jq is not installed"
has_engine=
[ "${1:-}" = static ] || ! docker info >/dev/null 2>&1 || has_engine=1
# What takes long comes while other things are tried.
fetch_schemas >"$scratch/schemas.log" 2>&1 &
schemas=$!
debian_release=$(. /etc/os-release 2>/dev/null && [ "${ID:-}" = debian ] && echo "${VERSION_CODENAME:-}" || true)
debian_download=
if [ -n "$has_engine" ] && [ -n "$debian_release" ] && [ "$(id -u)" = 0 ]; then
    fetch_debian "$debian_release" >"$scratch/debian.log" 2>&1 &
    debian_download=$!
fi

# ---- what needs no container engine

command -v promtool >/dev/null || unpack prometheus || say "Debian's prometheus cannot be downloaded"
PATH=$PATH:$root/.tools/prometheus/usr/bin
if command -v promtool >/dev/null; then
    try "prometheus: the configuration, the rules and their tests"
    (cd ops/prometheus && promtool check config prometheus.yml && promtool test rules rules_test.yml) >"$scratch/out" 2>&1 ||
        { cat "$scratch/out" && fail promtool; }
else
    skip "Prometheus' rules: there is no promtool (Debian's package prometheus)"
fi

try "the runbook has an entry for each alert, and each entry's link leads somewhere"
anchors=$(sed -nE 's/^##+ //p' ops/RUNBOOK.md | tr '[:upper:] ' '[:lower:]-' | tr -dc 'a-z0-9_\n-')
for link in $(sed -nE 's/.*RUNBOOK.md#([a-z0-9_-]+)"?$/\1/p' ops/prometheus/rules.yml); do
    grep -qx -- "$link" <<<"$anchors" || fail "ops/RUNBOOK.md has no section #$link"
done
for kind in $(jq -r '[.. | objects | .enum? // empty | select(index("clock_skew"))][0][]' ops/schemas/schemas.json); do
    grep -qx "alert-$kind" <<<"$anchors" || fail "ops/RUNBOOK.md has no section for alerts of kind $kind"
done

if command -v systemd-analyze >/dev/null; then
    try "systemd: both units are under 2.0"
    for unit in senpai-md-consumer.service senpai-md-consumer@.service; do
        level=$(systemd-analyze security --offline=true "ops/systemd/$unit" 2>/dev/null |
            sed -nE 's/.*exposure level for .*: ([0-9.]+) .*/\1/p')
        [ -n "$level" ] || { skip "systemd-analyze security: this version cannot judge a file" && break; }
        awk "BEGIN { exit !($level < 2.0) }" || fail "$unit has exposure level $level"
        figure "exposure level of $unit: $level"
    done
    # What they have in common is the same.
    diff <(sed '1,/^RestartSec/d' "ops/systemd/senpai-md-consumer.service" | sed 's/edit senpai-md-consumer)//') \
        <(sed '1,/^RestartSec/d' "ops/systemd/senpai-md-consumer@.service" | sed 's/edit senpai-md-consumer@)//') ||
        fail "the two units differ"
else
    skip "systemd-analyze: not installed"
fi

try "kubernetes: the profile for the kubelet is that for Docker"
diff <(jq -f ops/kubernetes/seccomp.jq ops/seccomp.json) ops/kubernetes/seccomp.json || fail "ops/kubernetes/seccomp.json is stale"
if command -v kubectl >/dev/null; then
    try "kubernetes: the manifests can be built, and are as the schemas of 1.32 want them"
    has_schemas=1
    wait $schemas || { has_schemas= && skip "Kubernetes' schemas: $(tail -1 "$scratch/schemas.log")"; }
    for name in base sharded; do
        kubectl kustomize "ops/kubernetes/$name" >"$scratch/$name.yaml"
        [ -z "$has_schemas" ] || PYTHONPATH=.tools/kubernetes-validate quiet \
            python3 .tools/kubernetes-validate/bin/kubernetes-validate -k 1.32 --strict "$scratch/$name.yaml"
    done
else
    skip "the manifests: there is no kubectl"
fi
skip "the manifests in a cluster: there is none here"

if [ "${1:-}" = static ]; then
    skip "containers: only what needs no engine was asked for"
    exit 0
fi
if [ -z "$has_engine" ]; then
    skip "containers: there is no Docker engine here"
    exit 0
fi
if docker compose version >/dev/null 2>&1; then
    compose_program=(docker compose)
    figure "compose: $(docker compose version)"
elif command -v docker-compose >/dev/null; then
    compose_program=(docker-compose)
    figure "compose: $(docker-compose --version)"
else
    skip "containers: there is neither docker compose nor docker-compose"
    exit 0
fi
[ "${compose_program[*]}" = "docker compose" ] || skip "docker compose (v2): not installed; docker-compose was used"

# ---- the binary, and stand-ins for the images that would be pulled

target=${CARGO_TARGET_DIR:-target}
if [ -z "${BINARY:-}" ]; then
    BINARY=$target/release/senpai-md-consumer
    if [ ! -x "$BINARY" ] || [ -n "$(find src proto_nats/src Cargo.lock -newer "$BINARY" -print -quit)" ]; then
        # With the features of `cargo test --workspace`, as in ops/release.sh.
        cargo build --quiet --workspace --bin senpai-md-consumer --example manual
        BINARY=$target/debug/senpai-md-consumer
    fi
fi
figure "binary: $BINARY"
nats_server=$(scripts/nats-server.sh current)

# A file system with a program and the libraries of this machine that it is linked to.
rootfs() {
    local folder=$scratch/$1 program=$2 at=$3 library
    mkdir -p "$folder/tmp" "$folder/etc" "$folder/$(dirname "$at")"
    chmod 1777 "$folder/tmp"
    printf 'root:x:0:0::/:\nnobody:x:65534:65534::/:\n' >"$folder/etc/passwd"
    cp -L "$program" "$folder/$at"
    for library in $(ldd "$program" 2>/dev/null | grep -oE '/[^ )]+'); do
        mkdir -p "$folder$(dirname "$library")"
        cp -L "$library" "$folder$library"
    done
}
# Under this name, unless there is such an image; the other arguments are those of docker import.
import() {
    local folder=$scratch/$1 name=$2
    shift 2
    if docker image inspect "$name" >/dev/null 2>&1; then
        say "     $name is here already, and is used"
        return
    fi
    tar -C "$folder" --owner=0 --group=0 -c . | docker import -c "LABEL senpai.test=$tag" "$@" - "$name" >/dev/null
    images+=("$name")
    [ "${name%:*}" = market-stand-in ] || skip "$name: it is not pulled, a stand-in took its place"
}

busybox=$(command -v busybox || true)
if [ -z "$busybox" ] || ldd "$busybox" >/dev/null 2>&1; then
    unpack busybox-static ||
        { skip "containers: busybox-static cannot be had, which stands in for what the nats image has" && exit 0; }
    busybox=.tools/busybox-static/bin/busybox
fi

rootfs base "$BINARY" usr/local/bin/senpai-md-consumer
rm "$scratch/base/usr/local/bin/senpai-md-consumer"
import base debian:bookworm-slim
rootfs nats "$nats_server" usr/local/bin/nats-server
mkdir -p "$scratch/nats/bin"
cp "$busybox" "$scratch/nats/bin/busybox"
for name in sh wget; do ln -s busybox "$scratch/nats/bin/$name"; done
# As the entry point of the official image: flags alone are nats-server's.
printf '#!/bin/sh\ncase "$1" in -*) set -- nats-server "$@" ;; esac\nexec "$@"\n' >"$scratch/nats/bin/entrypoint"
chmod 755 "$scratch/nats/bin/entrypoint"
import nats nats:2.10-alpine -c 'ENTRYPOINT ["entrypoint"]' -c 'CMD ["nats-server"]'

# A compiler that compiles nothing: what was built outside is its result. It does look for the files that cargo has read for
# that: those that .dockerignore withholds are missing here as they would be for the real one.
mkdir -p "$scratch/rust/bin" "$scratch/rust/etc/ssl/certs" "$scratch/rust/tmp"
strip --strip-debug -o "$scratch/rust/built" "$BINARY"
cp /etc/ssl/certs/ca-certificates.crt "$scratch/rust/etc/ssl/certs/"
cp "$busybox" "$scratch/rust/bin/busybox"
for name in sh mkdir cp; do ln -s busybox "$scratch/rust/bin/$name"; done
if [ -r "$BINARY.d" ]; then
    sed -E 's/^[^:]*: //' "$BINARY.d" | tr ' ' '\n' | sed "s,^$root/,," >"$scratch/rust/sources"
    grep -qx src/main.rs "$scratch/rust/sources" || fail "$BINARY.d does not name the sources"
else
    skip "whether the build's context has all sources: there is no $BINARY.d, where cargo lists them"
    : >"$scratch/rust/sources"
fi
cat >"$scratch/rust/bin/cargo" <<'P'
#!/bin/sh
while read -r file; do
    [ -e "$file" ] || { echo "$file is not there" && exit 1; }
done </sources
mkdir -p target/release && cp /built target/release/senpai-md-consumer
P
printf '#!/bin/sh\ncp "$4" "$3"\n' >"$scratch/rust/bin/strip"
chmod 755 "$scratch/rust/bin/cargo" "$scratch/rust/bin/strip"
import rust rust:1.91-slim-bookworm
skip "the compiler in the image's first stage: what was built outside is copied there"

if command -v dpkg-deb >/dev/null; then
    . ops/test/package.sh
else
    skip "the release: there is no dpkg-deb"
fi

# ---- the image

build() { # revision, tag
    docker build -q -f ops/Dockerfile --build-arg "VERSION=$2" --build-arg "REVISION=$1" \
        --label "senpai.test=$tag" -t "$image:$2" . >"$scratch/out" 2>&1 || { cat "$scratch/out" && fail "docker build"; }
    images+=("$image:$2")
}
run=(docker run --label "senpai.test=$tag" --read-only --cap-drop ALL --ulimit memlock=8388608
    --security-opt no-new-privileges:true)
seccomp=(--security-opt "seccomp=$ops/seccomp.json")

try "the image is built, says what it is, and is small"
build 0123abc "$tag"
inspected=$(docker image inspect "$image:$tag")
jq -e '.[0].Config | .User == "65532:65532" and .StopSignal == "SIGTERM"
    and .Labels["org.opencontainers.image.revision"] == "0123abc"
    and (.Healthcheck.Test | contains(["check"]))' <<<"$inspected" >/dev/null || fail "$inspected"
over=$(($(jq '.[0].Size' <<<"$inspected") - $(docker image inspect debian:bookworm-slim | jq '.[0].Size')))
figure "image over its base: $(awk "BEGIN { printf \"%.1f\", $over / 1e6 }") MB"
[ $over -lt 40000000 ] || fail "the image is larger than 40 MB"
version=$("${run[@]}" --rm "${seccomp[@]}" "$image:$tag" --version)
[[ $version == "senpai-md-consumer "* ]] || fail "$version"

try "without io_uring it says so in one line"
jq '.syscalls[].names -= ["io_uring_setup", "io_uring_enter", "io_uring_register"]' ops/seccomp.json >"$scratch/blocked.json"
code=0
"${run[@]}" --rm --security-opt "seccomp=$scratch/blocked.json" "$image:$tag" >"$scratch/out" 2>&1 || code=$?
[ $code = 1 ] && grep -q "^error: .*io_uring is blocked.*--security-opt seccomp=" "$scratch/out" &&
    [ "$(grep -c '^error' "$scratch/out")" = 1 ] || { cat "$scratch/out" && fail "exit $code"; }

try "the profile for the kubelet allows what it needs"
container=$("${run[@]}" -d --security-opt "seccomp=$ops/kubernetes/seccomp.json" "$image:$tag")
until_true 30 "the service under that profile" eval "docker logs $container 2>&1 | grep -q 'HTTP on'"
docker rm -f "$container" >/dev/null

try "alone and without NATS it becomes healthy, writes nothing, and drains at SIGTERM"
container=$("${run[@]}" -d "${seccomp[@]}" "$image:$tag")
until_true 30 "the container is healthy" eval \
    "[ \"\$(docker inspect -f '{{.State.Health.Status}}' $container)\" = healthy ]"
[ "$(docker diff "$container")" = "" ] || fail "it wrote: $(docker diff "$container")"
docker exec "$container" /usr/local/bin/senpai-md-consumer check --health >/dev/null || fail "check --health"
start=$(date +%s%N)
docker stop -t 10 "$container" >/dev/null
figure "docker stop: $(since "$start") s"
[ "$(docker inspect -f '{{.State.ExitCode}}' "$container")" = 0 ] || fail "it did not end with 0"
awk "BEGIN { exit !($(since "$start") < 5) }" || fail "it took more than 5 s"
docker rm "$container" >/dev/null

# ---- compose

export SENPAI_TAG=$tag
NATS_PORT=$(free_port) && export NATS_PORT
NATS_MONITORING_PORT=$(free_port) && export NATS_MONITORING_PORT
SENPAI_HTTP_PORT=$(free_port) && export SENPAI_HTTP_PORT
PROMETHEUS_PORT=$(free_port) && export PROMETHEUS_PORT
http=http://127.0.0.1:$SENPAI_HTTP_PORT
compose() { (cd "$ops" && "${compose_program[@]}" -p "$project" -f docker-compose.senpai.yml --profile stand-in "$@"); }
node1() { (cd "$ops" && "${compose_program[@]}" -p "${project}n" -f docker-compose.node1.yml "$@"); }
has_features() { curl -sf "$http/features/latest?symbol=BTCUSDT" | jq -e '.features.trade_vwap_10s != null'; }
events() { curl -sf "$http/stats" | jq .events_in; }
grows() { local before=$1 now && now=$(events) && [ "$now" -gt "$before" ]; }

try "docker-compose.senpai.yml up -d: from nothing to features"
composed=1
start=$(date +%s%N)
quiet compose up -d
until_true 60 "features" has_features
seconds=$(since "$start")
figure "up -d to first features: $seconds s"
awk "BEGIN { exit !($seconds < 15) }" || skip "features within 15 s: it took $seconds s on this machine"

try "nats is killed and comes back: features go on"
quiet compose kill nats
until_true 10 "the service notices" eval "curl -s $http/ready | jq -e '.ready == false'"
curl -sf "$http/health" >/dev/null || fail "it is to be alive without NATS"
start=$(date +%s%N)
quiet compose up -d --no-recreate nats
until_true 30 "ready again" curl -sf "$http/ready"
figure "nats back to ready: $(since "$start") s"
until_true 30 "events again" grows "$(events)"

try "restart and stop within 5 s"
start=$(date +%s%N)
quiet compose stop senpai-md-consumer
figure "stop: $(since "$start") s"
awk "BEGIN { exit !($(since "$start") < 8) }" || fail "stop took $(since "$start") s"
quiet compose start senpai-md-consumer
until_true 30 "features after a start" has_features
start=$(date +%s%N)
quiet compose restart senpai-md-consumer
until_true 30 "features after a restart" has_features
figure "restart to features: $(since "$start") s"

try "an upgrade replaces the service alone, and NATS keeps its stream"
# JetStream's own request, over the port that is published.
jetstream() { # request subject, payload
    exec 3<>"/dev/tcp/127.0.0.1/$NATS_PORT"
    printf 'CONNECT {"verbose":false}\r\nSUB _INBOX.t 1\r\nPUB %s _INBOX.t %s\r\n%s\r\nPING\r\n' "$1" "${#2}" "$2" >&3
    timeout 3 sed -n '/^{/{p;q}' <&3 || true
    exec 3>&-
}
created=$(jetstream '$JS.API.STREAM.CREATE.KEEP' '{"name":"KEEP","subjects":["keep.>"],"storage":"file"}')
[[ $created == *'"created"'* ]] || fail "no stream could be made: $created"
nats_before=$(compose ps -q nats)
build 4567def "${tag}b"
SENPAI_TAG=${tag}b
start=$(date +%s%N)
quiet compose up -d
until_true 30 "features of the new image" has_features
figure "upgrade to features: $(since "$start") s"
[ "$(compose ps -q nats)" = "$nats_before" ] || fail "nats was replaced as well"
running=$(docker inspect -f '{{index .Config.Labels "org.opencontainers.image.revision"}}' "$(compose ps -q senpai-md-consumer)")
[ "$running" = 4567def ] || fail "revision $running runs"
quiet compose down --timeout 5
quiet compose up -d
until_true 60 "features after down and up" has_features
curl -sf "http://127.0.0.1:$NATS_MONITORING_PORT/jsz?streams=true" | jq -e '.streams == 1' >/dev/null || fail "the stream is gone"

# ---- monitoring

if prometheus=$(command -v prometheus); then
    rootfs prometheus "$prometheus" bin/prometheus
    mkdir -p "$scratch/prometheus/prometheus" "$scratch/prometheus/etc/prometheus"
    chmod 1777 "$scratch/prometheus/prometheus"
    import prometheus prom/prometheus:v2.53.0 -c 'ENTRYPOINT ["/bin/prometheus"]' -c 'USER nobody'
    try "Prometheus scrapes the service, its rules work, and every query of the dashboard has an answer"
    (cd "$ops" && quiet "${compose_program[@]}" -p "$project" -f docker-compose.senpai.yml --profile monitoring up -d prometheus)
    api=http://127.0.0.1:$PROMETHEUS_PORT/api/v1
    query() { curl -sfG "$api/query" --data-urlencode "query=$1"; }
    until_true 60 "two scrapes" eval \
        "curl -sfG $api/query --data-urlencode 'query=senpai:events_in:rate1m > 0' | jq -e '.data.result | length > 0'"
    curl -sf "$api/rules" | jq -e '[.data.groups[].rules[] | select(.health != "ok")] == []' >/dev/null ||
        fail "a rule does not work: $(curl -sf "$api/rules")"
    # Those that have nothing to show in a healthy stack, or with this version of the service.
    may_be_empty='senpai_alerts_total|senpai_jetstream_lag_seconds|timestamps_(rejected|unreadable)'
    queries=0 empty=()
    while read -r expression; do
        expression=${expression//'$__rate_interval'/15s}
        expression=${expression//'$instance'/.*}
        # A rate has its answer at the second scrape of its series.
        for attempt in {1..30}; do
            answer=$(query "$expression") || fail "the dashboard's query is wrong: $expression"
            jq -e '.data.result | length > 0' <<<"$answer" >/dev/null && break
            [[ $expression =~ $may_be_empty ]] && empty+=("$expression") && break
            [ "$attempt" -lt 30 ] || fail "the dashboard's query has no answer: $expression"
            sleep 0.5
        done
        queries=$((queries + 1))
    done < <(jq -r '.panels[].targets[].expr' ops/grafana/dashboards/senpai-md-consumer.json)
    figure "$queries queries of the dashboard, ${#empty[@]} of them without data in a healthy stack"
else
    skip "the dashboard's queries: there is no prometheus (Debian's package)"
fi
skip "Grafana: its image cannot be had here; the dashboard's JSON and queries were tried, its looks were not"

try "with USE_JETSTREAM=true it reads a stream that it makes, and goes on where it stood when nats is killed"
export USE_JETSTREAM=true
start=$(date +%s%N)
quiet compose up -d
reads_stream() { curl -sf "$http/ready" && curl -sf "$http/stats" | jq -e '[.cores[].jetstream.phase] == ["live"]'; }
until_true 60 "the stream is read" reads_stream
until_true 30 "features out of the stream" has_features
figure "up -d with a stream to features: $(since "$start") s"
quiet compose kill nats
until_true 15 "the service notices" eval "! curl -sf $http/ready"
quiet compose up -d --no-recreate nats
until_true 60 "the stream is read again" reads_stream
until_true 30 "events of the stream again" grows "$(events)"
unset USE_JETSTREAM
quiet compose down --volumes --timeout 5

# ---- as a part of another stack

try "docker-compose.node1.yml joins a stack that is there"
network=$project-node1
docker network create "$network" >/dev/null
networks+=("$network")
docker run -d --label "senpai.test=$tag" --network "$network" --network-alias nats nats:2.10-alpine >/dev/null
# In the place of market-data-service: the generated market, and a python that answers its health check.
rootfs market "$BINARY" usr/local/bin/senpai-md-consumer
mkdir -p "$scratch/market/bin" "$scratch/market/market"
cp "$busybox" "$scratch/market/bin/busybox" && ln -s busybox "$scratch/market/bin/sh"
"$BINARY" generate "$scratch/market/market/market.jsonl.gz" 2>/dev/null
cat >"$scratch/market/bin/python" <<'P'
#!/bin/sh
[ "$1" = -m ] || exit 0
exec /usr/local/bin/senpai-md-consumer feed /market/market.jsonl.gz --rebase --loop 0
P
chmod 755 "$scratch/market/bin/python"
import market "market-stand-in:$tag"
export NODE1_NETWORK=$network MARKET_DATA_IMAGE=market-stand-in:$tag
start=$(date +%s%N)
quiet node1 up -d market-data-service senpai-md-consumer
until_true 60 "features" has_features
figure "node1: up -d to first features: $(since "$start") s"
quiet node1 down --timeout 5

# ---- the package, installed

if [ -z "$debian_download" ]; then
    skip "the package's installation: a fresh Debian is made by root, on Debian"
elif ! wait "$debian_download"; then
    skip "the package's installation: no fresh Debian could be made: $(tail -1 "$scratch/debian.log")"
elif [ -z "${package:-}" ]; then
    skip "the package's installation: there is no package"
else
    . ops/test/installed.sh
fi
