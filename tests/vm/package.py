#!/usr/bin/env python3
"""package.py GLINTD OUT.deb: a Debian package of a glintd that is built already, for the machine of systemd.sh.

Files, modes, configuration files and dependencies are those of Cargo.toml, [package.metadata.deb]. The maintainer scripts are
those of debhelper that cross/deb.sh has cargo-deb take for a unit that is neither enabled nor started. Releases are made by
cross/deb.sh alone.
"""
import glob
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
POSTINST = """#!/bin/sh
set -e
if [ "$1" = configure ]; then
    for unit in UNITS; do
        deb-systemd-helper unmask "$unit" >/dev/null || true
        if deb-systemd-helper debian-installed "$unit"; then
            deb-systemd-helper --quiet was-enabled "$unit" && deb-systemd-helper enable "$unit" >/dev/null || true
        fi
        deb-systemd-helper update-state "$unit" >/dev/null || true
    done
    [ ! -d /run/systemd/system ] || systemctl --system daemon-reload >/dev/null || true
fi
"""
PRERM = """#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    deb-systemd-invoke stop STOPPED >/dev/null || true
fi
"""
POSTRM = """#!/bin/sh
set -e
[ ! -d /run/systemd/system ] || systemctl --system daemon-reload >/dev/null || true
if [ "$1" = purge ]; then
    for unit in UNITS; do deb-systemd-helper purge "$unit" >/dev/null || true; done
fi
"""


def lay_out(glintd, folder, deb):
    """The files of the package; the units among them."""
    for source, destination, mode in deb["assets"]:
        found = [glintd] if source.startswith("target/") else sorted(glob.glob(os.path.join(ROOT, source)))
        if not found:
            sys.exit(f"package.py: Cargo.toml: asset {source} is not there")
        for path in found:
            target = os.path.join(folder, destination)
            if destination.endswith("/"):
                target = os.path.join(target, os.path.basename(path))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copyfile(path, target)
            os.chmod(target, int(mode, 8))
    units = []
    for path in sorted(glob.glob(os.path.join(ROOT, deb["systemd-units"]["unit-scripts"], "*.service"))):
        units.append(os.path.basename(path))
        target = os.path.join(folder, "usr/lib/systemd/system", units[-1])
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(path, target)
        os.chmod(target, 0o644)
    return units


def main():
    glintd, out = sys.argv[1:]
    with open(os.path.join(ROOT, "Cargo.toml"), "rb") as file:
        cargo = tomllib.load(file)
    deb = cargo["package"]["metadata"]["deb"]
    architecture = subprocess.check_output(["dpkg", "--print-architecture"], text=True).strip()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        units = lay_out(glintd, folder, deb)
        # As in debhelper: what has no instance yet is neither enabled nor stopped.
        plain = [unit for unit in units if "@" not in unit]
        control = os.path.join(folder, "DEBIAN")
        os.makedirs(control)
        version = cargo["workspace"]["package"]["version"]
        description = "\n".join(" " + (line or ".") for line in deb["extended-description"].strip().splitlines())
        files = {
            "control": f"Package: {deb['name']}\nVersion: {version}\nArchitecture: {architecture}\n"
                       f"Maintainer: {deb['maintainer']} <glint@example.org>\nSection: {deb['section']}\nPriority: {deb['priority']}\n"
                       f"Depends: {deb['depends']}\nDescription: {cargo['package']['description']}\n{description}\n",
            "conffiles": "\n".join(deb["conf-files"]) + "\n",
            "postinst": POSTINST.replace("UNITS", " ".join(plain)),
            "prerm": PRERM.replace("STOPPED", " ".join(plain)),
            "postrm": POSTRM.replace("UNITS", " ".join(plain)),
        }
        for name, text in files.items():
            path = os.path.join(control, name)
            with open(path, "w") as file:
                file.write(text)
            os.chmod(path, 0o755 if name in ("postinst", "prerm", "postrm") else 0o644)
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", folder, out], check=True, stdout=sys.stderr)


if __name__ == "__main__":
    main()
