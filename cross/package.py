#!/usr/bin/env python3
"""A Debian package of a glintd that is built already.

    cross/package.py GLINTD OUT.deb [FOLDER]    FOLDER: what the build has made (notices.py), for /usr/share/doc/glintd
    cross/package.py --glibc GLINTD             prints the glibc that the program asks for

Files, modes and texts are those of Cargo.toml, [package.metadata.deb]; dpkg's scripts are those of cross/debian. Architecture and
dependencies are read from the program. A link of a page to a file that the package does not hold is an error. The same files give the same package, byte for byte: times are SOURCE_DATE_EPOCH, or else
the time of the last commit.
"""
import glob
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ARCHITECTURES = {"X86-64": "amd64", "AArch64": "arm64", "ARM": "armhf"}
# Which package has a library. What is not listed here is part of no release.
LIBRARIES = {"libgcc_s.so.1": "libgcc-s1"}
GLIBC = re.compile(r"(libc|libm|libpthread|libdl|librt|libutil|libresolv|ld-linux.*)\.so\.\d+")


def readelf(option, program):
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.check_output(["readelf", "-W", option, program], text=True, env=environment)


def glibc(program):
    """The newest version among the symbols of the C library that a program asks for."""
    versions = re.findall(r"Name: GLIBC_([0-9.]+)", readelf("--version-info", program))
    if not versions:
        sys.exit(f"package.py: {program} asks for no version of glibc")
    return max(versions, key=lambda text: [int(part) for part in text.split(".")])


def depends(program):
    """Depends, from what the program asks the dynamic linker for."""
    packages = [f"libc6 (>= {glibc(program)})"]
    for library in re.findall(r"\(NEEDED\).*\[(.*)\]", readelf("--dynamic", program)):
        if not GLIBC.fullmatch(library):
            if library not in LIBRARIES:
                sys.exit(f"package.py: {program} needs {library}, which no package is known for")
            packages.append(LIBRARIES[library])
    return ", ".join(packages)


def put(source, target, mode):
    """A file of the package; manual pages are compressed."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if "/man/man1/" in target:
        target += ".gz"
        with open(source, "rb") as page, open(target, "wb") as file:
            file.write(gzip.compress(page.read(), 9, mtime=0))
    else:
        shutil.copyfile(source, target)
    os.chmod(target, mode)


def lay_out(glintd, folder, deb, made):
    """All files of the package."""
    for source, destination, mode in deb["assets"]:
        found = [glintd] if source.startswith("target/") else sorted(glob.glob(os.path.join(ROOT, source)))
        if not found:
            sys.exit(f"package.py: Cargo.toml: asset {source} is not there")
        for path in filter(os.path.isfile, found):
            name = os.path.basename(source if path == glintd else path) if destination.endswith("/") else ""
            put(path, os.path.join(folder, destination, name).rstrip("/"), int(mode, 8))
    for path in glob.glob(os.path.join(ROOT, deb["systemd-units"]["unit-scripts"], "*.service")):
        put(path, os.path.join(folder, "usr/lib/systemd/system", os.path.basename(path)), 0o644)
    documents = os.path.join(folder, "usr/share/doc", deb["name"])
    for path in glob.glob(os.path.join(made, "*")) if made else []:
        put(path, os.path.join(documents, os.path.basename(path)), 0o644)
    if dead := dead_links(documents):
        sys.exit("package.py: links to files that the package does not hold:\n" + "\n".join(dead))
    copyright_file(os.path.join(documents, "copyright"), deb)


def dead_links(documents):
    """The links of the package's pages that lead to no file of it. Blocks of code and addresses do not count."""
    dead = []
    for page in sorted(glob.glob(os.path.join(documents, "**", "*.md"), recursive=True)):
        with open(page, encoding="utf-8") as file:
            text = re.sub(r"^ *```.*?^ *```", "", file.read(), flags=re.M | re.S)
        for target in re.findall(r"\]\(([^()\s]+)\)", text):
            path = target.split("#")[0]
            if path and not re.match(r"[a-z]+:", path) and not os.path.exists(os.path.join(os.path.dirname(page), path)):
                dead.append(f"{os.path.relpath(page, documents)}: {target}")
    return dead


def copyright_file(path, deb):
    """The licence, as Debian wants it."""
    with open(os.path.join(ROOT, "LICENSE-MIT")) as file:
        mit = "\n".join(" " + (line.strip() or ".") for line in file.read().strip().splitlines())
    with open(path, "w") as file:
        file.write("Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n"
                   f"Files: *\nCopyright: {deb['copyright']}\nLicense: Expat or Apache-2.0\n"
                   "Comment: The program holds other people's work. third-party.txt beside this file has the licences of the crates,\n"
                   " models/NOTICE those of the sources of the networks.\n\n"
                   f"License: Expat\n{mit}\n\n"
                   "License: Apache-2.0\n The text is /usr/share/common-licenses/Apache-2.0, and LICENSE-APACHE beside this file.\n")
    os.chmod(path, 0o644)


def control_files(folder, cargo, program):
    """The folder DEBIAN: text -> file."""
    deb = cargo["package"]["metadata"]["deb"]
    machine = re.search(r"Machine:\s+(?:.* )?(\S+)$", readelf("--file-header", program), re.M).group(1)
    version = cargo["workspace"]["package"]["version"] + "-1"
    sums, size = [], 0
    for place, folders, names in os.walk(folder):
        folders.sort()
        for path in (os.path.join(place, name) for name in sorted(names)):
            with open(path, "rb") as file:
                content = file.read()
            size += -(-len(content) // 1024)
            name = os.path.relpath(path, folder)
            if f"/{name}" not in deb["conf-files"]:
                sums.append(f"{hashlib.md5(content).hexdigest()}  {name}\n")
    description = "\n".join(" " + (line or ".") for line in deb["extended-description"].strip().splitlines())
    fields = {
        "Package": deb["name"], "Version": version, "Architecture": ARCHITECTURES[machine],
        "Maintainer": f"{deb['maintainer']} <glint@example.org>", "Installed-Size": size, "Section": deb["section"],
        "Priority": deb["priority"], "Depends": depends(program), "Recommends": deb["recommends"],
        "Description": f"{cargo['package']['description']}\n{description}",
    }
    files = {"control": "".join(f"{name}: {value}\n" for name, value in fields.items()),
             "conffiles": "\n".join(deb["conf-files"]) + "\n", "md5sums": "".join(sums)}
    for path in glob.glob(os.path.join(ROOT, deb["maintainer-scripts"], "*")):
        with open(path) as file:
            files[os.path.basename(path)] = file.read()
    return files


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "--glibc":
        return print(glibc(sys.argv[2]))
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    program, out, *made = sys.argv[1:]
    with open(os.path.join(ROOT, "Cargo.toml"), "rb") as file:
        cargo = tomllib.load(file)
    last = ["git", "-C", ROOT, "log", "-1", "--format=%ct"]
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or subprocess.check_output(last))
    os.umask(0o022)
    with tempfile.TemporaryDirectory() as temporary:
        folder = os.path.join(temporary, "package")
        os.mkdir(folder)
        lay_out(program, folder, cargo["package"]["metadata"]["deb"], made[0] if made else None)
        files = control_files(folder, cargo, program)
        os.mkdir(os.path.join(folder, "DEBIAN"))
        for name, text in files.items():
            path = os.path.join(folder, "DEBIAN", name)
            with open(path, "w") as file:
                file.write(text)
            os.chmod(path, 0o755 if name in ("postinst", "prerm", "postrm") else 0o644)
        for place, _, names in os.walk(folder):
            for path in [place, *(os.path.join(place, name) for name in names)]:
                os.utime(path, (epoch, epoch))
        # One thread: more of them cut the archive elsewhere.
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
        command = ["dpkg-deb", "--root-owner-group", "-Zxz", "--threads-max=1", "--build", folder, out]
        subprocess.run(command, check=True, stdout=sys.stderr, env=environment)


if __name__ == "__main__":
    main()
