#!/bin/bash
# deb.sh [TARGET]: a Debian package of glintd for an ARM board; the last line of stdout is its path.
# Release build, without the demo's broker. What goes where stands in Cargo.toml, [package.metadata.deb].
set -euo pipefail
cd "$(dirname "$0")/.."
target=${1:-aarch64-unknown-linux-gnu}
version=3.8.0
if ! cargo deb --version 2>/dev/null | grep -qx "$version"; then
    cargo install cargo-deb --version "$version" --locked --debug >&2
fi
binary=$(cross/build.sh "$target" --locked | tail -1)
[ -x "$binary" ]
CARGO_TARGET_DIR=target/arm cargo deb -p glint --no-build --no-strip --target "$target" >&2
package=$(ls -t target/arm/"$target"/debian/*.deb | head -1)
dpkg-deb --info "$package" >&2
dpkg-deb --contents "$package" >&2
realpath "$package"
