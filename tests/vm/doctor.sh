#!/bin/bash
# doctor.sh [PACKAGE]: a Debian 12 boots under qemu, twelve faults are planted one after the other, and `glintd doctor` has to name
# each of them with its remedy, and nothing else.
#
#   sudo tests/vm/doctor.sh                          builds glintd and its package
#   sudo tests/vm/doctor.sh glintd_0.2.0_amd64.deb   with a package of cross/deb.sh
#
# The faults (guest/doctor.py): no node, a user outside group video, a camera that another program has, 15 frames/s, a dark room, a
# lamp that flickers, a small face, a broker that is away, another authority, a refused login, an access list without events, a full
# disk. On a sound machine, with TLS, with a login, and beside the running daemon, doctor has to name nothing. The camera is a node of
# v4l2loopback, which shows a film of the synthetic subject; the one that is busy is vivid's. Prints PASS or FAIL for each with what
# was found, and fails if one fails or does not run.
#
# The processor is emulated (TCG), and time inside follows the instructions, as in first-event.sh: rates and seconds are those of
# the guest. See image.sh for what it fetches (once). Needs ffmpeg and openssl.
#
# GLINT_FILM         the film of the synthetic subject, 60 frames/s (default: examples/film makes it)
# GLINT_VM_TIMEOUT   seconds after which the machine is stopped (default 3600)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
case ${1:-} in --help | -h) sed -n '2,19s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
cache=$("$here/image.sh" amd64 | tail -1)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
host=$work/host
mkdir -p "$host/tls"
if [ $# -gt 0 ]; then
    cp "$1" "$host/glintd.deb"
else
    (cd "$root" && cargo build --locked --bin glintd >&2)
    strip -o "$work/glintd" "$root/target/debug/glintd"
    "$root/cross/package.py" "$work/glintd" "$host/glintd.deb" >&2
fi
film=${GLINT_FILM:-}
if [ -z "$film" ]; then
    (cd "$root" && cargo run --locked --features demo --example film -- "$work/film.avi" >&2)
    film=$work/film.avi
fi

# --- What the camera shows --------------------------------------------------------------------------------
show() { # NAME EVERY FILTER: two seconds, every second or fourth picture, so 30 or 15 a second
    ffmpeg -v error -i "$film" -t 2 -vf "select='not(mod(n,$2))',setpts=N/$((60 / $2))/TB,format=gray$3" -r $((60 / $2)) -pix_fmt gray \
        -f yuv4mpegpipe -strict -1 "$host/$1.y4m"
}
show sound 2 ""
show slow 4 ""
show dark 2 ",lut=c0=val*0.15"
show flicker 2 ",geq=lum='lum(X,Y)*(1-0.12*mod(N,2))'"
# Eyes of 84 px come to 29. Around it is the gray of the film's own wall.
show small 2 ",scale=224:168,pad=640:480:(ow-iw)/2:(oh-ih)/2:gray"

# --- The broker's certificate and two authorities, of which one has signed it ------------------------------
(
    cd "$host/tls"
    key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
    for authority in right wrong; do
        openssl req -x509 "${key[@]}" -days 2 -subj "/CN=$authority" -keyout "$authority.key" -out "$authority.pem"
    done
    openssl req "${key[@]}" -subj /CN=server -keyout server.key -out server.csr
    openssl x509 -req -in server.csr -CA right.pem -CAkey right.key -CAcreateserial -days 2 \
        -extfile <(echo subjectAltName=DNS:localhost) -out server.pem
) 2>/dev/null

cp -r "$here/guest" "$host/guest"
: >"$host/results.jsonl"
# Time inside is that of a slow board, and waits for nobody outside.
echo 1 >"$host/patience"
echo doctor >"$host/stage"
timeout "${GLINT_VM_TIMEOUT:-3600}" qemu-system-x86_64 -cpu max -M q35 -accel tcg -icount shift=0,sleep=off -m 1024 -smp 1 -nographic -nic none \
    -drive "file=$cache/disk.ext4,format=raw,if=virtio,snapshot=on" -kernel "$cache/vmlinuz" -initrd "$cache/initrd.img" \
    -append "root=/dev/vda rw console=ttyS0 quiet no_timer_check" \
    -virtfs "local,path=$host,mount_tag=host,security_model=none" </dev/null | tr -d '\r' >&2 || true
"$here/verdict.py" "$host/results.jsonl"
