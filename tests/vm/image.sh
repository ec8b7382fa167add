#!/bin/bash
# image.sh: a disk with Debian 12, systemd, Mosquitto, ffmpeg and v4l2-ctl for the machine of systemd.sh, made by mmdebstrap
# from Debian's packages. Idempotent. The last line of stdout is the folder with disk, kernel and initrd. Needs root.
#
# GLINT_VM_CACHE   the folder (default: $XDG_CACHE_HOME/glint/vm, ~/.cache/glint/vm); this takes 1.5 GB of it
# GLINT_VM_MIRROR  Debian's mirror (default: http://deb.debian.org/debian)
set -euo pipefail
say() { echo "image: $*" >&2; }
case ${1:-} in --help | -h) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
cache=${GLINT_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/glint/vm}/systemd
packages=systemd,systemd-sysv,udev,dbus,kmod,linux-image-amd64,initramfs-tools,v4l-utils,ffmpeg
packages+=,mosquitto,mosquitto-clients,python3-minimal,libpython3-stdlib,procps,iproute2
[ "$(id -u)" = 0 ] || { say "owners of files are set: run it as root"; exit 1; }

source "$(dirname "${BASH_SOURCE[0]}")/packages.sh"
need qemu-system-x86 mmdebstrap e2fsprogs systemd-container
if [ -e "$cache/complete" ]; then
    echo "$cache"
    exit 0
fi
rm -rf "$cache"
mkdir -p "$cache"
root=$cache/root
say "Debian's packages, some minutes"
mmdebstrap --variant=minbase --include="$packages" bookworm "$root" "${GLINT_VM_MIRROR:-http://deb.debian.org/debian}" >&2

# The job of a run lies in a folder of the host. It starts with the machine, also after a reboot.
cat >"$root/etc/systemd/system/job.service" <<'UNIT'
[Unit]
Description=what this machine is there for
RequiresMountsFor=/host
[Service]
Type=exec
ExecStart=/usr/bin/python3 -u /host/guest/main.py
StandardOutput=journal+console
StandardError=journal+console
FailureAction=poweroff-force
[Install]
WantedBy=multi-user.target
UNIT
mkdir -p "$root/host" "$root/var/log/journal"
cat >"$root/etc/fstab" <<'FSTAB'
/dev/vda / ext4 defaults 0 1
host /host 9p trans=virtio,version=9p2000.L,msize=262144 0 0
FSTAB
# The broker of a run is started by it, and vivid is loaded by it.
chroot "$root" systemctl --quiet enable job.service
chroot "$root" systemctl --quiet mask mosquitto.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer
: >"$root/etc/resolv.conf"
echo machine >"$root/etc/hostname"
echo '127.0.0.1 localhost machine' >"$root/etc/hosts"
cp "$root"/boot/vmlinuz-* "$cache/vmlinuz"
cp "$root"/boot/initrd.img-* "$cache/initrd.img"
rm -rf "$root"/var/cache/apt/archives "$root"/var/lib/apt/lists/*
mkfs.ext4 -q -d "$root" "$cache/disk.ext4" 3G
rm -rf "$root"
touch "$cache/complete"
say "$(du -sh "$cache" | cut -f1)"
echo "$cache"
