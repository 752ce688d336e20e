#!/usr/bin/env python3
"""Writes what the binary is made of as CycloneDX 1.5 JSON: each crate with its licence, its checksum and what it uses.

  ops/sbom.py [--target TRIPLE] [--binary FILE] > senpai-md-consumer.cdx.json

Crates are those that cargo compiles for the binary on that target (else this machine's): `cargo tree --edges normal`, with the
features that the binary is built with, and without what tests and build scripts need. Procedural macros run in the compiler
and are not in the binary, nor is what they alone use: their scope is `excluded`. Checksums are those of Cargo.lock, of the
packages as crates.io serves them; with --binary that of the file itself is there, too. The same tree gives the same bytes;
the time is SOURCE_DATE_EPOCH.
"""

import argparse
import datetime
import hashlib
import json
import os
import pathlib
import re
import subprocess
import tomllib
import uuid

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = "senpai-md-consumer"


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--target")
    arguments.add_argument("--binary", type=pathlib.Path)
    arguments = arguments.parse_args()
    target = arguments.target or re.search(r"^host: (.*)", output("rustc", "-vV"), re.M)[1]

    uses = tree(target, "normal")
    linked = tree(target, "normal,no-proc-macro")
    about = packages(target)
    checksums = {
        (package["name"], package["version"]): package.get("checksum")
        for package in tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    }
    components = [component(about[crate], checksums[crate], crate in linked) for crate in sorted(uses)]
    program = next(component for component in components if component["name"] == PROGRAM)
    components.remove(program)
    program |= {"type": "application"}
    if arguments.binary:
        program["hashes"] = [sha256(hashlib.sha256(arguments.binary.read_bytes()).hexdigest())]

    time = datetime.datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", 0)), datetime.timezone.utc)
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tools": {"components": [{"type": "application", "name": "ops/sbom.py"}]},
            "component": program,
            "properties": [{"name": "cargo:target", "value": target}],
        },
        "components": components,
        "dependencies": [
            {"ref": purl(crate), "dependsOn": sorted(purl(used) for used in uses[crate])} for crate in sorted(uses)
        ],
    }
    # The same content has the same number.
    content = json.dumps(document, sort_keys=True)
    document["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_URL, content).urn
    print(json.dumps(document, indent=2, sort_keys=True))


def output(*command):
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def tree(target, edges):
    """Each crate, as (name, version), with those that it uses."""
    lines = output(
        "cargo", "tree", "--locked", "--target", target, "--edges", edges, "--prefix", "depth", "--format", " {p}"
    )
    uses, path = {}, []
    for line in lines.splitlines():
        # `2 log v0.4.35`; what is behind it (a path, `(*)` for what has been shown, `(proc-macro)`) adds nothing.
        depth, name, version = re.match(r"(\d+) (\S+) v(\S+)", line).groups()
        crate = (name, version)
        path[int(depth) :] = [crate]
        uses.setdefault(crate, set())
        if len(path) > 1:
            uses[path[-2]].add(crate)
    return uses


def packages(target):
    """What each crate says of itself."""
    metadata = output("cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target)
    return {(package["name"], package["version"]): package for package in json.loads(metadata)["packages"]}


def component(package, checksum, is_linked):
    crate = (package["name"], package["version"])
    # Old crates separate licences by a slash, which is no SPDX expression.
    licence = re.sub(r" ?/ ?", " OR ", package["license"])
    found = {
        "type": "library",
        "bom-ref": purl(crate),
        "name": package["name"],
        "version": package["version"],
        "purl": purl(crate),
        "scope": "required" if is_linked else "excluded",
        "licenses": [{"expression": licence}],
    }
    if package["description"]:
        found["description"] = " ".join(package["description"].split())
    if checksum:
        found["hashes"] = [sha256(checksum)]
    if package["repository"]:
        found["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return found


def purl(crate):
    return "pkg:cargo/{}@{}".format(*crate).replace("+", "%2B")


def sha256(content):
    return {"alg": "SHA-256", "content": content}


if __name__ == "__main__":
    main()
