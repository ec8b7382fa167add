#!/bin/bash
# regenerate.sh: makes src/bindings.rs from the kernel's header with bindgen.
#
#   vendor/v4l2-sys-mit/regenerate.sh           writes the file
#   vendor/v4l2-sys-mit/regenerate.sh --check   compares and fails on a difference
#
# Needs bindgen (cargo install bindgen-cli), libclang (pip install libclang, or LIBCLANG_PATH) and the kernel
# headers of Debian 12 (linux-libc-dev; for 32 bits libc6-dev-i386 or the cross headers).
set -euo pipefail
cd "$(dirname "$0")"
if [ -z "${LIBCLANG_PATH:-}" ]; then
    LIBCLANG_PATH=$(python3 -c 'import clang, os; print(os.path.join(os.path.dirname(clang.__file__), "native"))')
    export LIBCLANG_PATH
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/gnu"
touch "$work/gnu/stubs-32.h" "$work/gnu/stubs-hard.h" # glibc asks for them; they say nothing of V4L2
generate() { # bits target
    echo '#include <linux/videodev2.h>' >"$work/wrapper.h"
    bindgen "$work/wrapper.h" --no-doc-comments --no-layout-tests --rust-target 1.77 \
        --allowlist-type 'v4l2_.*|timeval|time_t' --allowlist-var 'V4L2_.*' \
        -- --target="$2" -I"$work" -nostdinc -isystem "$(gcc -print-file-name=include)" \
        -I/usr/include -I/usr/include/x86_64-linux-gnu >"$work/bindings_$1.rs"
}
generate 64 x86_64-unknown-linux-gnu
generate 32 arm-unknown-linux-gnueabihf
# One file serves both widths of pointers as long as they come out the same.
cmp "$work/bindings_64.rs" "$work/bindings_32.rs"
if [ "${1:-}" = --check ]; then
    cmp "$work/bindings_64.rs" src/bindings.rs
else
    cp "$work/bindings_64.rs" src/bindings.rs
fi
