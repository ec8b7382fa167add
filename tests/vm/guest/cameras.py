"""Two cameras on one machine: two instances of glintd@.service. Without vivid two synthetic subjects take their places."""
import json

from world import Broker, Unit, configure, record, sh, wait

GROUP = "several cameras"


def run(vivid=True):
    if vivid:
        sh("modprobe -r vivid; modprobe vivid n_devs=2 node_types=0x1,0x1 num_inputs=1,1 input_types=0,0 vid_cap_nr=20,21", check=True)
        sh("udevadm settle")
    broker = Broker().start().read()
    units = {}
    for name, node in (("door", "/dev/video20"), ("hall", "/dev/video21")):
        source = f'source.path = "{node}"\ncamera = {{ format = "YUYV", size = [320, 180], fps = 15 }}\n' if vivid else \
            'source.kind = "synthetic"\ncamera.fps = 30\n'
        configure(f'device.id = "{name}"\nmqtt.url = "mqtt://127.0.0.1:1883"\nhealth.interval_s = 1\n{source}', f"/etc/glint/{name}.toml")
        units[name] = Unit(f"glintd@{name}")
    took = {name: unit.start()[0] for name, unit in units.items()}

    def health(name):
        return json.loads(broker.latest(f"glint/{name}/health") or "{}")

    both = wait(20, lambda: all(health(name).get("state") == "streaming" and health(name)["frames"] > 10 for name in units))
    for name, unit in units.items():
        folder = sh(f"ls /var/lib/private/glint-{name}")
        record(GROUP, f"glintd@{name}" + ("" if vivid else ", synthetic subject"), both and unit.state().startswith("active") and "device.json" in folder,
               f"{health(name).get('fps')} frames/s, {unit.memory()}, state folder: {folder.replace(chr(10), ' ')}", seconds=took[name],
               log=(unit.journal(0, "camera opened") or [(0, "")])[-1][1])
    users = {sh(f"awk '/^Uid/ {{print $2}}' /proc/{unit.pid()}/status") for unit in units.values()}
    record(GROUP, "each has a user of its own", len(users) == 2, f"{len(users)} users")
    pid = units["hall"].pid()
    units["door"].stop()
    record(GROUP, "one is stopped", units["hall"].pid() == pid and units["hall"].state().startswith("active"), "the other goes on")
    configure("[mqtt]\nhosst = \"x\"\n", "/etc/glint/door.toml")
    units["door"].start()
    record(GROUP, "one has a wrong configuration", units["door"].show("ExecMainStatus") == "78" and units["hall"].pid() == pid,
           f"{units['door'].state()}, the other goes on", code=units["door"].show("ExecMainStatus"))
    units["hall"].stop()
    broker.stop()
