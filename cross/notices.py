#!/usr/bin/env python3
"""What other people's work is in a release of glintd, out of Cargo.lock and the sources of the crates.

    cross/notices.py TARGET FOLDER    writes FOLDER/third-party.txt, the licences, and FOLDER/glintd.cdx.json, the bill of
                                      materials (CycloneDX 1.5)

Licences are those of the crates that are linked into the program. The bill of materials names those that take part in the build
too, with the scope "excluded". The same Cargo.lock gives the same files. A crate whose licence cannot be found fails.
"""
import glob
import json
import os
import re
import subprocess
import sys
import time
import tomllib
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LICENCE_FILE = re.compile(r"(licen[sc]e|copying|copyright|notice|unlicense)", re.I)
LINKED_TOO = """The Rust standard library is linked into the program: MIT OR Apache-2.0, the Rust Project contributors, with parts of LLVM's
compiler-rt and libunwind under Apache-2.0 WITH LLVM-exception. The texts of both licences are below. The start-up code and the
run-time library of zig are under the MIT licence: Copyright (c) Zig contributors."""


def cargo(*arguments):
    return subprocess.check_output(["cargo", *arguments, "--locked"], text=True, cwd=ROOT)


def tree(target, edges):
    """(name, version) of the packages that cargo would build."""
    lines = cargo("tree", "-p", "glint", "--target", target, "-e", edges, "--prefix", "none", "--format", "{p}").splitlines()
    return {(name, version.removeprefix("v")) for name, version in (line.split()[:2] for line in lines if line)}


def expression(package):
    """The licence as SPDX writes it; early crates have a slash."""
    return re.sub(r"\s*/\s*", " OR ", package["license"] or "")


def licence_files(package):
    folder = os.path.dirname(package["manifest_path"])
    found = [path for path in glob.glob(os.path.join(folder, "*")) + glob.glob(os.path.join(folder, "LICENSES", "*"))
             if os.path.isfile(path) and (LICENCE_FILE.match(os.path.basename(path)) or "LICENSES" in path)]
    return sorted(path for path in found if not path.endswith((".rs", ".html")))


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read().strip()


def standard(package):
    """The text for a crate that ships none."""
    licences = expression(package)
    if "Apache-2.0" in licences:
        return read(os.path.join(ROOT, "LICENSE-APACHE"))
    if "MIT" in licences:
        holders = ", ".join(re.sub(r"\s*<.*?>", "", author) for author in package["authors"]) or f"the authors of {package['name']}"
        text = read(os.path.join(ROOT, "LICENSE-MIT"))
        return re.sub(r"Copyright \(c\).*", f"Copyright (c) {holders}", text, count=1)
    sys.exit(f"notices.py: {package['name']} {package['version']} ({licences or 'no licence'}) has no licence file")


def third_party(packages):
    """All texts, each once, with the crates that it is of."""
    texts = {}
    for package in packages:
        name = f"{package['name']} {package['version']}"
        for text in [read(path) for path in licence_files(package)] or [standard(package)]:
            texts.setdefault(" ".join(text.split()), (text, []))[1].append(name)
    out = ["Licences of the work that is linked into glintd", "", LINKED_TOO, "", "Crates", ""]
    for package in packages:
        out.append(f"  {package['name']} {package['version']}: {expression(package)}; {package['repository'] or 'crates.io'}")
    for text, names in texts.values():
        out += ["", "=" * 100, ", ".join(names), "=" * 100, "", text]
    return "\n".join(out) + "\n"


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package, checksums, linked):
    key = (package["name"], package["version"])
    entry = {"type": "library", "bom-ref": purl(package), "name": key[0], "version": key[1],
             "scope": "required" if key in linked else "excluded", "licenses": [{"expression": expression(package)}]}
    if key in checksums:
        entry["hashes"] = [{"alg": "SHA-256", "content": checksums[key]}]
    entry["purl"] = purl(package)
    if package["repository"]:
        entry["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return entry


def bill(metadata, packages, linked):
    """The bill of materials."""
    with open(os.path.join(ROOT, "Cargo.lock"), "rb") as file:
        lock = tomllib.load(file)["package"]
    checksums = {(entry["name"], entry["version"]): entry["checksum"] for entry in lock if "checksum" in entry}
    own = next(p for p in metadata["packages"] if p["name"] == "glint")
    ids = {p["id"]: p for p in [own, *packages]}
    dependencies = []
    for node in metadata["resolve"]["nodes"]:
        if node["id"] in ids:
            # The resolution is of the whole workspace; what only tests or the trainer need is in no component.
            to = {d["pkg"] for d in node["deps"] if any(k["kind"] != "dev" for k in d["dep_kinds"])} & ids.keys()
            dependencies.append({"ref": purl(ids[node["id"]]), "dependsOn": sorted(purl(ids[d]) for d in to)})
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or subprocess.check_output(["git", "-C", ROOT, "log", "-1", "--format=%ct"]))
    document = {
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {"timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch)),
                     "component": {"type": "application", "bom-ref": purl(own), "name": "glintd", "version": own["version"],
                                   "licenses": [{"expression": expression(own)}], "purl": purl(own)}},
        "components": [component(p, checksums, linked) for p in packages],
        "dependencies": sorted(dependencies, key=lambda d: d["ref"]),
    }
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(document))}"
    return document


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    target, folder = sys.argv[1:]
    metadata = json.loads(cargo("metadata", "--format-version", "1", "--filter-platform", target))
    linked = tree(target, "normal,no-proc-macro")
    built = linked | tree(target, "normal,build")
    packages = [p for p in metadata["packages"] if (p["name"], p["version"]) in built and p["name"] != "glint"]
    packages.sort(key=lambda p: (p["name"], p["version"]))
    if not packages:
        sys.exit("notices.py: cargo named no crates")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "third-party.txt"), "w") as file:
        file.write(third_party([p for p in packages if (p["name"], p["version"]) in linked]))
    with open(os.path.join(folder, "glintd.cdx.json"), "w") as file:
        json.dump(bill(metadata, packages, linked), file, indent=1)
        file.write("\n")
    print(f"notices.py: {target}: {len(linked) - 1} crates linked, {len(built) - 1} in the build", file=sys.stderr)


if __name__ == "__main__":
    main()
