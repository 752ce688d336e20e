# A part of ops/test.sh, sourced by it: the package in a fresh Debian under a real systemd, from its installation to its purge.
# The container has no more capabilities than systemd needs, and its mounts are shared as a machine's are, for credentials; the
# service in it is the package's, under its own unit.

in_debian() { docker exec "$debian" "$@"; }
property() { in_debian systemctl show -p "$1" --value "$2"; }
is_property() { [ "$(property "$1" "$2")" = "$3" ]; }
unit=$image.service

docker import -c "LABEL senpai.test=$tag" "$scratch/debian.tar" "senpai-debian:$tag" >/dev/null
images+=("senpai-debian:$tag")
debian=$(docker run -d --label "senpai.test=$tag" --cap-add SYS_ADMIN --cap-add NET_ADMIN --cap-add SYS_PTRACE \
    --security-opt seccomp=unconfined --security-opt apparmor=unconfined --cgroupns host --ulimit memlock=8388608 \
    -v /sys/fs/cgroup:/sys/fs/cgroup:rw --tmpfs /run --tmpfs /tmp -e container=docker --stop-signal SIGRTMIN+3 \
    "senpai-debian:$tag" sh -c 'mount --make-rshared / && exec /sbin/init')
# It answers before it has come up; a service that does not work in a container is no matter.
until_true 60 "systemd" eval "in_debian systemctl is-system-running | grep -E 'running|degraded'"
docker cp -q "$nats_server" "$debian:/usr/local/bin/nats-server"
docker cp -q "$package" "$debian:/root/first.deb"
# NATS wants a key, which the service has as a credential (the pair is that of NATS' documents).
seed=SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY
user=UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4
in_debian sh -c "umask 77 && echo $seed >/root/user.nk && echo 'authorization { users: [{ nkey: $user }] }' >/root/nats.conf"
override() { # unit, name, lines of [Service]
    in_debian sh -c 'mkdir -p "/etc/systemd/system/$1.d" && printf "[Service]\n$3" >"/etc/systemd/system/$1.d/$2.conf" &&
        systemctl daemon-reload' sh "$@"
}

try "the package: installed it runs under systemd, and with a credential for NATS it has features of the market"
start=$(date +%s%N)
quiet in_debian dpkg -i /root/first.deb
is_property ActiveState $unit active || fail "$(in_debian systemctl status $unit)"
figure "dpkg -i to running: $(since "$start") s"
quiet in_debian $image check --health
# What an operator changes, and an upgrade is to leave alone.
in_debian sed -i 's/^#HTTP_HOST=.*/HTTP_HOST=0.0.0.0/' /etc/$image/env
for name in "$unit" "$image@.service"; do
    override "$name" key 'LoadCredential=user.nk:/root/user.nk\nEnvironment=NATS_NKEY=%%d/user.nk\n'
done
in_debian systemd-run --quiet --unit nats nats-server -a 127.0.0.1 -c /root/nats.conf
in_debian $image generate /root/market.jsonl.gz 2>/dev/null
in_debian systemd-run --quiet --unit market $image feed /root/market.jsonl.gz --rebase --loop 0 --nats-nkey /root/user.nk
quiet in_debian systemctl restart $unit
http=http://$(docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$debian"):8892
until_true 30 "features" has_features
in_debian test -e /usr/share/man/man1/$image.1.gz || fail "its man page is not there"

try "its unit: under 2.0 as systemd sees it, no capability, and another user than root"
level=$(in_debian systemd-analyze security --no-pager $unit | sed -nE 's/.*exposure level for .*: ([0-9.]+) .*/\1/p')
figure "exposure level of the running service: ${level:-unknown}"
awk "BEGIN { exit !(${level:-9} < 2.0) }" || fail "$(in_debian systemd-analyze security --no-pager $unit)"
status=$(in_debian cat "/proc/$(property MainPID $unit)/status")
grep -qE '^CapEff:\s0+$' <<<"$status" && ! grep -qE '^Uid:\s0\s' <<<"$status" && grep -qE '^Seccomp:\s2$' <<<"$status" ||
    fail "$status"

try "a loop that hangs is ended by the watchdog and started again"
override $unit test 'WatchdogSec=2\n'
quiet in_debian systemctl restart $unit
hung=$(property MainPID $unit)
start=$(date +%s%N)
in_debian sh -c "kill -STOP $hung"
until_true 30 "the watchdog" eval "is_property NRestarts $unit 1 && is_property ActiveState $unit active"
figure "hung to running again, with WatchdogSec=2: $(since "$start") s"
[ "$(property MainPID $unit)" != "$hung" ] || fail "the same process runs"
in_debian journalctl -u $unit --no-pager | grep "Watchdog timeout" >/dev/null || fail "it was not the watchdog"

try "a setting that is refused ends the start, once"
override $unit test 'Environment=CORES=none\n'
in_debian systemctl reset-failed $unit
! in_debian systemctl restart $unit 2>/dev/null || fail "it starts"
is_property ExecMainStatus $unit 2 && is_property ActiveState $unit failed || fail "$(in_debian systemctl status $unit)"
in_debian journalctl -u $unit --no-pager | grep 'error: CORES is "none"' >/dev/null || fail "$(in_debian journalctl -u $unit --no-pager)"
override $unit test ''

try "two shares of the symbols side by side, each with all of its own"
quiet in_debian systemctl enable --now "$image@0-of-2" "$image@1-of-2"
all=()
for share in 0 1; do
    url=${http%:*}:$((8892 + share))
    until_true 30 "share $share has events" eval "curl -sf $url/stats | jq -e '.events_in > 0 and .events_foreign > 0'"
    until_true 30 "share $share knows its symbols" eval "curl -sf $url/health | jq -e '.symbols | length > 0'"
    mapfile -t -O ${#all[@]} all < <(curl -sf "$url/health" | jq -r '.symbols[]')
done
[ -z "$(printf '%s\n' "${all[@]}" | sort | uniq -d)" ] || fail "both have some of ${all[*]}"
quiet in_debian systemctl stop "$image@0-of-2" "$image@1-of-2"

try "an upgrade restarts what runs and leaves the settings alone"
quiet in_debian systemctl start $unit
before=$(property MainPID $unit)
dpkg-deb -R "$package" "$scratch/newer"
sed -i 's/^Version: .*/&+1/' "$scratch/newer/DEBIAN/control"
# The defaults have changed as well.
echo "# new" >>"$scratch/newer/etc/$image/env"
dpkg-deb --root-owner-group -Znone -b "$scratch/newer" "$scratch/newer.deb" >/dev/null
docker cp -q "$scratch/newer.deb" "$debian:/root/newer.deb"
start=$(date +%s%N)
quiet in_debian dpkg -i --force-confdef --force-confold /root/newer.deb
is_property ActiveState $unit active || fail "$(in_debian systemctl status $unit)"
[ "$(property MainPID $unit)" != "$before" ] || fail "the old process runs"
until_true 30 "features after the upgrade" has_features
figure "upgrade of the package to features: $(since "$start") s"
in_debian grep -q '^HTTP_HOST=0.0.0.0' /etc/$image/env || fail "the settings are not as they were"

try "removed it stops and leaves its settings, purged it leaves nothing"
start=$(date +%s%N)
quiet in_debian dpkg -r $image
figure "removal: $(since "$start") s"
! in_debian systemctl is-active --quiet $unit || fail "it runs"
in_debian test -e /etc/$image/env || fail "the settings are gone"
quiet in_debian dpkg -P $image
in_debian rm -r /etc/systemd/system/$unit.d "/etc/systemd/system/$image@.service.d"
left=$(in_debian find / -xdev \( -path /proc -o -path /sys -o -path /root -o -path /var/log \) -prune -o -name "*$image*" -print)
[ -z "$left" ] || fail "it leaves $left"
[ "$(in_debian systemctl list-unit-files --no-legend "$image*" | wc -l)" = 0 ] || fail "systemd still knows it"
docker rm -fv "$debian" >/dev/null
debian=
