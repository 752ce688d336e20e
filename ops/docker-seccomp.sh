#!/bin/sh
# Prints a seccomp profile for Docker, Podman or containerd: Docker's own, and the three calls of io_uring, which that
# one blocks. With an argument it starts from that file (air-gapped machines); it needs jq, and without one also curl.
#
#   ops/docker-seccomp.sh > seccomp.json
#   docker run --security-opt seccomp=seccomp.json --ulimit memlock=67108864 …
#
# Where it cannot, it prints nothing, says why on standard error and ends with 1.
set -eu
default=https://raw.githubusercontent.com/moby/moby/v28.0.0/profiles/seccomp/default.json

fail() {
    printf '%s\n' "docker-seccomp.sh: $*" >&2
    exit 1
}

command -v jq >/dev/null || fail "jq is needed and not installed"
if [ $# -gt 0 ]; then
    source=$1
    profile=$(cat -- "$source") || fail "$source cannot be read"
else
    source=$default
    command -v curl >/dev/null || fail "curl is needed and not installed; or name a file with Docker's default profile"
    profile=$(curl -fsSL --max-time 60 "$source") ||
        fail "$source cannot be fetched; without a network name a file with Docker's default profile"
fi
# One object with an action and a list of calls, and nothing behind it.
extended=$(printf '%s' "$profile" | jq -es '
    if length == 1 and (.[0] | type == "object" and (.defaultAction | type) == "string" and (.syscalls | type) == "array")
    then .[0] | .syscalls += [{
        "names": ["io_uring_setup", "io_uring_enter", "io_uring_register"],
        "action": "SCMP_ACT_ALLOW"
    }]
    else null end' 2>/dev/null) || fail "$source is not a seccomp profile"
printf '%s\n' "$extended"
