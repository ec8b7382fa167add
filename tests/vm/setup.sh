#!/bin/bash
# setup.sh: makes the parts of the virtual machine of run.sh from Debian's packages: the arm64 kernel with its
# modules, v4l2loopback built for it, busybox, v4l2-ctl and the C library. Idempotent. The last line of
# stdout is the folder. apt runs with a state of its own and the arm64 packages are unpacked, not installed.
#
# GLINT_VM_CACHE   the folder (default: $XDG_CACHE_HOME/glint/vm, ~/.cache/glint/vm); about 550 MB
set -euo pipefail
say() { echo "setup: $*" >&2; }
cache=${GLINT_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/glint/vm}

source "$(dirname "${BASH_SOURCE[0]}")/packages.sh"
need qemu-system-arm cpio kmod make gcc-aarch64-linux-gnu libc6-dev-arm64-cross mosquitto mosquitto-clients busybox-static
if [ -e "$cache/complete" ]; then
    echo "$cache"
    exit 0
fi
rm -rf "$cache"
mkdir -p "$cache"/{apt/lists/partial,apt/cache/archives/partial,debs,kernel,headers,packages,root}

# --- Debian's packages for arm64, with the machine's own mirrors and keyring -----------------------------
: >"$cache/apt/status"
uris=$( { awk '/^URIs:/{print $2}' /etc/apt/sources.list.d/*.sources
          awk '$1 == "deb"{for (i = 2; i <= NF; i++) if ($i ~ /:\/\//) {print $i; break}}' \
              /etc/apt/sources.list /etc/apt/sources.list.d/*.list; } 2>/dev/null | sed 's#/*$##' | sort -u || true)
main=$(grep -v security <<<"$uris" | head -1)
security=$(grep security <<<"$uris" | head -1 || true)
source_of() { # URI SUITE
    [ -z "$1" ] || printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nArchitectures: amd64 arm64\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n' "$1" "$2"
}
{ source_of "$main" bookworm; source_of "$security" bookworm-security; } >"$cache/apt/own.sources"
own=(-q -o Dir::State::lists="$cache/apt/lists" -o Dir::State::status="$cache/apt/status" -o Dir::Cache="$cache/apt/cache"
    -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::sourcelist="$cache/apt/own.sources" -o APT::Architecture=amd64
    -o APT::Architectures::=amd64 -o APT::Architectures::=arm64 -o APT::Sandbox::User=root -o Acquire::Languages=none)
apt-get "${own[@]}" update >&2 || say "warning: not every package index could be read"
cd "$cache/debs"
apt-get "${own[@]}" download linux-image-arm64:arm64 >&2
image=$(dpkg-deb -f linux-image-arm64_*.deb Depends | awk '{print $1}')
version=${image#linux-image-}
base=${version%-arm64}
apt-get "${own[@]}" download "$image:arm64" "linux-headers-$version:arm64" "linux-headers-$base-common:all" \
    "linux-kbuild-${base%%.0-*}:amd64" busybox-static:arm64 v4l-utils:arm64 libv4l-0:arm64 libv4lconvert0:arm64 \
    libjpeg62-turbo:arm64 libstdc++6:arm64 v4l2loopback-dkms:all >&2
dpkg-deb -x "$image"_*.deb "$cache/kernel"
for deb in linux-headers-*.deb linux-kbuild-*.deb v4l2loopback-dkms_*.deb; do dpkg-deb -x "$deb" "$cache/headers"; done
for deb in busybox-static_*.deb v4l-utils_*.deb libv4l*_*.deb libjpeg*.deb libstdc++6_*.deb; do dpkg-deb -x "$deb" "$cache/packages"; done

# --- v4l2loopback for that kernel ------------------------------------------------------------------------
usr=$cache/headers/usr/src
sed -i -E "s#include .*/(linux-headers-[^/]*-common/Makefile)#include $usr/\1#" "$usr/linux-headers-$version/Makefile"
cp -r "$usr"/v4l2loopback-*/. "$cache/v4l2loopback"
compiler=$(command -v aarch64-linux-gnu-gcc-12 || command -v aarch64-linux-gnu-gcc)
make -C "$usr/linux-headers-$version" M="$cache/v4l2loopback" ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- \
    CC="$compiler" modules >&2
aarch64-linux-gnu-strip --strip-debug "$cache/v4l2loopback/v4l2loopback.ko"

# --- root of the guest -----------------------------------------------------------------------------------
root=$cache/root
lib=$root/lib/aarch64-linux-gnu
mkdir -p "$root"/{bin,usr/bin} "$lib"
cp "$cache/packages/bin/busybox" "$root/bin/"
cp "$cache/packages/usr/bin/v4l2-ctl" "$root/usr/bin/"
cp "$cache/v4l2loopback/v4l2loopback.ko" "$root/"
cp -L /usr/aarch64-linux-gnu/lib/{ld-linux-aarch64.so.1,libc.so.6,libm.so.6,libgcc_s.so.1,libpthread.so.0,libdl.so.2,librt.so.1} "$lib/"
for name in libv4l2.so.0 libv4lconvert.so.0 libjpeg.so.62 libstdc++.so.6; do
    cp -L "$(find "$cache/packages" -name "$name" | head -1)" "$lib/"
done
ln -sf aarch64-linux-gnu/ld-linux-aarch64.so.1 "$root/lib/ld-linux-aarch64.so.1"
depmod -b "$cache/kernel" "$version"
rm -rf "$cache/apt" "$cache/debs"
touch "$cache/complete"
say "kernel $version"
echo "$cache"
