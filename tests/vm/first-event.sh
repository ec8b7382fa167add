#!/bin/bash
# first-event.sh [amd64 | arm64 [PACKAGE]]: a Debian 12 without glintd boots under qemu; an operator gives two commands, apt-get install
# and systemctl enable; a camera shows a film of the synthetic subject; the first event has to arrive at a subscriber.
#
#   sudo tests/vm/first-event.sh arm64                         builds the package as the arm-test profile has it
#   sudo tests/vm/first-event.sh arm64 glintd_0.2.0_arm64.deb  with a package of cross/deb.sh
#
# The camera is a node of v4l2loopback, written by a program of 30 lines (guest/first_event.py): pictures of 640x480 at 30 a second,
# stamped by the kernel as they are written. A smile of 300 ms begins 1.6 s after the first of them; the onset of the event may be
# off by 40 ms. On amd64 ffmpeg is the camera after that, under the unit's drop-in command.conf. Prints PASS or FAIL for each step and fails if one fails or does not run.
#
# The processor is emulated (TCG). Time inside follows the instructions, a nanosecond each (-icount): such a processor runs 10^9
# instructions a second, and the machine's speed does not depend on the host's. See image.sh for what it fetches (once).
#
# GLINT_FILM         the film of the synthetic subject, 60 frames/s (default: examples/film makes it)
# GLINT_VM_RESULTS   as of systemd.sh
# GLINT_VM_TIMEOUT   seconds after which the machine is stopped (default 3600)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
case ${1:-} in --help | -h) sed -n '2,19s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
architecture=${1:-arm64}
case $architecture in
    amd64) target=x86_64-unknown-linux-gnu; machine=(qemu-system-x86_64 -cpu max -M q35); console=ttyS0 ;;
    arm64) target=aarch64-unknown-linux-gnu; machine=(qemu-system-aarch64 -cpu cortex-a72 -M virt); console=ttyAMA0 ;;
    *) echo "first-event.sh: $architecture: amd64 or arm64" >&2; exit 2 ;;
esac
cache=$("$here/image.sh" "$architecture" | tail -1)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/host"
cd "$root"
if [ $# -gt 1 ]; then
    cp "$2" "$work/host/glintd.deb"
elif [ "$architecture" = "$(dpkg --print-architecture)" ]; then
    cargo build --locked --bin glintd >&2
    strip -o "$work/glintd" target/debug/glintd
    cross/package.py "$work/glintd" "$work/host/glintd.deb" >&2
else
    cross/package.py "$(cross/build.sh "$target" --profile arm-test --locked | tail -1)" "$work/host/glintd.deb" >&2
fi
film=${GLINT_FILM:-}
if [ -z "$film" ]; then
    cargo run --locked --features demo --example film -- "$work/film.avi" >&2
    film=$work/film.avi
fi
# Until the smile has been told of. Every second picture: ffmpeg's own change of the rate moves them by 50 ms.
ffmpeg -v error -i "$film" -t 2.8 -vf "select='not(mod(n,2))',setpts=N/30/TB" -r 30 -pix_fmt gray -f yuv4mpegpipe -strict -1 "$work/host/film.y4m"
echo '{"au": 12, "onset_ms": 1600, "apex_ms": 1720, "offset_ms": 1900, "tolerance_ms": 40}' >"$work/host/truth.json"
cp -r "$here/guest" "$work/host/guest"
: >"$work/host/results.jsonl"
# Time inside is that of a slow board, and waits for nobody outside.
echo 1 >"$work/host/patience"
echo "first event" >"$work/host/stage"
timeout "${GLINT_VM_TIMEOUT:-3600}" "${machine[@]}" -accel tcg -icount shift=0,sleep=off -m 1024 -smp 1 -nographic -nic none \
    -drive "file=$cache/disk.ext4,format=raw,if=virtio,snapshot=on" -kernel "$cache/vmlinuz" -initrd "$cache/initrd.img" \
    -append "root=/dev/vda rw console=$console quiet no_timer_check" \
    -virtfs "local,path=$work/host,mount_tag=host,security_model=none" </dev/null | tr -d '\r' >&2 || true
"$here/verdict.py" "$work/host/results.jsonl"
# What the service did beside it stands on the page of systemd.sh.
[ "$architecture" != amd64 ] || "$here/table.py" event "$work/host/results.jsonl" \
    "${GLINT_VM_RESULTS:-$cache/results.jsonl}" "$root/docs/results/faults.md"
