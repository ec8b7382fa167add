#!/bin/bash
# roots.sh SUITE ARCHITECTURE: prints a folder with a minimal Debian (dpkg, apt and what is essential) of that suite and architecture.
# Made once by mmdebstrap from Debian's packages; qemu's user-mode emulation runs the programs of other architectures, and dpkg's
# own scripts. Needs root. The folder is a base: whoever changes something lays an overlay on it.
#
#   cross/roots.sh bullseye arm64        bullseye, bookworm, trixie; amd64, arm64, armhf
#
# GLINT_ROOTS    the folder of the bases (default: $XDG_CACHE_HOME/glint/roots, ~/.cache/glint/roots); 150 to 250 MB each
# GLINT_MIRROR   Debian's mirror (default: http://deb.debian.org/debian)
set -euo pipefail
say() { echo "roots: $*" >&2; }
[ $# -eq 2 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
suite=$1 architecture=$2
[ "$(id -u)" = 0 ] || { say "owners of files are set: run it as root"; exit 1; }
# shellcheck source=/dev/null
source "$(dirname "$0")/../tests/vm/packages.sh"
need mmdebstrap arch-test qemu-user-static

# The kernel hands programs of other architectures to qemu. On a machine without systemd nobody has told it so.
case $architecture in arm64) emulator=qemu-aarch64 ;; armhf) emulator=qemu-arm ;; *) emulator= ;; esac
if [ -n "$emulator" ]; then
    kernel=/proc/sys/fs/binfmt_misc
    [ -e $kernel/register ] || mount -t binfmt_misc binfmt_misc $kernel
    [ -e $kernel/$emulator ] || cat /usr/lib/binfmt.d/$emulator.conf >$kernel/register
fi

base=${GLINT_ROOTS:-${XDG_CACHE_HOME:-$HOME/.cache}/glint/roots}/$suite-$architecture
if [ ! -e "$base.complete" ]; then
    say "Debian's $suite for $architecture"
    rm -rf "$base"
    mkdir -p "$(dirname "$base")"
    mmdebstrap --quiet --variant=apt --architectures="$architecture" "$suite" "$base" "${GLINT_MIRROR:-http://deb.debian.org/debian}" >&2
    rm -rf "$base"/var/cache/apt/archives/*.deb
    touch "$base.complete"
fi
echo "$base"
