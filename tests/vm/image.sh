#!/bin/bash
# image.sh [amd64 | arm64]: a disk with Debian 12, systemd, Mosquitto, v4l2-ctl and v4l2loopback for the machines of systemd.sh and
# first-event.sh, made by mmdebstrap from Debian's packages; with ffmpeg on amd64. The programs of arm64 run in qemu's user-mode
# emulation while it is made. Idempotent. The last line of stdout is the folder with disk, kernel and initrd. Needs root.
#
# GLINT_VM_CACHE   the folder (default: $XDG_CACHE_HOME/glint/vm, ~/.cache/glint/vm); this takes 2 GB of it
# GLINT_VM_MIRROR  Debian's mirror (default: http://deb.debian.org/debian)
set -euo pipefail
say() { echo "image: $*" >&2; }
case ${1:-} in --help | -h) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
here=$(cd "$(dirname "$0")" && pwd)
architecture=${1:-amd64}
cache=${GLINT_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/glint/vm}/debian-$architecture
packages=systemd,systemd-sysv,udev,dbus,kmod,linux-image-$architecture,initramfs-tools,v4l-utils
packages+=,mosquitto,mosquitto-clients,python3-minimal,libpython3-stdlib,procps,iproute2
# v4l2loopback is compiled for that kernel.
compiles=linux-headers-$architecture,v4l2loopback-dkms
case $architecture in
    amd64) packages+=,ffmpeg; need=(qemu-system-x86) ;;
    arm64) need=(qemu-system-arm) ;;
    *) say "$architecture: amd64 or arm64"; exit 2 ;;
esac
[ "$(id -u)" = 0 ] || { say "owners of files are set: run it as root"; exit 1; }

source "$here/packages.sh"
need "${need[@]}" mmdebstrap e2fsprogs systemd-container
if [ -e "$cache/complete" ]; then
    echo "$cache"
    exit 0
fi
rm -rf "$cache"
mkdir -p "$cache"
# For the emulation, and the base is of use to others.
[ "$architecture" = "$(dpkg --print-architecture)" ] || "$here/../../cross/roots.sh" bookworm "$architecture" >/dev/null
root=$cache/root
say "Debian's packages for $architecture, some minutes"
mmdebstrap --variant=minbase --architectures="$architecture" --include="$packages,$compiles" bookworm "$root" \
    "${GLINT_VM_MIRROR:-http://deb.debian.org/debian}" >&2
version=$(ls "$root/lib/modules")
chroot "$root" dkms autoinstall -k "$version" >&2
find "$root/lib/modules" -name 'v4l2loopback.ko*' -exec cp {} "$cache/" \;
ls "$cache"/v4l2loopback.ko* >&2
# The compiler stays behind, its module goes along.
chroot "$root" apt-get -q -y purge --autoremove ${compiles/,/ } >&2
mkdir -p "$root/lib/modules/$version/updates"
cp "$cache"/v4l2loopback.ko* "$root/lib/modules/$version/updates/"
chroot "$root" depmod "$version"

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
# The broker of a run is started by it, and cameras are loaded by it.
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
