#!/bin/bash
# toolchain.sh TARGET: prints the file to source for an ARM build on Debian without containers.
#
# Two ways, in this order:
#   1. rustup has the target installed (`rustup target add TARGET`): its own compiler is used;
#   2. else Debian's rustc with the standard library for TARGET is unpacked into a cache folder.
# The second way needs no rustup target and changes neither dpkg's architectures nor apt's sources:
# apt runs with a state of its own, the packages are unpacked and not installed. Only the C cross
# compiler and the user-mode emulator are system packages; where they are missing they are installed
# if this is root (or sudo asks nothing), else the command to type is printed.
#
# GLINT_ARM_CACHE   the folder (default: $XDG_CACHE_HOME/glint/arm, ~/.cache/glint/arm)
# GLINT_ARM_RUST    rustup | debian: take that way or fail
#
# Exit status: 0 done; 1 failed; 2 usage; 3 Debian's index has no standard library for TARGET today.
set -euo pipefail

say() { echo "toolchain: $*" >&2; }
die() { say "$*"; exit 1; }

target=${1:-}
case $target in
aarch64-unknown-linux-gnu) gnu=aarch64-linux-gnu deb=arm64 emulator=qemu-aarch64 ;;
armv7-unknown-linux-gnueabihf) gnu=arm-linux-gnueabihf deb=armhf emulator=qemu-arm ;;
*) echo "usage: $0 aarch64-unknown-linux-gnu | armv7-unknown-linux-gnueabihf" >&2; exit 2 ;;
esac

cache=${GLINT_ARM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/glint/arm}
# rustc refuses a library that another compiler built, so the oldest usable one is the workspace's own minimum.
msrv=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$(dirname "$0")/../Cargo.toml" | head -1)
older() { [ "$1" != "$2" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -1)" = "$1" ]; }

# --- C compiler and emulator -------------------------------------------------------------------------
packages() {
    local missing=()
    command -v "$gnu-gcc" >/dev/null || missing+=("gcc-$gnu")
    [ -e "/usr/$gnu/include/stdio.h" ] || missing+=("libc6-dev-$deb-cross")
    command -v "$emulator" >/dev/null || command -v "$emulator-static" >/dev/null || missing+=(qemu-user-static)
    [ ${#missing[@]} -gt 0 ] || return 0
    local sudo=()
    if [ "$(id -u)" != 0 ]; then
        if sudo -n true 2>/dev/null; then sudo=(sudo -n); else
            die "missing system packages, please run: sudo apt-get install ${missing[*]}"
        fi
    fi
    say "installing ${missing[*]}"
    local get=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600)
    "${get[@]}" update >&2 || say "warning: apt-get update did not read every index"
    "${get[@]}" install -y --no-install-recommends "${missing[@]}" >&2
    command -v "$gnu-gcc" >/dev/null || die "$gnu-gcc is still missing"
}

# --- the file to source ------------------------------------------------------------------------------
# qemu-user shows the host's /proc/cpuinfo, from which the inference library would guess the CPU kind.
write_env() { # FILE RUSTC
    local upper=${target^^} lower=${target//-/_} q
    upper=${upper//-/_}
    q=$(command -v "$emulator-static" || command -v "$emulator")
    {
        [ -z "$2" ] || printf 'export RUSTC=%q\n' "$2"
        printf 'export CARGO_TARGET_%s_LINKER=%s-gcc\n' "$upper" "$gnu"
        printf 'export CARGO_TARGET_%s_RUNNER=%q\n' "$upper" "$q -L /usr/$gnu"
        printf 'export CC_%s=%s-gcc AR_%s=%s-ar\n' "$lower" "$gnu" "$lower" "$gnu"
        printf 'export GLINT_EMULATOR=%q\n' "$q -L /usr/$gnu"
        [ "$deb" != arm64 ] || echo 'export TRACT_CPU_AARCH64_KIND=${TRACT_CPU_AARCH64_KIND:-a72}'
    } >"$1.part"
    mv "$1.part" "$1"
    echo "$1"
}

# --- way 1: rustup -----------------------------------------------------------------------------------
rustup_has_target() { command -v rustup >/dev/null && rustup target list --installed 2>/dev/null | grep -qx "$target"; }

# --- way 2: Debian's compiler ------------------------------------------------------------------------
apt_own() { # apt-get or apt-cache with a state of its own: the host's lists, sources and status stay as they are
    local d=$work/apt tool=apt-get
    case $1 in policy | madison | show) tool=apt-cache ;; esac
    "$tool" -q -o Dir::State::lists="$d/lists" -o Dir::State::status="$d/status" -o Dir::Cache="$d/cache" \
        -o Dir::Etc::sourcelist="$d/glint.sources" -o Dir::Etc::sourceparts=/dev/null \
        -o APT::Architecture=amd64 -o APT::Architectures::=amd64 -o APT::Architectures::="$deb" \
        -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=3 \
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false "$@"
}

apt_sources() { # the machine's own mirrors; their address is never written into the repository
    local uris main security
    uris=$( { awk '/^URIs:/{print $2}' /etc/apt/sources.list.d/*.sources
              awk '/^deb[ \t]/{for (i = 2; i <= NF; i++) if ($i ~ /^[a-z+]+:/) {print $i; break}}' \
                  /etc/apt/sources.list /etc/apt/sources.list.d/*.list; } 2>/dev/null | sed 's#/*$##' || true)
    main=$(grep -E '/debian$' <<<"$uris" | head -1 || true)
    security=$(grep security <<<"$uris" | head -1 || true)
    main=${main:-http://deb.debian.org/debian}
    security=${security:-http://deb.debian.org/debian-security}
    stanza() { printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nArchitectures: %s\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n' "$@"; }
    # armhf's std is taken from the next suite's main archive, which is where a matching version is found.
    stanza "$main" bookworm "amd64 arm64 armhf"
    stanza "$security" bookworm-security "amd64 arm64"
    [ "$deb" != armhf ] || stanza "$main" trixie armhf
}

debian_rust() { # DIR
    local dir=$1 version up std llvm
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial" "$work/debs"
    : >"$work/apt/status"
    apt_sources >"$work/apt/glint.sources"
    say "fetching Debian's rustc and its standard library for $deb"
    apt_own update >&2 || say "warning: not every package index could be read"
    version=$(apt_own policy rustc-web:amd64 | awk '/Candidate:/{print $2}')
    [ -n "$version" ] && [ "$version" != "(none)" ] || die "this Debian mirror offers no package rustc-web"
    up=${version%%+*} # one upstream version for the compiler and both standard libraries
    older "$up" "$msrv" && die "Debian's rustc-web is $up, this project needs $msrv"
    std=$(apt_own madison "libstd-rust-web-dev:$deb" | awk -F'|' -v u="$up+" '{gsub(/ /, "", $2)} index($2, u) == 1 {print $2; exit}')
    if [ -z "$std" ]; then
        say "Debian's index holds no $deb standard library for rustc $up today"
        exit 3
    fi
    cd "$work/debs"
    apt_own download "rustc-web=$version" "libstd-rust-web-dev:amd64=$version" "libstd-rust-web-${up%.*}=$version" \
        "libstd-rust-web-dev:$deb=$std" >&2
    llvm=$(dpkg-deb -f "libstd-rust-web-${up%.*}"_*_amd64.deb Depends | grep -o 'libllvm[0-9]*' | head -1)
    [ -z "$llvm" ] || apt_own download "$llvm:amd64" >&2
    rm -rf "$dir"
    mkdir -p "$dir"
    local d
    for d in *.deb; do dpkg-deb -x "$d" "$dir"; done
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%q exec %q "$@"\n' "$dir/usr/lib/x86_64-linux-gnu" "$dir/usr/bin/rustc" >"$dir/rustc"
    chmod +x "$dir/rustc"
    # proof before anyone relies on it: compile a program for the target and run it
    echo 'fn main() { println!("{}", std::env::consts::ARCH) }' >"$work/proof.rs"
    "$dir/rustc" --target "$target" -C linker="$gnu-gcc" -o "$work/proof" "$work/proof.rs"
    "$(command -v "$emulator-static" || command -v "$emulator")" -L "/usr/$gnu" "$work/proof" >&2
    touch "$dir/complete"
}

packages
mkdir -p "$cache"
way=${GLINT_ARM_RUST:-auto}
if [ "$way" = rustup ] || { [ "$way" = auto ] && rustup_has_target; }; then
    rustup_has_target || die "rustup has no $target: rustup target add $target"
    write_env "$cache/$target.rustup.env" ""
    exit 0
fi
[ "$(dpkg --print-architecture)" = amd64 ] || die "Debian's compiler is unpacked on amd64 only: rustup target add $target"
dir=$cache/$deb
# one set-up at a time: two builds that start together must not unpack into the same folder
exec 9>"$cache/lock"
flock 9
[ -e "$dir/complete" ] || debian_rust "$dir"
write_env "$cache/$target.debian.env" "$dir/rustc"
