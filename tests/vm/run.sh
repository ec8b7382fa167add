#!/bin/bash
# run.sh [TEST BINARY GLINTD]: camera and daemon against real V4L2 nodes, in an arm64 Debian kernel under qemu.
#
#   tests/vm/run.sh                 builds glintd and its tests for aarch64, boots the machine, runs them there
#   tests/vm/run.sh --help          this text
#
# v4l2loopback carries MJPG and YUYV frames that are known byte for byte; vivid loops multi-planar NV12 frames
# and makes the faults: a frame with the error flag, lost buffers, an unplugged camera that comes back. These
# are the ignored tests of src/daemon/camera/vm_test.rs. Then `glintd run` itself watches a vivid camera and
# speaks to a real Mosquitto on the host, through an unplug, a replug and a pause: what the broker hears is
# compared with what docs/reference/mqtt.md promises. Prints PASS or FAIL for each and fails if one fails or does not run.
# Emulated without KVM, so it takes minutes and is no part of the usual tests. See setup.sh for what it
# fetches (once, 550 MB) and cross/toolchain.sh for the compiler.
#
# GLINT_VM_TIMEOUT   seconds after which the machine is stopped (default 400)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
target=aarch64-unknown-linux-gnu
case ${1:-} in --help | -h) sed -n '2,13s/^# \{0,1\}//p' "$0"; exit 0 ;; esac

if [ $# -gt 0 ]; then
    binary=$(realpath "$1")
    glintd=$(realpath "$2")
else
    status=0
    env_file=$("$root/cross/toolchain.sh" "$target") || status=$?
    [ $status -eq 0 ] || { echo "run.sh: no compiler for $target (status $status)" >&2; exit $status; }
    binary=$(
        # shellcheck source=/dev/null
        . "$env_file"
        cd "$root"
        cargo test -p glint --bin glintd --features demo --locked --no-run --target "$target" \
            --target-dir target/arm --profile arm-test --message-format json |
            sed -n 's/.*"executable":"\([^"]*\/glintd-[0-9a-f]*\)".*/\1/p' | tail -1
    )
    glintd=$("$root/cross/build.sh" "$target" --profile arm-test --features demo --locked | tail -1)
fi
[ -x "$glintd" ] || { echo "run.sh: glintd was not built" >&2; exit 1; }
[ -x "$binary" ] || { echo "run.sh: no test binary was built" >&2; exit 1; }
tests=$(sed -n '/^#\[ignore/{n;s/^fn \([a-z0-9_]*\).*/\1/p}' "$root/src/daemon/camera/vm_test.rs")
[ -n "$tests" ] || { echo "run.sh: vm_test.rs names no tests" >&2; exit 1; }
cache=$("$here/setup.sh" | tail -1)

# --- the root of the machine -----------------------------------------------------------------------------
work=$(mktemp -d)
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf 'listener %s 127.0.0.1\nallow_anonymous true\npersistence false\n' "$port" >"$work/mosquitto.conf"
PATH=$PATH:/usr/sbin mosquitto -c "$work/mosquitto.conf" >"$work/mosquitto.log" 2>&1 &
broker=$!
sleep 1
mosquitto_sub -h 127.0.0.1 -p "$port" -t 'glint/#' -v >"$work/heard" &
subscriber=$!
trap 'kill $subscriber $broker 2>/dev/null || true; rm -rf "$work"' EXIT
guest=$work/root
version=$(ls "$cache/kernel/lib/modules")
modules=$guest/lib/modules/$version
cp -a "$cache/root" "$guest"
mkdir -p "$guest"/{proc,sys,dev,tmp,sbin,usr/sbin} "$modules"
cp "$binary" "$guest/usr/bin/glintd-test"
cp "$glintd" "$guest/usr/bin/glintd"
cat >"$guest/glint.toml" <<'CONFIG'
device.id = "vm"
source = { kind = "v4l2", path = "/dev/video20" }
camera = { format = "YUYV", size = [320, 180], fps = 15 }
mqtt.url = "mqtt://10.0.2.100:1883"
outbox.path = "/tmp/outbox.redb"
health.interval_s = 1
CONFIG
for module in videodev vivid virtio_pci virtio_net; do
    modprobe -d "$cache/kernel" -S "$version" --show-depends "$module" | while read -r kind path _; do
        [ "$kind" != insmod ] || cp -n "$path" "$modules/"
    done
done
depmod -b "$guest" "$version"
cat >"$guest/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
mount -t proc none /proc; mount -t sysfs none /sys; mount -t devtmpfs none /dev; mount -t tmpfs none /tmp
modprobe videodev
insmod /v4l2loopback.ko devices=2 video_nr=10,11 card_label=mjpg,yuyv exclusive_caps=1,1
# The first instance is an ordinary webcam; the second is multi-planar, with an HDMI input and output.
modprobe vivid n_devs=2 node_types=0x1,0x101 num_inputs=1,1 input_types=0,3 num_outputs=0,1 output_types=0,1 \
    multiplanar=1,2 no_error_inj=0 vid_cap_nr=20,21 vid_out_nr=-1,22
export GLINT_VM_MJPG=/dev/video10 GLINT_VM_YUYV=/dev/video11 GLINT_VM_VIVID=/dev/video20 RUST_BACKTRACE=0
export GLINT_VM_PLANES=/dev/video21 GLINT_VM_PLANES_OUT=/dev/video22
glintd-test --ignored --test-threads=1 camera::vm_test:: 2>&1
echo "tests ended with $?"
modprobe virtio_pci; modprobe virtio_net
ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
glintd run --config /glint.toml 2>&1 &
daemon=$!
sleep 20
echo "unplug"; v4l2-ctl -d /dev/video20 --set-ctrl disconnect=1; echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind
sleep 8
echo "replug"; echo vivid.0 >/sys/bus/platform/drivers/vivid/bind
sleep 12
kill -USR1 $daemon; sleep 4; ls -l /proc/$daemon/fd | grep -c /dev/video | sed 's/^/cameras open while paused: /'
kill -TERM $daemon; wait $daemon; echo "glintd ended with $?"
poweroff -f
INIT
chmod +x "$guest/init"
(cd "$guest" && find . -print0 | cpio --null -o -H newc --quiet) | gzip -1 >"$work/initrd.gz"

# --- boot, and what the console says ---------------------------------------------------------------------
timeout "${GLINT_VM_TIMEOUT:-400}" qemu-system-aarch64 -accel tcg,thread=multi -M virt -cpu cortex-a72 -m 1024 -smp 2 \
    -device virtio-net-pci,netdev=n0,romfile= -nographic \
    -netdev "user,id=n0,restrict=on,guestfwd=tcp:10.0.2.100:1883-cmd:busybox nc 127.0.0.1 $port" \
    -no-reboot -kernel "$cache"/kernel/boot/vmlinuz-* -initrd "$work/initrd.gz" \
    -append "console=ttyAMA0 quiet panic=-1" </dev/null | tr -d '\r' | tee "$work/console" >&2 || true
failed=0
for test in $tests; do
    # The kernel may write to the console between a test's name and its result.
    if awk -v name="::$test " 'index($0, name) && /^test / {on = 1} on && /ok$/ {found = 1; exit} on && /FAILED$/ {exit} END {exit !found}' \
        "$work/console"; then
        echo "PASS $test"
    else
        echo "FAIL $test"
        failed=1
    fi
done
grep -q '^tests ended with 0$' "$work/console" || failed=1

# --- what the broker heard ---------------------------------------------------------------------------------
sleep 1
grep -E ' (online|offline)$|/state ' "$work/heard" >&2 || true
# In this order: each line is looked for after the one before.
expect() { # NAME PATTERN...
    local name=$1 from=1 line
    shift
    for pattern in "$@"; do
        line=$(tail -n "+$from" "$work/heard" | grep -nE -m1 -- "$pattern" | cut -d: -f1) || true
        [ -n "$line" ] || { echo "FAIL $name: not heard: $pattern"; failed=1; return; }
        from=$((from + line))
    done
    echo "PASS $name"
}
expect a_camera_that_is_unplugged_is_a_state '^glint/vm/status online$' '"state":"streaming"' \
    '"state":"waiting","reason":"no_camera"' '"state":"streaming"' '"state":"paused"' '^glint/vm/status offline$'
expect health_tells_the_measured_rate '^glint/vm/health .*"fps":1[0-9]'
said() { if grep -qx "$2" "$work/console"; then echo "PASS $1"; else echo "FAIL $1"; failed=1; fi; }
said pause_closes_the_camera 'cameras open while paused: 0'
said the_daemon_ends_in_order 'glintd ended with 0'
exit $failed
