#!/bin/bash
# no-gpu.sh: fails if a training or GPU crate has entered the tree of an ARM build of the root package.
set -euo pipefail
cd "$(dirname "$0")/.."
status=0
for target in aarch64-unknown-linux-gnu armv7-unknown-linux-gnueabihf; do
    for features in "" demo; do
        tree=$(cargo tree --locked --quiet -p glint --features "$features" --target "$target" -e normal,build --prefix none --format '{p}')
        names=$(awk '{print $1}' <<<"$tree" | sort -u)
        # a tree without the root itself would pass for the wrong reason
        grep -qx glint <<<"$names" || { echo "no-gpu: cargo tree printed nothing usable for $target" >&2; exit 1; }
        found=$(grep -E '^(burn|cubecl|cudarc|wgpu|naga|ash|candle|rayon)($|-)' <<<"$names" || true)
        if [ -n "$found" ]; then
            echo "no-gpu: $target${features:+ with $features} depends on:" "${found//$'\n'/ }" >&2
            status=1
        else
            echo "no-gpu: $target${features:+ with $features}: $(wc -l <<<"$names") packages, none of them for training"
        fi
    done
done
exit $status
