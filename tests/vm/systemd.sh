#!/bin/bash
# systemd.sh [--container | --cameras] [GLINTD [FILM]]: the packaged units under systemd on Debian 12, with the kernel's virtual cameras.
#
#   sudo tests/vm/systemd.sh                builds glintd and a film, boots a machine under qemu, runs everything there
#   sudo tests/vm/systemd.sh --container    the part without cameras, in a container of systemd-nspawn at full speed
#   sudo tests/vm/systemd.sh --cameras      the rest: the machine boots, vivid makes its faults, two instances have a camera each
#   sudo tests/vm/systemd.sh GLINTD FILM    with a glintd that is built, and a Y4M film of a face
#   tests/vm/systemd.sh --help              this text
#
# Inside (tests/vm/guest): the package is installed; the unit is started, frozen, stopped with a silent name server, given wrong
# configurations and a password; ffmpeg is its camera; the machine boots with neither broker nor camera; vivid makes the faults
# of a camera; two instances have a camera each. Prints PASS or FAIL for each, fails if one fails or does not run, and writes
# docs/results/faults.md. Of a case that ran in both, the page keeps what was found last.
#
# Software emulation without KVM takes half an hour on an idle machine, so this is no part of the usual tests. See image.sh for
# what it fetches (once).
#
# GLINT_VM_TIMEOUT    seconds after which the machine is stopped (default 3600)
# GLINT_VM_ACCEL      qemu's accelerator (default: tcg,thread=multi; kvm where the processor has it)
# GLINT_VM_PATIENCE   by how much each wait inside is stretched (default 3; 1 in the container)
# GLINT_VM_RESULTS    the file that keeps what was found, for the page (default: results.jsonl in the folder of image.sh)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
case ${1:-} in --help | -h) sed -n '2,24s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
where=machine
stage=first
case ${1:-} in
    --container) where=container; stage=container; shift ;;
    --cameras) stage=cameras; shift ;;
esac
cache=$("$here/image.sh" amd64 | tail -1)
kept=${GLINT_VM_RESULTS:-$cache/results.jsonl}
work=$(mktemp -d)
mounted=
trap '[ -z "$mounted" ] || umount "$work/root"; rm -rf "$work"' EXIT

if [ $# -gt 0 ]; then
    glintd=$(realpath "$1")
else
    (cd "$root" && cargo build --locked --features demo --bin glintd --example film >&2)
    glintd=$root/target/debug/glintd
fi
mkdir "$work/host"
if [ $# -gt 1 ]; then
    cp "$2" "$work/host/film.y4m"
else
    "$(dirname "$glintd")/examples/film" "$work/film.avi"
    # Small and gray: what is tried is the unit and not the decoder.
    ffmpeg -v error -i "$work/film.avi" -t 10 -vf scale=480:360 -r 30 -pix_fmt gray -f yuv4mpegpipe -strict -1 "$work/host/film.y4m"
fi
"$root/cross/package.py" "$glintd" "$work/host/glintd.deb" >&2
cp -r "$here/guest" "$work/host/guest"
: >"$work/host/results.jsonl"
echo "${GLINT_VM_PATIENCE:-$([ "$where" = machine ] && echo 3 || echo 1)}" >"$work/host/patience"

echo "$stage" >"$work/host/stage"
if [ "$where" = machine ]; then
    # The disk's changes live as long as this process, also over a reboot.
    timeout "${GLINT_VM_TIMEOUT:-3600}" qemu-system-x86_64 -accel "${GLINT_VM_ACCEL:-tcg,thread=multi}" -cpu max -M q35 \
        -m 2048 -smp 2 -nographic -nic none -drive "file=$cache/disk.ext4,format=raw,if=virtio,snapshot=on" \
        -kernel "$cache/vmlinuz" -initrd "$cache/initrd.img" -append "root=/dev/vda rw console=ttyS0 quiet no_timer_check" \
        -virtfs "local,path=$work/host,mount_tag=host,security_model=none" </dev/null | tr -d '\r' >&2 || true
else
    cp --sparse=always "$cache/disk.ext4" "$work/disk.ext4"
    mkdir "$work/root"
    mount -o loop "$work/disk.ext4" "$work/root"
    mounted=1
    timeout "${GLINT_VM_TIMEOUT:-3600}" systemd-nspawn -D "$work/root" --bind="$work/host:/host" --bind-ro=/dev/null:/etc/fstab \
        --register=no --keep-unit --private-network --capability=all --console=pipe -b </dev/null >&2 || true
fi
"$here/table.py" "$where" "$work/host/results.jsonl" "$kept" "$root/docs/results/faults.md"
