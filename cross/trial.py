#!/usr/bin/env python3
"""trial.py FOLDER [SUITE-ARCHITECTURE...]: the packages of packages.sh, each in a minimal Debian of roots.sh.

    sudo cross/trial.py target/packages                       bullseye, bookworm and trixie; amd64, arm64 and armhf
    sudo cross/trial.py target/packages bookworm-arm64        one of them

dpkg's own scripts run, those of ARM by qemu's user-mode emulation. apt installs from the static repository; the program starts,
checks its configuration and finds the event of a film; the package is upgraded over an edited file, removed and purged. Prints a
line for each step, and a table in Markdown at the end. Fails if one step fails. Needs root.

GLINT_FILM   a clip of the synthetic subject (default: target/debug/examples/film makes it; cargo build --features demo --example film)
"""
import glob
import os
import re
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SUITES = ["bullseye", "bookworm", "trixie"]
ARCHITECTURES = ["amd64", "arm64", "armhf"]
# What dpkg, apt and the trial itself write, and no package leaves.
NOT_OURS = re.compile(r"/(proc|sys|dev|tmp|trial|run|var/(lib/(dpkg|apt)|cache|log))(/|$)|/etc/ld.so.cache$"
                      r"|/var/lib/private$|/var/lib/systemd(/deb-systemd-helper-[a-z-]*)?$")
DOCUMENTS = ["copyright", "third-party.txt", "glintd.cdx.json", "models/NOTICE", "LICENSE-APACHE", "README.md", "CHANGELOG.md",
             "docs/guide/install.md", "examples/python/subscriber.py"]
OTHERS = ["/usr/share/glint/config.schema.json", "/usr/share/glint/event.schema.json", "/usr/share/man/man1/glintd.1.gz",
          "/usr/share/bash-completion/completions/glintd", "/usr/lib/systemd/system/glintd.service"]


class Debian:
    """A Debian that may be written to; what is written is gone afterwards."""

    def __init__(self, name, packages):
        self.base = subprocess.check_output([f"{ROOT}/cross/roots.sh", *name.split("-")], text=True).strip()
        self.packages = packages
        self.mounted = []

    def mount(self, place, *options):
        os.makedirs(place, exist_ok=True)
        subprocess.run(["mount", *options, place], check=True)
        self.mounted.append(place)

    def __enter__(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.root = f"{self.temporary.name}/root"
        for part in ("upper", "work"):
            os.mkdir(f"{self.temporary.name}/{part}")
        layers = f"lowerdir={self.base},upperdir={self.temporary.name}/upper,workdir={self.temporary.name}/work"
        self.mount(self.root, "-t", "overlay", "overlay", "-o", layers)
        self.mount(f"{self.root}/proc", "-t", "proc", "proc")
        self.mount(f"{self.root}/dev", "--bind", "/dev")
        self.mount(f"{self.root}/trial", "--bind", self.packages)
        return self

    def __exit__(self, *_):
        for place in reversed(self.mounted):
            subprocess.run(["umount", "-l", place], check=True)
        self.temporary.cleanup()

    def command(self, *words):
        # Under emulation /proc/cpuinfo is the host's.
        environment = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "HOME=/root",
                       "TRACT_CPU_AARCH64_KIND=a72", "STATE_DIRECTORY=/var/lib/glint"]
        return [*environment, "chroot", self.root, *words]

    def run(self, *words):
        """Status and output of a command, both streams together."""
        done = subprocess.run(self.command(*words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout

    def path(self, name):
        return self.root + name

    def files(self):
        """Everything that a package could have left."""
        found = set()
        for place, folders, names in os.walk(self.root):
            inside = place[len(self.root):] or "/"
            if NOT_OURS.match(inside):
                folders.clear()
                continue
            found.update(os.path.join(inside, name) for name in folders + names)
        return {name for name in found if not NOT_OURS.match(name)}


class Trial:
    """The steps in one Debian."""

    def __init__(self, name):
        self.name = name
        self.failed = []

    def step(self, what, well, output=""):
        print(f"{'PASS' if well else 'FAIL'} {self.name}: {what}", flush=True)
        if not well:
            self.failed.append(what)
            print(output, file=sys.stderr)


def dpkg_installs(debian, package):
    """As an unattended upgrade does: files that were edited stay."""
    return debian.run("dpkg", "--force-confdef", "--force-confold", "-i", package)


def read(path):
    with open(path) as file:
        return file.read()


def try_package(debian, trial, version):
    before = debian.files()
    with open(debian.path("/tmp/glint.list"), "w") as file:
        file.write("deb [trusted=yes] file:/trial/apt stable main\n")
    source = ["-o", "Dir::Etc::sourcelist=/tmp/glint.list", "-o", "Dir::Etc::sourceparts=/dev/null"]
    debian.run("apt-get", *source, "update")
    status, out = debian.run("apt-get", *source, "install", "-y", "glintd")
    trial.step("apt installs it from the repository", status == 0, out)
    trial.step("one sentence says what to do next", out.count("sudo systemctl enable --now glintd") == 1, out)
    folder = "/usr/share/doc/glintd/"
    absent = [name for name in [folder + d for d in DOCUMENTS] + OTHERS if not os.path.exists(debian.path(name))]
    trial.step("licences, notices, bill of materials, schemas, pages and examples are there", not absent, str(absent))
    status, out = debian.run("glintd", "--version")
    trial.step("glintd --version", status == 0 and out.startswith(f"glintd {version.split('-')[0]}\n"), out)
    status, out = debian.run("glintd", "check")
    trial.step("glintd check", status == 0, out)
    begin = time.monotonic()
    status, out = debian.run("glintd", "replay", "--to", "3.5", "/trial/film.avi")
    event = status == 0 and "glint.movement.v1" in out
    trial.step(f"glintd replay finds the event of a film ({time.monotonic() - begin:.0f} s)", event, out)

    configuration = debian.path("/etc/glint/glint.toml")
    edited = read(configuration).replace('#id = "glint-door"', 'id = "edited"')
    with open(configuration, "w") as file:
        file.write(edited)
    for name in ("/etc/glint/mqtt-password", "/var/lib/glint/outbox.redb", "/var/lib/private/glint-door/outbox.paused"):
        os.makedirs(os.path.dirname(debian.path(name)), exist_ok=True)
        with open(debian.path(name), "w"):
            pass
    status, out = dpkg_installs(debian, "/trial/next.deb")
    same = read(configuration) == edited and 'id = "edited"' in edited
    trial.step("an upgrade keeps an edited configuration", status == 0 and same, out)
    there = [p for p in glob.glob(debian.path("/etc/glint/*")) if "dpkg-" in p]
    trial.step("the new one lies beside it", len(there) == 1, str(there))
    trial.step("the upgrade does not say again what to do next", "sudo systemctl" not in out, out)
    status, out = debian.run("dpkg", "-r", "glintd")
    kept = all(os.path.exists(debian.path(p)) for p in ("/etc/glint/glint.toml", "/var/lib/glint/outbox.redb"))
    trial.step("removal keeps configuration and events", status == 0 and kept and not os.path.exists(debian.path("/usr/bin/glintd")), out)
    status, out = debian.run("dpkg", "-P", "glintd")
    left = sorted(debian.files() - before)
    trial.step("purge leaves nothing", status == 0 and not left, out + "\n".join(left))
    gone = sorted(before - debian.files())
    trial.step("and takes nothing along", not gone, "\n".join(gone))


def next_version(package, out):
    """The same package as a later version with another shipped configuration."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["dpkg-deb", "-R", package, folder], check=True)
        with open(f"{folder}/etc/glint/glint.toml", "a") as file:
            file.write("# A line of a later version.\n")
        control = read(f"{folder}/DEBIAN/control")
        with open(f"{folder}/DEBIAN/control", "w") as file:
            file.write(re.sub(r"^Version: .*$", "Version: 99.0-1", control, flags=re.M))
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "-b", folder, out], check=True, stdout=subprocess.DEVNULL)


def film(path):
    """A film of the synthetic subject."""
    made = os.environ.get("GLINT_FILM")
    if made:
        subprocess.run(["cp", made, path], check=True)
    else:
        subprocess.run([f"{ROOT}/target/debug/examples/film", path], check=True)


def main():
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__)
    folder, names = os.path.abspath(sys.argv[1]), sys.argv[2:]
    rows, failed = [], False
    with tempfile.TemporaryDirectory() as trial_folder:
        os.chmod(trial_folder, 0o755)
        subprocess.run(["cp", "-r", f"{folder}/apt", trial_folder], check=True)
        film(f"{trial_folder}/film.avi")
        for architecture in ARCHITECTURES:
            suites = [s for s in SUITES if not names or f"{s}-{architecture}" in names]
            if not suites:
                continue
            (package,) = glob.glob(f"{folder}/glintd_*_{architecture}.deb")
            field = lambda name: subprocess.check_output(["dpkg-deb", "-f", package, name], text=True).strip()
            next_version(package, f"{trial_folder}/next.deb")
            for suite in suites:
                trial = Trial(f"{suite}-{architecture}")
                with Debian(trial.name, trial_folder) as debian:
                    libc = debian.run("dpkg-query", "-W", "-f", "${Version}", "libc6")[1]
                    try_package(debian, trial, field("Version"))
                how = "no" if architecture == "amd64" else "user mode"
                result = "all steps pass" if not trial.failed else "fails: " + "; ".join(trial.failed)
                rows.append(f"| {suite} | {architecture} | {libc} | {field('Depends')} | {how} | {result} |")
                failed |= bool(trial.failed)
    print("\n| suite | architecture | glibc there | the package asks for | emulated | result |\n|---|---|---|---|---|---|")
    print("\n".join(rows))
    sys.exit(failed)


if __name__ == "__main__":
    main()
