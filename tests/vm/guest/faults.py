"""Faults of a camera, made by the kernel's virtual one (vivid), and what glintd does."""
import json
import subprocess
import time

from world import Broker, Unit, configure, record, sh, wait

GROUP = "camera"
NODE = "/dev/video20"
# The first instance is an ordinary webcam; the second is an HDMI grabber with an output that loops to it.
VIVID = ("modprobe vivid n_devs=2 node_types=0x1,0x101 num_inputs=1,1 input_types=0,3 num_outputs=0,1 output_types=0,1 "
         "multiplanar=1,1 no_error_inj=0 vid_cap_nr=20,21 vid_out_nr=-1,22")
DRIVER = "/sys/bus/platform/drivers/vivid"
WEBCAM = f"""device.id = "vm"
mqtt.url = "mqtt://127.0.0.1:1883"
health.interval_s = 1
source.path = "{NODE}"
camera = {{ format = "YUYV", size = [320, 180], fps = 15 }}
"""


class Camera:
    """glintd on a camera, and what is heard of it."""

    def __init__(self, broker):
        self.broker, self.unit = broker, Unit()

    def frames(self):
        return self.broker.report().get("frames", 0)

    def states(self, since):
        return [(t, json.loads(p)) for t, p in self.broker.since(since, "glint/vm/state") if p]

    def streams(self):
        state = json.loads(self.broker.latest("glint/vm/state") or "{}").get("state")
        return state == "streaming" and self.broker.report().get("state") == "streaming"

    def steady(self):
        """Frames come."""
        before = self.frames()
        return wait(20, lambda: self.streams() and self.frames() > before + 5)

    def control(self, setting, node=NODE):
        sh(f"v4l2-ctl -d {node} --set-ctrl {setting}", check=True)

    def fault(self, name, act, undo=None, lasts=0.0, expect=None):
        """Makes a fault and records what came of it. `expect(before, after)` says whether the report is right."""
        if not self.steady():
            self.unit.restart()
            if not self.steady():
                record(GROUP, name, False, "no frames before the fault", log=self.broker.latest("glint/vm/health")[:200])
                return
        before, pid, at = self.broker.report(), self.unit.pid(), time.time()
        act()
        time.sleep(lasts)
        if undo:
            undo()
        mended = time.time()
        time.sleep(1.5)
        back = wait(30, lambda: self.streams() and self.steady())
        after = self.broker.report()
        waits = [t for t, s in self.states(at) if s["state"] == "waiting"]
        again = [t for t, s in self.states(at) if s["state"] == "streaming" and waits and t > waits[0]]
        reasons = [s["reason"] for _, s in self.states(at) if s["state"] == "waiting"]
        alive = self.unit.pid() == pid
        damaged = after.get("frames_damaged", 0) - before.get("frames_damaged", 0)
        gaps = after.get("counters", {}).get("gaps", 0) - before.get("counters", {}).get("gaps", 0)
        did = []
        if waits:
            did.append(f"waits{': ' + reasons[0] if reasons[0] else ''}, opens it again")
        else:
            did.append("the stream goes on")
        if damaged:
            did.append(f"{damaged} frames damaged")
        if gaps:
            did.append(f"{gaps} gaps")
        if not alive:
            did.append("THE PROCESS WAS REPLACED")
        log = [m for _, m in self.unit.journal(at) if "WARN" in m or "trying again" in m or "error" in m.lower()]
        right = expect is None or expect(before, after, bool(waits))
        record(GROUP, name, back and alive and right, ", ".join(did), seconds=max(0.0, again[0] - mended) if again else 0.0,
               log=(log[0] if log else ""), code="none")


def more(key):
    return lambda before, after, waited: after.get(key, 0) > before.get(key, 0)


def streamed(before, after, waited):
    return not waited


def waited(before, after, waited):
    return waited


def bind(word, which=0):
    sh(f"echo vivid.{which} > {DRIVER}/{word}")


def webcam(camera):
    """Every fault that vivid makes on an ordinary camera."""
    control = camera.control
    fault = camera.fault
    fault("a frame with the error flag", lambda: control("inject_v4l2_buf_flag_error=1"), expect=more("frames_damaged"))
    fault("half of the buffers dropped, 4 s", lambda: control("percentage_of_dropped_buffers=50"),
          lambda: control("percentage_of_dropped_buffers=0"), 4, streamed)
    fault("all buffers dropped, 8 s", lambda: control("percentage_of_dropped_buffers=100"),
          lambda: control("percentage_of_dropped_buffers=0"), 8, waited)
    fault("VIDIOC_QBUF fails once", lambda: control("inject_vidioc_qbuf_error=1"))
    fault("fatal error of the queue while streaming", lambda: control("inject_fatal_streaming_error=1"), expect=waited)
    # These two wait for the next opening, which the fatal error makes.
    for name, word in (("VIDIOC_REQBUFS fails at the next opening", "inject_vidioc_reqbufs_error"),
                       ("VIDIOC_STREAMON fails at the next opening", "inject_vidioc_streamon_error")):
        fault(name, lambda word=word: (control(f"{word}=1"), control("inject_fatal_streaming_error=1")), expect=waited)
    fault("sequence numbers wrap around", lambda: control("wrap_sequence_number=1"), lambda: control("wrap_sequence_number=0"), 6)
    fault("time stamps wrap around", lambda: control("wrap_timestamp=1"), lambda: control("wrap_timestamp=0"), 6)
    fault("the camera is disconnected, 5 s (vivid's disconnect)", lambda: control("disconnect=1"),
          lambda: (bind("unbind"), bind("bind")), 5, waited)
    fault("unplugged for 8 s and plugged in", lambda: bind("unbind"), lambda: bind("bind"), 8, waited)
    fault("unplugged and plugged in at once", lambda: (bind("unbind"), bind("bind")), expect=waited)
    for turn in range(3):
        fault(f"unplugged while it is opened, turn {turn + 1}",
              lambda: (control("inject_fatal_streaming_error=1"), time.sleep(0.25 * turn), bind("unbind")), lambda: bind("bind"), 2, waited)


def module(camera):
    """The driver goes and comes. It cannot be unloaded while glintd has a node of it, so the camera is closed."""
    def reload():
        bind("unbind")
        wait(10, lambda: "no_camera" in camera.broker.latest("glint/vm/state"))
        sh("modprobe -r vivid", check=True)
        time.sleep(3)
    camera.fault("the driver is unloaded and loaded", reload, lambda: sh(VIVID, check=True), expect=waited)


def format_change(camera):
    """While glintd streams the driver refuses another format. While it is paused another program sets one."""
    refused = sh(f"v4l2-ctl -d {NODE} --set-fmt-video=width=640,height=360,pixelformat=NV12")
    camera.fault("another program asks for a format", lambda: sh(f"v4l2-ctl -d {NODE} --set-fmt-video=width=640,height=360"), expect=streamed)
    at, pid = time.time(), camera.unit.pid()
    sh(f"kill -USR1 {pid}")
    closed = wait(10, lambda: any(s["state"] == "paused" for _, s in camera.states(at)))
    fds = sh(f"ls -l /proc/{pid}/fd | grep -c /dev/video")
    sh(f"v4l2-ctl -d {NODE} --set-fmt-video=width=640,height=360,pixelformat=NV12", check=True)
    resumed = time.time()
    sh(f"kill -USR2 {pid}")
    back = wait(15, lambda: [t for t, s in camera.states(resumed) if s["state"] == "streaming"])
    opened = camera.unit.journal(resumed, "camera opened")
    record(GROUP, "another format is set during a pause", closed and fds == "0" and back, f"the camera was closed ({fds} nodes open), "
           "is set up as configured", seconds=back[0] - resumed if back else None, log=opened[0][1] if opened else refused, code="none")


def busy(camera):
    """Another program has the camera until glintd has seen that."""
    camera.unit.stop()
    other = subprocess.Popen(["v4l2-ctl", "-d", NODE, "--stream-mmap", "--stream-count=1000000"], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    time.sleep(2)
    at = time.time()
    took, said = camera.unit.start()
    waits = wait(20, lambda: [s for _, s in camera.states(at) if s["reason"] == "no_camera"])
    log = wait(10, lambda: camera.unit.journal(at, "trying again"))
    other.kill()
    other.wait()
    freed = time.time()
    back = wait(20, lambda: [t for t, s in camera.states(freed) if s["state"] == "streaming"])
    record(GROUP, "the camera is in use by another program", waits and back and not said, "waits: no_camera, takes it when it is free",
           seconds=back[0] - freed if back else None, log=log[0][1] if log else said, code="none")


def grabber(camera):
    """An HDMI grabber: signals that go, and other timings."""
    node = "/dev/video21"
    camera.unit.stop()
    configure(WEBCAM.replace(NODE, node).replace('camera = { format = "YUYV", size = [320, 180], fps = 15 }\n',
                                                 'camera = { format = "YUYV" }\n'))
    timings = f"v4l2-ctl -d {node} --set-dv-bt-timings"
    sh(f"{timings} index=0", check=True)
    at = time.time()
    camera.unit.start()
    opened = camera.unit.journal(at, "camera opened")
    print("grabber", opened, flush=True)
    control = lambda setting: camera.control(setting, node)
    camera.fault("the grabber has no signal, 5 s", lambda: control("dv_timings_signal_mode=1"),
                 lambda: control("dv_timings_signal_mode=0"), 5)
    camera.fault("the grabber cannot lock, 5 s", lambda: control("dv_timings_signal_mode=2"),
                 lambda: control("dv_timings_signal_mode=0"), 5)
    camera.fault("the source changes its timings while it streams",
                 lambda: sh(f"{timings} index=1"))


def run():
    sh(VIVID, check=True)
    sh("udevadm settle")
    print(sh("v4l2-ctl -d /dev/video20 -L; v4l2-ctl -d /dev/video21 -L"), flush=True)
    links = sh("find /dev/glint /dev/v4l -type l | sort").splitlines()
    record(GROUP, "udev names the camera", any(link.startswith("/dev/glint/camera-") for link in links), ", ".join(links))
    broker = Broker().start().read()
    configure(WEBCAM)
    camera = Camera(broker)
    took, said = camera.unit.start()
    record(GROUP, "a camera is there at the start", not said and camera.steady(), camera.unit.state(), seconds=took,
           log=(camera.unit.journal(0, "camera opened") or [(0, "")])[-1][1])
    for part in (webcam, format_change, busy, module, grabber):
        try:
            part(camera)
        except Exception as error:
            record(GROUP, part.__name__, False, f"the check broke: {error!r}")
    took = camera.unit.stop()
    record(GROUP, "stop after all of it", camera.unit.show("Result") == "success", camera.unit.state(), seconds=took,
           code=camera.unit.show("ExecMainStatus"))
    broker.stop()
