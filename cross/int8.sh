#!/bin/bash
# int8.sh test | count: the quantized networks as aarch64 programs, under qemu's user-mode emulation.
#
#   cross/int8.sh test     every kernel against the definition and the golden files, on a CPU with the dot product and
#                          on one without
#   cross/int8.sh count    executed instructions of one pass of each network: f32, int8 in plain tract, int8 with our
#                          operator, on three kinds of CPU; a table in Markdown on stdout
#
# The counts are of instructions, not of time: no ARM hardware takes part. A pass is (110 passes - 10 passes) / 100, so
# that loading is not in it; the rest of tract's hashing makes it vary by about 0.1 %.
# NETWORKS   what to count (default: student-like detector landmarks student); files too: NETWORKS=out/int8/detector.onnx
set -euo pipefail
cd "$(dirname "$0")/.."
case ${1:-} in test | count) ;; *) sed -n '2,13s/^# \{0,1\}//p' "$0" >&2; exit 2 ;; esac
target=aarch64-unknown-linux-gnu
env_file=$(cross/toolchain.sh $target)
# shellcheck source=/dev/null
. "$env_file"
echo "int8.sh: building the library's tests for $target" >&2
# What is tested checks its arithmetic; what is counted is compiled as in a release.
checks=()
[ "$1" = count ] || checks=(--config profile.arm-count.package.glint.debug-assertions=true
    --config profile.arm-count.package.glint.overflow-checks=true)
program=$(cargo test -p glint --lib --no-default-features --locked --no-run --target $target --target-dir target/arm \
    --profile arm-count ${checks[@]+"${checks[@]}"} --message-format=json-render-diagnostics | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -1)
[ -x "$program" ] || { echo "int8.sh: no test program was built" >&2; exit 1; }

if [ "$1" = test ]; then
    export PROPTEST_CASES=${PROPTEST_CASES:-48}
    for cpu in cortex-a53 cortex-a76; do
        echo "==> $cpu"
        QEMU_CPU=$cpu $GLINT_EMULATOR "$program" int8
    done
    exit
fi

# Plugins exist in the dynamic qemu only.
command -v qemu-aarch64 >/dev/null || { echo "int8.sh: missing, please run: apt-get install qemu-user" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
gcc -O2 -Wall -Wextra -shared -fPIC -o "$work/icount.so" cross/icount.c

insns() { # KIND NETWORK FORM PASSES; nothing where the network has no such form
    GLINT_PASSES="$2 $3 $4" TRACT_CPU_AARCH64_KIND=$1 qemu-aarch64 -L /usr/aarch64-linux-gnu -cpu "cortex-$1" \
        -plugin "$work/icount.so" "$program" --exact int8::tests::passes_to_count --ignored --nocapture --test-threads=1 \
        2>&1 | awk '/^no such form/ {none = 1} /^insns / {n = $2} END {if (!none) print n}'
}
echo "| network | form | A53 | A72 | A76 |"
echo "|---|---|---|---|---|"
for network in ${NETWORKS:-student-like detector landmarks student}; do
    for form in f32 plain int8; do
        row=""
        for kind in a53 a72 a76; do
            few=$(insns $kind "$network" $form 10)
            many=$(insns $kind "$network" $form 110)
            [ -n "$few" ] && [ -n "$many" ] || { row=""; break; }
            # A form that the file does not have runs nothing.
            [ $((many - few)) -gt 100000 ] || { row=""; break; }
            row="$row $(awk -v n=$((many - few)) 'BEGIN {printf "%.3f", n / 1e8}') |"
        done
        [ -z "$row" ] || echo "| $(basename "$network") | $form |$row"
    done
done
