# A part of ops/test.sh, sourced by it: what ops/release.sh makes, looked at without being installed.

try "the release: a tarball, a package and what they are made of, the same each time"
export BINARY
quiet ops/release.sh "$scratch/release"
# Not by the clock of a file, nor by the order of a folder.
quiet ops/release.sh "$scratch/again"
diff "$scratch/release/SHA256SUMS" "$scratch/again/SHA256SUMS" || fail "two runs differ"
(cd "$scratch/release" && sha256sum --quiet -c SHA256SUMS && [ "$(wc -l <SHA256SUMS)" = $(($(ls | wc -l) - 1)) ]) ||
    fail "SHA256SUMS has not all of $(ls "$scratch/release")"
package=$(echo "$scratch"/release/*.deb)
dpkg-deb -c "$package" >"$scratch/in-package"
for file in ./usr/bin/$image ./etc/$image/env ./lib/systemd/system/$image@.service \
    ./usr/share/bash-completion/completions/$image ./usr/share/zsh/vendor-completions/_$image \
    ./usr/share/fish/vendor_completions.d/$image.fish; do
    grep -q " $file\$" "$scratch/in-package" || fail "the package has no $file"
done
mkdir "$scratch/unpacked"
tar -C "$scratch/unpacked" --strip-components=1 -xf "$scratch"/release/*.tar.gz
unpacked=$scratch/unpacked
figure "the package has $(($(stat -c %s "$package") / 1000)) kB, around $BINARY"

commands=$("$BINARY" --help | sed -n '/^Commands:/,/^$/p' | sed -nE 's/^  ([a-z]+) .*/\1/p' | grep -vx help)
[ "$(wc -l <<<"$commands")" -ge 8 ] || fail "the commands of --help: $commands"
long_options() { grep -oE -- '--[a-z][a-z0-9-]+' | sort -u; }
# Those that --help begins a line with; texts may name others.
options_of() { "$BINARY" "$@" --help | grep -oE '^ +(-[a-zA-Z], )?--[a-z0-9-]+' | long_options; }

if command -v man >/dev/null || install_package man-db; then
    try "man pages: one of the program and one of each command, with each option of --help"
    for command in "" $commands; do
        page=$unpacked/man/$image${command:+-$command}.1
        grep -q " ./usr/share/man/man1/$(basename "$page").gz\$" "$scratch/in-package" || fail "the package has no $page"
        # A line is never broken within an option.
        MANWIDTH=300 man --warnings -l "$page" 2>"$scratch/warnings" | col -b >"$scratch/page"
        [ ! -s "$scratch/warnings" ] || { cat "$scratch/warnings" && fail "$page"; }
        # ${command:+…}: none for the program itself.
        options_of ${command:+"$command"} >"$scratch/options"
        grep -E '^ +-' "$scratch/page" | long_options | comm -13 - "$scratch/options" >"$scratch/missing"
        [ ! -s "$scratch/missing" ] || fail "$(basename "$page") lacks $(tr '\n' ' ' <"$scratch/missing")"
        grep -q '^EXAMPLES' "$scratch/page" || fail "$page has no examples"
    done
else
    skip "man pages: there is no man, and it could not be installed (Debian's package man-db)"
fi

try "completions: bash loads them and completes commands, options and options without a command"
complete_in_bash() { # what has been typed; prints what may follow
    bash -c 'source "$1" && shift && COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        function=$(complete -p "$1" | sed -E "s/.* -F ([^ ]+) .*/\1/")
        "$function" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}" && printf "%s\n" "${COMPREPLY[@]}"' \
        bash "$unpacked/completions/$image" "$@"
}
complete_in_bash $image "" >"$scratch/out"
for command in $commands; do grep -qx "$command" "$scratch/out" || fail "bash does not complete $command"; done
[ "$(complete_in_bash $image replay --str)" = --strict ] || fail "$(complete_in_bash $image replay --str)"
[ "$(complete_in_bash $image --use-j)" = --use-jetstream ] || fail "$(complete_in_bash $image --use-j)"
for shell in zsh:_$image fish:$image.fish; do
    if command -v "${shell%%:*}" >/dev/null; then
        "${shell%%:*}" -n "$unpacked/completions/${shell#*:}" || fail "${shell%%:*} cannot read its completions"
    else
        skip "completions in ${shell%%:*}: it is not installed"
    fi
done

try "the SBOM: the crates that cargo links, with licence and checksum, and none that the binary has beside them"
sbom=$(echo "$scratch"/release/*.cdx.json)
jq -e '.bomFormat == "CycloneDX" and .specVersion == "1.5" and (.serialNumber | test("^urn:uuid:[0-9a-f-]{36}$"))' "$sbom" \
    >/dev/null || fail "$(head -c 300 "$sbom")"
host=$(rustc -vV | sed -n 's/^host: //p')
cargo tree --locked --target "$host" -e normal --prefix none -f '{p}' | awk '{ print $1 "@" substr($2, 2) }' |
    grep -v "^$image@" | sort -u >"$scratch/crates"
jq -r '.components[] | "\(.name)@\(.version)"' "$sbom" | sort | diff - "$scratch/crates" || fail "the SBOM differs from cargo tree"
faulty=$(jq -c '.components[] | select((.licenses[0].expression // "") == "" or (.purl | startswith("pkg:cargo/") | not)
    or (.name != "proto_nats" and (.hashes[0].content // "" | test("^[0-9a-f]{64}$") | not))) | .name' "$sbom")
[ -z "$faulty" ] || fail "without licence, checksum or address: $faulty"
jq -e '[.components[]["bom-ref"], .metadata.component["bom-ref"]] as $all | ($all | length) == ($all | unique | length)
    and ([.dependencies[].ref] | sort) == ($all | sort) and ([.dependencies[].dependsOn[]] - $all) == []
    and ($all - [.dependencies[].dependsOn[]]) == [.metadata.component["bom-ref"]]' "$sbom" >/dev/null ||
    fail "the graph has loose ends"
[ "$(jq -r '.metadata.component.hashes[0].content' "$sbom")" = "$(sha256sum <"$unpacked/$image" | cut -d' ' -f1)" ] ||
    fail "the SBOM is about another binary"
# Panics name the files of crates: what is linked shows there, whatever cargo says.
grep -aoE 'registry/src/[^/]+/[a-zA-Z0-9_-]+-[0-9]+\.[0-9]+\.[0-9]+' "$unpacked/$image" | sed -E 's,.*/,,; s/-([0-9]+\.)/@\1/' |
    sort -u >"$scratch/in-binary"
jq -r '.components[] | select(.scope == "required") | "\(.name)@\(.version)"' "$sbom" | sed -E 's/(@[0-9.]+)[+-].*/\1/' | sort -u |
    comm -13 - "$scratch/in-binary" >"$scratch/missing"
[ ! -s "$scratch/missing" ] || fail "in the binary and not in the SBOM: $(cat "$scratch/missing")"
figure "SBOM: $(wc -l <"$scratch/crates") crates; the binary names files of $(wc -l <"$scratch/in-binary") of them"
