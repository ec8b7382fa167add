#!/bin/bash
# reproduce.sh TARGET [BINARY]: builds the last commit a second time, from another folder into another folder, and compares the
# bytes with those of BINARY, or of a first build that it makes itself. Fails where they differ.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
target=${1:-}
[ -n "$target" ] || { sed -n '2,3s/^# \{0,1\}//p' "$0" >&2; exit 2; }
cd "$root"
git diff --quiet HEAD || { echo "reproduce.sh: there are changes that are not committed" >&2; exit 1; }
first=${2:-$(cross/release.sh "$target" | tail -1)}
elsewhere=$(mktemp -d)
trap 'rm -rf "$elsewhere"' EXIT
mkdir "$elsewhere/another-copy"
git archive HEAD | tar -x -C "$elsewhere/another-copy"
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
second=$(CARGO_TARGET_DIR=$elsewhere/build "$elsewhere/another-copy/cross/release.sh" "$target" | tail -1)
sha256sum "$first" "$second"
cmp "$first" "$second"
echo "reproduce.sh: $target: the same bytes twice"
