#!/bin/bash
# run.sh [TEST BINARY]: the camera tests against real V4L2 nodes, in an arm64 Debian kernel under qemu.
#
#   tests/vm/run.sh                 builds glintd's tests for aarch64, boots the machine, runs them there
#   tests/vm/run.sh --help          this text
#
# v4l2loopback carries MJPG and YUYV frames that are known byte for byte; vivid makes the faults: a frame
# with the error flag, lost buffers, an unplugged camera that comes back. Prints PASS or FAIL for each test
# and fails if one fails or does not run. The tests are the ignored ones of src/daemon/camera/vm_test.rs.
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
fi
[ -x "$binary" ] || { echo "run.sh: no test binary was built" >&2; exit 1; }
tests=$(sed -n '/^#\[ignore/{n;s/^fn \([a-z0-9_]*\).*/\1/p}' "$root/src/daemon/camera/vm_test.rs")
[ -n "$tests" ] || { echo "run.sh: vm_test.rs names no tests" >&2; exit 1; }
cache=$("$here/setup.sh" | tail -1)

# --- the root of the machine -----------------------------------------------------------------------------
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
guest=$work/root
version=$(ls "$cache/kernel/lib/modules")
modules=$guest/lib/modules/$version
cp -a "$cache/root" "$guest"
mkdir -p "$guest"/{proc,sys,dev,tmp,sbin,usr/sbin} "$modules"
cp "$binary" "$guest/usr/bin/glintd-test"
for module in videodev vivid; do
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
modprobe vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0 multiplanar=1 no_error_inj=0 vid_cap_nr=20
export GLINT_VM_MJPG=/dev/video10 GLINT_VM_YUYV=/dev/video11 GLINT_VM_VIVID=/dev/video20 RUST_BACKTRACE=0
glintd-test --ignored --test-threads=1 camera::vm_test:: 2>&1
echo "tests ended with $?"
poweroff -f
INIT
chmod +x "$guest/init"
(cd "$guest" && find . -print0 | cpio --null -o -H newc --quiet) | gzip -1 >"$work/initrd.gz"

# --- boot, and what the console says ---------------------------------------------------------------------
timeout "${GLINT_VM_TIMEOUT:-400}" qemu-system-aarch64 -accel tcg,thread=multi -M virt -cpu cortex-a72 -m 1024 -smp 2 \
    -nic none -nographic -no-reboot -kernel "$cache"/kernel/boot/vmlinuz-* -initrd "$work/initrd.gz" \
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
exit $failed
