"""`glintd doctor` on a sound machine, with twelve faults planted one after the other, and beside the daemon."""
import json
import os
import subprocess
import threading
import time
from contextlib import contextmanager

import faults
from first_event import NODE, Film, command
from world import CONFIG, HOST, Broker, Unit, configure, record, sh, wait

GROUP = "doctor"
# What this machine really has, and what is no fault that was planted: nobody sets its clock.
OF_THE_MACHINE = {"clock_unsynchronized"}
DEVICE = 'device.id = "vm"\nhealth.interval_s = 1\n'
CAMERA = f'source.path = "{NODE}"\n'
BROKER = 'mqtt.url = "mqtt://127.0.0.1:1883"\n'
SOUND = DEVICE + CAMERA + BROKER
# An ordinary one, as whoever sets a board up may be.
USER = "maintainer"
# Folders of the machine's own.
TLS, FULL = "/etc/mosquitto/tls", "/mnt/full"


class Loop(Film):
    """Shows a film forwards and backwards until it is stopped: no picture comes twice, and none jumps."""

    def __init__(self, path, node):
        super().__init__(path, node)
        self.ending = threading.Event()

    def run(self):
        head, size = self.file.tell(), len("FRAME\n") + self.width * self.height
        last = (os.fstat(self.file.fileno()).st_size - head) // size - 1
        at, step, due = 0, 1, time.monotonic()
        while not self.ending.is_set():
            self.file.seek(head + at * size)
            self.read()
            self.node.write(self.picture)
            step = 1 if at == 0 else -1 if at == last else step
            at += step
            due = max(due + 1 / self.fps, time.monotonic() - 1)
            time.sleep(max(0.0, due - time.monotonic()))
        self.node.close()
        self.file.close()


@contextmanager
def camera(film, openers=10):
    """A camera that shows a film. With two openers, of which the film is one, it has room for one program, as a real camera."""
    sh("modprobe v4l2loopback devices=1 card_label=film exclusive_caps=1 "
       f"video_nr={NODE.removeprefix('/dev/video')} max_openers={openers}", check=True)
    wait(10, lambda: os.path.exists(NODE))
    sh("udevadm settle")
    shown = Loop(f"/var/tmp/{film}.y4m", NODE)
    shown.start()
    try:
        if not wait(10, lambda: "Video Capture" in sh(f"v4l2-ctl -d {NODE} --info")):
            raise RuntimeError(f"{NODE} does not capture")
        yield
    finally:
        shown.ending.set()
        shown.join()
        sh("modprobe -r v4l2loopback", check=True)


def doctor(user=None):
    """Asks; status, seconds and findings."""
    before = time.monotonic()
    words = ["glintd", "doctor", "--json", "--config", CONFIG]
    done = subprocess.run((["runuser", "-u", user, "--"] if user else []) + words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    seconds = time.monotonic() - before
    print(done.stdout, done.stderr, flush=True)
    try:
        return done.returncode, seconds, json.loads(done.stdout)["findings"]
    except ValueError:
        raise RuntimeError(f"status {done.returncode}, no JSON: {done.stdout[:200]}{done.stderr[:200]}")


def check(name, fault=None, told="", remedy="", user=None, also=lambda findings: None):
    """One row: this fault is named, with these words in its text and its remedy, and nothing else; or nothing at all. `also` says
    what else is wrong."""
    status, seconds, findings = doctor(user)
    wrong = [f for f in findings if "fault" in f and f["fault"] not in OF_THE_MACHINE]
    if fault:
        ok = status == 1 and len(wrong) == 1 and wrong[0]["fault"] == fault and wrong[0]["level"] == "fault" and \
            told in wrong[0]["text"] and remedy in wrong[0].get("remedy", "")
    else:
        ok = status == 0 and not wrong
    found = "; ".join(f"{f['level']} {f['fault']}: {f['text']}; remedy: {f.get('remedy')}" for f in wrong) or "nothing is named"
    if not ok:
        found += f" (status {status}; wanted: {fault or 'nothing'}, {told!r}, {remedy!r})"
    more = also(findings)
    record(GROUP, name, ok and not more, found + (f"; {more}" if more else ""), seconds=seconds)


def sound():
    configure(SOUND)
    with camera("sound"):
        check("a sound machine")


def no_node():
    configure(DEVICE + BROKER)
    check("no node", "no_camera", remedy="plug a USB camera in")


def permission():
    configure(SOUND)
    sh(f"useradd --create-home {USER}", check=True)
    with camera("sound"):
        check("the user is not in group video", "camera_permission", NODE, "usermod -aG video", user=USER)
        sh(f"usermod -aG video {USER}", check=True)
        check("the user is in group video", user=USER)


def busy():
    """vivid lets one program stream, as a real driver does."""
    sh(faults.VIVID, check=True)
    sh("udevadm settle")
    configure(faults.WEBCAM)
    other = subprocess.Popen(["v4l2-ctl", "-d", faults.NODE, "--stream-mmap", "--stream-count=1000000"], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    time.sleep(2)
    check("another program has the camera", "camera_busy", f"v4l2-ctl {other.pid}", "end the other program")
    other.kill()
    other.wait()
    sh("modprobe -r vivid", check=True)


def pictures():
    configure(SOUND)
    for name, film, fault, remedy in (("15 frames a second", "slow", "fps_low", "another mode"),
                                      ("a dark room", "dark", "too_dark", "light"),
                                      ("a lamp that flickers", "flicker", "flicker", "power_line_hz"),
                                      ("a face that is far away", "small", "too_small", "closer")):
        with camera(film):
            check(name, fault, remedy=remedy)


def guarded(rules, port=1884):
    """A broker with one user, `door`, and an access list; and the configuration for it."""
    sh("touch /run/passwords; mosquitto_passwd -b /run/passwords door right-one", check=True)
    configure(f"user door\n{rules}\n", "/run/acl")
    sh("chmod 600 /run/passwords /run/acl", check=True)
    text = DEVICE + CAMERA + f'mqtt.url = "mqtt://127.0.0.1:{port}"\nmqtt.username = "door"\nmqtt.password_file = "/etc/glint/mqtt-password"\n'
    configure("right-one\n", "/etc/glint/mqtt-password")
    configure(text)
    return Broker(port, "allow_anonymous false\npassword_file /run/passwords\nacl_file /run/acl").start()


def brokers():
    with camera("sound"):
        configure(SOUND.replace("1883", "1999"))
        check("the broker is away", "broker_unreachable", "mqtt://127.0.0.1:1999", "mqtt.url")

        sh(f"cp -r {HOST}/tls {TLS}", check=True)
        broker = Broker(8883, f"allow_anonymous true\ncertfile {TLS}/server.pem\nkeyfile {TLS}/server.key").start()
        for name, authority, *wrong in (("TLS, by the authority that is known", "right"),
                                        ("TLS, by another authority", "wrong", "broker_certificate", "no authority that is trusted", "mqtt.ca")):
            configure(DEVICE + CAMERA + f'mqtt.url = "mqtts://localhost:8883"\nmqtt.ca = "{TLS}/{authority}.pem"\n')
            check(name, *wrong)
        broker.stop()

        broker = guarded("topic readwrite glint/#")
        check("the login and the access list are right")
        configure("wrong-one\n", "/etc/glint/mqtt-password")
        check("the login is refused", "broker_refused", "127.0.0.1:1884", "mqtt.password_file")
        broker.stop()
        broker = guarded("topic readwrite glint/#\ntopic deny glint/vm/event")
        check("the access list forbids events", "events_refused", "glint/vm/event", "allow the device to write glint/vm/event")
        broker.stop()


def full_disk():
    configure(SOUND + f'outbox.path = "{FULL}/outbox.redb"\n')
    sh(f"mkdir {FULL} && mount -t tmpfs -o size=40m none {FULL}", check=True)
    with camera("sound"):
        sh(f"head -c 64M /dev/zero > {FULL}/logs")
        check("the disk is full", "outbox_full", FULL, "make room")
    sh(f"umount {FULL}", check=True)


def beside(broker):
    """The daemon has the camera. Neither it nor a subscriber may notice that the doctor asks."""
    configure(SOUND)
    unit, began = Unit(), time.time()
    with camera("sound", openers=2):
        try:
            said = unit.start()[1]
            if not wait(60, lambda: broker.report().get("state") == "streaming" and broker.report()["problems"] == []):
                raise RuntimeError(f"the daemon is not well: {said} {broker.latest('glint/vm/health')}")
            pid = unit.pid()

            def disturbed(findings):
                if not {"glintd runs, and reports no problem", "the running glintd has it"} <= {f["text"] for f in findings}:
                    return "it does not say that the daemon runs and has the camera"
                if unit.pid() != pid or [p for _, p in broker.since(began, "glint/vm/status")] != ["online"]:
                    return "the daemon was disturbed"
                return "a subscriber got an empty event" if not all(p for _, p in broker.since(began, "glint/vm/event")) else None

            check("beside the daemon, as an ordinary user", user=USER, also=disturbed)
            check("beside the daemon", also=disturbed)
        finally:
            unit.stop()


def run():
    # The films are on the machine's own disk: the host's folder is slow.
    sh(f"cp {HOST}/*.y4m /var/tmp", check=True)
    installed, seconds, said = command(f"apt-get install -y {HOST}/glintd.deb")
    record(GROUP, "apt-get install ./glintd.deb", installed, sh("uname -srm"), seconds=seconds, log=said.splitlines()[-2])
    broker = Broker().start().read()

    # A check that breaks is a failure, and the next one runs.
    for part, *given in ((sound,), (no_node,), (permission,), (busy,), (pictures,), (brokers,), (full_disk,), (beside, broker)):
        try:
            part(*given)
        except Exception as error:
            record(GROUP, part.__name__, False, f"the check broke: {error!r}")
    broker.stop()
    record(GROUP, "stop", True, "all was tried")
