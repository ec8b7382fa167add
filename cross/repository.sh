#!/bin/bash
# repository.sh FOLDER PACKAGE...: adds Debian packages to a static apt repository in FOLDER, by reprepro. Any web server, or a
# USB stick, serves the folder as it is.
#
# With GLINT_APT_KEY, the id of a key of gpg, it is signed, and FOLDER/glint.asc is the public key. Boards then read it with
#   deb [signed-by=/etc/apt/keyrings/glint.asc] http://HOST/apt stable main
# Without it boards have to write [trusted=yes], which is for trials and sticks.
set -euo pipefail
say() { echo "repository: $*" >&2; }
[ $# -ge 2 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
# shellcheck source=/dev/null
source "$(dirname "$0")/../tests/vm/packages.sh"
need reprepro
folder=$(realpath -m "$1")
shift
mkdir -p "$folder/conf"
cat >"$folder/conf/distributions" <<CONF
Origin: glint
Label: glint
Codename: stable
Architectures: amd64 arm64 armhf
Components: main
Description: facial movements as MQTT events
${GLINT_APT_KEY:+SignWith: $GLINT_APT_KEY}
CONF
sed -i '/^$/d' "$folder/conf/distributions"
reprepro --silent --basedir "$folder" includedeb stable "$@" >&2
[ -z "${GLINT_APT_KEY:-}" ] || gpg --armor --export "$GLINT_APT_KEY" >"$folder/glint.asc"
reprepro --basedir "$folder" list stable
