#!/bin/bash
# packages.sh [FOLDER]: everything that a release publishes, into FOLDER (default: target/packages).
#
#   glintd_VERSION_ARCHITECTURE.deb   for amd64, arm64 and armhf (deb.sh)
#   apt/                              a static apt repository with the three (repository.sh)
#   SHA256SUMS                        of the packages
#
# 9 to 14 minutes of a processor for each architecture. trial.py tries the packages in Debian's roots.
# GLINT_APT_KEY   the key of gpg that signs the repository; without it the repository is not signed
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
case ${1:-} in --help | -h) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
folder=$(realpath -m "${1:-$root/target/packages}")
packages=()
for target in x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu armv7-unknown-linux-gnueabihf; do
    package=$("$root/cross/deb.sh" "$target" "$folder" | tail -1)
    packages+=("$package")
done
# Anew: a repository takes no other bytes under the same version.
rm -rf "$folder/apt"
"$root/cross/repository.sh" "$folder/apt" "${packages[@]}"
cd "$folder"
sha256sum "${packages[@]##*/}" | tee SHA256SUMS
