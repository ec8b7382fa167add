#!/bin/bash
# deb.sh [TARGET [FOLDER]]: the Debian package of a release of glintd; the last line of stdout is its path.
#
#   cross/deb.sh aarch64-unknown-linux-gnu        armv7-unknown-linux-gnueabihf, x86_64-unknown-linux-gnu
#
# The binary is that of release.sh, without the demo's broker. What goes where stands in Cargo.toml, [package.metadata.deb]; the
# licences of the crates and the bill of materials come from notices.py. FOLDER defaults to target/packages.
# GLINT_BINARY   a glintd that is built already, in place of a build
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
target=${1:-aarch64-unknown-linux-gnu}
folder=$(realpath -m "${2:-$root/target/packages}")
cd "$root"
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
binary=${GLINT_BINARY:-$(cross/release.sh "$target" | tail -1)}
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
cross/notices.py "$target" "$made"
mkdir -p "$folder"
cross/package.py "$binary" "$made/glintd.deb" "$made"
package=$folder/glintd_$(dpkg-deb -f "$made/glintd.deb" Version)_$(dpkg-deb -f "$made/glintd.deb" Architecture).deb
mv "$made/glintd.deb" "$package"
dpkg-deb --info "$package" >&2
# what lintian says is shown, not judged
if command -v lintian >/dev/null; then lintian "$package" >&2 || true; fi
echo "$package"
