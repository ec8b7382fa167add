"""From an empty machine to the first event: two commands of an operator, and a camera that shows a movement of known times."""
import fcntl
import json
import os
import re
import struct
import threading
import time

import service
from world import HOST, Broker, Unit, record, sh, wait

GROUP = "first event"
NODE = "/dev/video10"
# linux/videodev2.h, 64 bits: VIDIOC_S_FMT, and V4L2_BUF_TYPE_VIDEO_OUTPUT with a pix format in its union.
S_FMT, OUTPUT, YUYV, NO_FIELDS = 0xC0D05605, 2, 0x56595559, 1


class Film(threading.Thread):
    """Shows a Y4M film of gray pictures on a node of v4l2loopback: its first picture until `play` is called, then all of it, once, at
    its rate. `began` is the monotonic time of the first picture."""

    def __init__(self, path, node):
        super().__init__(daemon=True)
        self.file = open(path, "rb")
        head = self.file.readline().decode()
        self.width, self.height = (int(re.search(f" {key}([0-9]+)", head)[1]) for key in "WH")
        rate = re.search(r" F([0-9]+):([0-9]+)", head)
        self.fps = int(rate[1]) / int(rate[2])
        self.node = open(node, "wb", buffering=0)
        size = 2 * self.width * self.height
        pix = struct.pack("=8I", self.width, self.height, YUYV, NO_FIELDS, 2 * self.width, size, 8, 0)
        fcntl.ioctl(self.node, S_FMT, struct.pack("=II", OUTPUT, 0) + pix.ljust(200, b"\0"))
        self.picture = bytearray(b"\x80" * size)
        self.playing = threading.Event()
        self.began = self.ended = None

    def play(self):
        self.playing.set()

    def read(self):
        """The next picture becomes the one that is shown; whether there was one."""
        if not self.file.readline():
            return False
        self.picture[::2] = self.file.read(self.width * self.height)
        return True

    def run(self):
        self.read()
        due = time.monotonic()
        while True:
            if self.playing.is_set() and self.ended is None:
                if self.began is None:
                    self.began = time.monotonic()
                elif not self.read():
                    self.ended = time.monotonic()
            self.node.write(self.picture)
            due = max(due + 1 / self.fps, time.monotonic() - 1)
            time.sleep(max(0.0, due - time.monotonic()))


def command(line):
    """One command of the operator."""
    before = time.monotonic()
    said = sh(f"{line} 2>&1; echo status $?")
    print(f"$ {line}\n{said}", flush=True)
    return said.endswith("status 0"), time.monotonic() - before, said


def run():
    truth = json.load(open(f"{HOST}/truth.json"))
    machine = sh("uname -srm")
    broker = Broker().start().read()
    sh(f"modprobe v4l2loopback devices=1 video_nr={NODE.removeprefix('/dev/video')} card_label=film exclusive_caps=1", check=True)
    wait(10, lambda: os.path.exists(NODE))
    # The film is on the machine's own disk: the host's folder is slow.
    sh(f"cp {HOST}/film.y4m /var/tmp/film.y4m", check=True)
    film = Film("/var/tmp/film.y4m", NODE)
    film.start()
    wait(10, lambda: "Video Capture" in sh(f"v4l2-ctl -d {NODE} --info"))

    installed, seconds, said = command(f"apt-get install -y {HOST}/glintd.deb")
    record(GROUP, "apt-get install ./glintd.deb", installed, machine, seconds=seconds, log=said.splitlines()[-2])
    began = time.time()
    started, seconds, said = command("systemctl enable --now glintd")
    unit = Unit()
    record(GROUP, "systemctl enable --now glintd", started, unit.state(), seconds=seconds,
           log=(unit.journal(began, "camera opened") or [(0, said)])[-1][1])

    def heard(suffix):
        with broker.lock:
            return [(t, p) for t, name, p in broker.heard if name.endswith(suffix)]

    wait(60, lambda: any('"streaming"' in p for _, p in heard("/state")))
    film.play()
    wait(20, lambda: film.ended)
    event = wait(30, lambda: heard("/event"))
    if not event:
        health = wait(60, lambda: heard("/health"))
        record(GROUP, "first event", False, "no event", log=health[-1][1] if health else "")
        return
    data = json.loads(event[0][1])["data"]
    off = [data[f"{key}_ns"] / 1e6 - 1e3 * film.began - truth[f"{key}_ms"] for key in ("onset", "apex", "offset")]
    aus = [au["au"] for au in data["aus"]]
    record(GROUP, "first event", data["kind"] == "micro" and truth["au"] in aus and abs(off[0]) <= truth["tolerance_ms"],
           f"AU {', '.join(map(str, aus))} at {data['fps']} frames/s; onset, apex, offset off by {off[0]:.0f}, {off[1]:.0f}, {off[2]:.0f} ms; "
           f"{(event[0][0] - time.time() + time.monotonic() - data['offset_ns'] / 1e9) * 1e3:.0f} ms after the offset at the subscriber",
           seconds=event[0][0] - began, log=event[0][1][:200])
    seconds = unit.stop()
    stopped = unit.show("Result") == "success", unit.state(), unit.show("ExecMainStatus")
    program_as_camera(broker)
    record(GROUP, "stop", stopped[0], stopped[1], seconds=seconds, code=stopped[2])
    broker.stop()


def program_as_camera(broker):
    """A second camera: a program, with what its unit needs more."""
    if sh("command -v ffmpeg; true"):
        sh("cp /var/tmp/film.y4m /usr/share/film.y4m && chmod 644 /usr/share/film.y4m", check=True)
        service.BROKER = broker
        service.ffmpeg_under_the_drop_in()
