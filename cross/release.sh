#!/bin/bash
# release.sh TARGET [CARGO OPTIONS]: glintd as a release holds it. The last line of stdout is the path of the binary.
#
#   cross/release.sh aarch64-unknown-linux-gnu        armv7-unknown-linux-gnueabihf, x86_64-unknown-linux-gnu
#
# It starts on glibc 2.31 (bullseye, JetPack 5) and later: zig links against the symbols of that version, and what the binary
# asks for is compared with it. zig and cargo-zigbuild come from PyPI, the standard library of an ARM target from toolchain.sh.
# The same sources and the same compilers give the same bytes, wherever they lie: reproduce.sh shows it.
#
# GLINT_ZIG          the folder of zig (default: $XDG_CACHE_HOME/glint/zig, ~/.cache/glint/zig); 500 MB
# CARGO_TARGET_DIR   the folder of the build (default: target/release-packages)
set -euo pipefail
floor=2.31
zigbuild=0.24.1
zig=0.17.1
root=$(cd "$(dirname "$0")/.." && pwd)
target=${1:-}
case $target in
aarch64-unknown-linux-gnu | armv7-unknown-linux-gnueabihf)
    env_file=$("$root/cross/toolchain.sh" "$target")
    # Its compiler alone: linker and C compiler are zig.
    rustc=$(unset RUSTC; . "$env_file"; echo "${RUSTC:-}")
    [ -z "$rustc" ] || export RUSTC=$rustc
    ;;
x86_64-unknown-linux-gnu) ;;
*) sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
shift

tools=${GLINT_ZIG:-${XDG_CACHE_HOME:-$HOME/.cache}/glint/zig}
if ! "$tools/bin/pip" --quiet show cargo-zigbuild ziglang 2>/dev/null | grep -qx "Version: $zigbuild"; then
    python3 -m venv "$tools" >&2 || { echo "release.sh: please run: sudo apt-get install python3-venv" >&2; exit 1; }
    "$tools/bin/pip" --quiet install "cargo-zigbuild==$zigbuild" "ziglang==$zig" >&2
fi
export PATH=$tools/bin:$PATH

cd "$root"
out=$(realpath -m "${CARGO_TARGET_DIR:-target/release-packages}")
crates=${CARGO_HOME:-$HOME/.cargo}/registry/src
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
# No path of this machine is in the binary.
printf -v CARGO_ENCODED_RUSTFLAGS '%s\x1f' "--remap-path-prefix=$root=/glint" "--remap-path-prefix=$out=/target" \
    "--remap-path-prefix=$crates=/crates"
export CARGO_ENCODED_RUSTFLAGS=${CARGO_ENCODED_RUSTFLAGS%$'\x1f'} CARGO_INCREMENTAL=0
export CFLAGS="${CFLAGS:-} -ffile-prefix-map=$out=/target -ffile-prefix-map=$crates=/crates -ffile-prefix-map=$root=/glint"
cargo zigbuild -p glint --bin glintd --release --locked --target "$target.$floor" --target-dir "$out" "$@" >&2

binary=$out/$target/release/glintd
needed=$("$root/cross/package.py" --glibc "$binary")
if [ "$(printf '%s\n%s\n' "$needed" "$floor" | sort -V | tail -1)" != "$floor" ]; then
    echo "release.sh: $binary asks for glibc $needed; $floor was promised" >&2
    exit 1
fi
echo "release.sh: $target asks for glibc $needed" >&2
echo "$binary"
