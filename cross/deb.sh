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
# the package must hold what was just built, so cargo-deb builds nothing itself
package=$(CARGO_TARGET_DIR=target/arm cargo deb -p glint --no-build --target "$target" | tail -1)
dpkg-deb --info "$package" >&2
dpkg-deb --contents "$package" >&2
# what lintian says is shown, not judged
if command -v lintian >/dev/null; then lintian "$package" >&2 || true; fi
realpath "$package"
