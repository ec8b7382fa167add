#!/bin/bash
# The commissioning page in headless Chromium, on the synthetic subject, as a phone and as a desktop shows it.
#
#   tests/page/run.sh PROGRAM            PROGRAM is a glintd, such as target/debug/glintd
#   tests/page/run.sh PROGRAM --write    also makes docs/img/page.png anew (needs ffmpeg)
#
# Needs python3 and Chromium. Ends with 77 where Chromium is not installed.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ $# -ge 1 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2; }
export PYTHONDONTWRITEBYTECODE=1
exec timeout 300 python3 tests/page/check.py "$@"
