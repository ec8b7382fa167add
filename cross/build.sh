#!/bin/bash
# build.sh TARGET [CARGO OPTIONS]: builds glintd for an ARM target on Debian without containers.
# The last line of stdout is the path of the binary; everything else goes to stderr.
#
#   cross/build.sh aarch64-unknown-linux-gnu                      the release binary
#   cross/build.sh aarch64-unknown-linux-gnu --profile arm-test   quick to build, for tests under qemu
#   cross/build.sh aarch64-unknown-linux-gnu --features demo      with the demo's embedded broker
#   cross/build.sh aarch64-unknown-linux-gnu --check              type-checks only, prints no path
#
# Without --release, --profile or --debug among the options the release profile is used. Only the root
# package is built: the trainer and its GPU crates are no part of an ARM tree. See toolchain.sh for
# where the compiler comes from. Exit status 3: the target cannot be had from Debian's index today.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
[ $# -ge 1 ] || { sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2; }
target=$1
shift

profile=release
options=()
check=
while [ $# -gt 0 ]; do
    case $1 in
    --release | -r) profile=release ;;
    --debug) profile=dev ;;
    --check) check=1 profile=dev ;;
    --profile) profile=${2:?--profile needs a name}; shift ;;
    --profile=*) profile=${1#*=} ;;
    *) options+=("$1") ;;
    esac
    shift
done

env_file=$("$root/cross/toolchain.sh" "$target")
# shellcheck source=/dev/null
. "$env_file"
cd "$root"
out=${CARGO_TARGET_DIR:-target/arm}
if [ -n "$check" ]; then
    exec cargo check -p glint --target "$target" --target-dir "$out" ${options[@]+"${options[@]}"} >&2
fi
cargo build -p glint --bin glintd --target "$target" --target-dir "$out" --profile "$profile" \
    ${options[@]+"${options[@]}"} >&2
folder=$profile
[ "$profile" != dev ] || folder=debug
binary=$(realpath "$out/$target/$folder/glintd")
[ -x "$binary" ] || { echo "build.sh: $binary was not built" >&2; exit 1; }
echo "$binary"
