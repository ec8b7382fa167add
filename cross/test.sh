#!/bin/bash
# test.sh [TARGET] [TEST NAMES]: runs ARM programs on this machine, under qemu's user-mode emulation:
# the library's tests (the golden files among them), then the demo, which ends with 0 only if an event that came
# through its broker agrees with what the synthetic subject did. TARGET defaults to aarch64-unknown-linux-gnu.
#
# GLINT_DEMO_OPTIONS   options of the demo (default: --seconds 10)
# PROPTEST_CASES       cases a property (default here: 16; emulation is 10 to 30 times slower than the host)
set -euo pipefail
cd "$(dirname "$0")/.."
target=${1:-aarch64-unknown-linux-gnu}
[ $# -eq 0 ] || shift

status=0
env_file=$(cross/toolchain.sh "$target") || status=$?
if [ $status -eq 3 ]; then
    echo "test.sh: SKIPPED: $target cannot be had from Debian's package index today" >&2
    exit 0
fi
[ $status -eq 0 ] || exit $status
# shellcheck source=/dev/null
. "$env_file"
export PROPTEST_CASES=${PROPTEST_CASES:-16}

echo "==> library tests as $target"
cargo test -p glint --lib --features demo --locked --target "$target" --target-dir target/arm --profile arm-test -- "$@"

echo "==> demo as $target"
binary=$(cross/build.sh "$target" --profile arm-test --features demo --locked | tail -1)
file=$(od -An -tx1 -j18 -N2 "$binary" | tr -d ' ') # ELF machine: b700 is AArch64, 2800 is ARM
case $target-$file in aarch64-*-b700 | armv7-*-2800) ;; *) echo "test.sh: $binary is no program for $target" >&2; exit 1 ;; esac
# shellcheck disable=SC2086
events=$($GLINT_EMULATOR "$binary" demo ${GLINT_DEMO_OPTIONS:---seconds 10})
echo "$events"
grep -q glint.movement.v1 <<<"$events" || { echo "test.sh: the demo ended well but printed no event" >&2; exit 1; }
echo "==> $target passed"
