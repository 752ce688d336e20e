# What the parts of ops/test.sh have in common; it is sourced, in the repository's root. It counts what passed, keeps what was
# measured and skipped, and ends what was started, however the run ends.

root=$PWD
ops=$root/ops
begun=$SECONDS
scratch=$(mktemp -d)
project=senpaitest$$
image=senpai-md-consumer
tag=test$$
passed=0
skipped=()
figures=()
images=()
networks=()

say() { printf '%s\n' "$*"; }
skip() { skipped+=("$*") && say "SKIPPED $*"; }
figure() { figures+=("$*") && say "     $*"; }
fail() {
    say "FAILED: $*" >&2
    exit 1
}
# A name for what the next lines try, and when that begins.
try() { say "test $* ($((SECONDS - begun)) s)" && passed=$((passed + 1)); }
quiet() { "$@" >"$scratch/out" 2>&1 || { cat "$scratch/out" && fail "$*"; }; }

end() {
    local code=$?
    set +e
    if [ $code != 0 ] && [ -n "${composed:-}" ]; then
        compose logs --tail 30 2>&1 | tail -90
    fi
    if [ $code != 0 ] && [ -n "${debian:-}" ]; then
        docker exec "$debian" journalctl --no-pager -n 40 2>&1
    fi
    [ -z "${composed:-}" ] || { compose down --volumes --timeout 3 && node1 down --timeout 3; } >/dev/null 2>&1
    docker ps -aq --filter "label=senpai.test=$tag" 2>/dev/null | xargs -r docker rm -fv >/dev/null 2>&1
    local network name job
    for network in "${networks[@]}"; do docker network rm "$network" >/dev/null 2>&1; done
    for name in "${images[@]}"; do docker rmi -f "$name" >/dev/null 2>&1; done
    # Steps of the build; they have the label of the stand-in that they began with.
    docker images -aq --filter "label=senpai.test=$tag" 2>/dev/null | xargs -r docker rmi -f >/dev/null 2>&1
    # What was still being fetched.
    for job in $(jobs -p); do kill -KILL "$job" && wait "$job"; done 2>/dev/null
    rm -rf --one-file-system "$scratch" 2>/dev/null || { sleep 1 && rm -rf --one-file-system "$scratch"; }
    say
    say "Figures"
    printf '  %s\n' "${figures[@]:-none}"
    say "What was skipped"
    printf '  %s\n' "${skipped[@]:-nothing}"
    say "ops/test.sh took $((SECONDS - begun)) s"
    [ $code = 0 ] && say "$passed passed, 0 failed" || say "$((passed - 1)) passed, 1 failed"
    exit $code
}
trap end EXIT
trap 'exit 130' INT TERM

# Until a command succeeds; fails after so many seconds.
until_true() {
    local limit=$1 what=$2 start=$SECONDS
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ $((SECONDS - start)) -lt "$limit" ] || fail "$what: not within $limit s"
        sleep 0.1
    done
}
# Since a moment, in seconds with a decimal.
since() { echo "$(date +%s%N) $1" | awk '{ printf "%.1f", ($1 - $2) / 1e9 }'; }
free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 12000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo $port && return; }
    done
}

# ---- what is fetched where it is missing

# One of Debian's packages, by root. The package lists may be missing, as in a fresh container.
install_package() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    local install=(env DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends "$1")
    { "${install[@]}" || { apt-get update && "${install[@]}"; }; } >"$scratch/apt" 2>&1
}

# One that works where it lies, unpacked into .tools for this and later runs; root is not needed where the package lists are there.
unpack() {
    [ ! -d ".tools/$1/usr" ] && [ ! -d ".tools/$1/bin" ] || return 0
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
    (cd "$scratch" && { apt-get download "$1" || { apt-get update && apt-get download "$1"; }; }) >/dev/null 2>&1 || return 1
    mkdir -p ".tools/$1" && dpkg-deb -x "$scratch/$1"_*.deb ".tools/$1"
}

# Kubernetes' schemas, out of a package of PyPI.
fetch_schemas() {
    [ ! -x .tools/kubernetes-validate/bin/kubernetes-validate ] || return 0
    rm -rf .tools/kubernetes-validate
    timeout 180 python3 -m pip install --quiet --disable-pip-version-check --target "$scratch/schemas" 'kubernetes-validate==1.32.0' &&
        mkdir -p .tools && mv "$scratch/schemas" .tools/kubernetes-validate
}

# A fresh Debian with systemd, as a tar: this system's release, by its own tools. What it mounts meanwhile is seen by it alone;
# that and its processes are gone with it. It takes the place of the shell that runs this.
fetch_debian() {
    unpack mmdebstrap || exit 1
    export TMPDIR=$scratch
    exec unshare --mount --pid --mount-proc --fork --kill-child timeout -s KILL 400 .tools/mmdebstrap/usr/bin/mmdebstrap --quiet \
        --mode=root --variant=apt --dpkgopt=force-unsafe-io --include=systemd,systemd-sysv,dbus,ca-certificates,libgcc-s1 \
        "$1" "$scratch/debian.tar"
}
