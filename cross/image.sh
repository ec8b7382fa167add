#!/bin/bash
# image.sh FOLDER [ARCHITECTURE...]: a container image of the packages in FOLDER (packages.sh), for amd64, arm64 and armhf, as
# FOLDER/glintd.oci.tar. `podman load`, `skopeo copy oci-archive:...` and registries take it.
#
# The base is the trixie of roots.sh, so no registry takes part; buildah runs dpkg in a chroot, so no container runs. See
# Containerfile for how to start it. Needs root.
set -euo pipefail
say() { echo "image: $*" >&2; }
[ $# -ge 1 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=/dev/null
source "$root/tests/vm/packages.sh"
need buildah
folder=$(realpath "$1")
shift
[ $# -gt 0 ] || set -- amd64 arm64 armhf
storage=$(mktemp -d)
trap 'rm -rf "$storage"' EXIT
buildah=(buildah --root "$storage/images" --runroot "$storage/run" --storage-driver vfs)
"${buildah[@]}" manifest create glintd >/dev/null
for architecture in "$@"; do
    base=$("$root/cross/roots.sh" trixie "$architecture")
    case $architecture in armhf) platform=linux/arm/v7 ;; *) platform=linux/$architecture ;; esac
    container=$("${buildah[@]}" from --platform "$platform" scratch)
    tar -C "$base" --exclude=./var/lib/apt/lists -c . >"$storage/base.tar"
    "${buildah[@]}" add --quiet "$container" "$storage/base.tar" / >/dev/null
    "${buildah[@]}" commit --quiet --rm "$container" "glint-base:$architecture" >/dev/null
    image=$("${buildah[@]}" build --quiet --isolation chroot --platform "$platform" --pull-never --manifest glintd \
        --build-arg "BASE=localhost/glint-base:$architecture" --file "$root/cross/Containerfile" "$folder")
    # As the image's user, in a chroot: it starts, and its configuration is valid.
    container=$("${buildah[@]}" from --pull-never "$image")
    say "$architecture: $("${buildah[@]}" run --isolation chroot "$container" -- sh -c 'id && /usr/bin/glintd --version && /usr/bin/glintd check >&2' | tr '\n' ' ')"
    "${buildah[@]}" rm "$container" >/dev/null
done
rm -f "$folder/glintd.oci.tar"
"${buildah[@]}" manifest push --quiet --all glintd "oci-archive:$folder/glintd.oci.tar" >&2
"${buildah[@]}" manifest inspect glintd | grep -E '"(architecture|variant|os|size)"' >&2
echo "$folder/glintd.oci.tar"
