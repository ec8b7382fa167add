#!/usr/bin/env python3
"""updown.py NEW.deb [OLD]: release 0.1 is upgraded, taken back and upgraded again, in the bookworm-amd64 of roots.sh.

    git archive 0e511cc | tar -x -C /tmp/old && (cd /tmp/old && cargo build --locked --bin glintd)
    sudo cross/updown.py target/packages/glintd_*_amd64.deb /tmp/old/target/debug/glintd

Events wait in the outbox, the device is paused, the configuration is edited. After each step the file is as it was edited, the
device is paused still, and no event is gone: at the end a broker hears each that was accepted. What lies in the state folder is
told too. Then a file of a later format stands there, and NEW has to refuse it by name and leave it. Needs root and Mosquitto.

Without OLD the program of 0.1 takes no part. What it leaves is written in its place: events as they lie in its database, and,
taken back, a later outbox set aside beside an empty database.
"""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import trial as packages

FIRST = "0e511cc"
STATE = "/var/lib/glint"
MARKER = f"{STATE}/outbox.paused"


def old_package(new, binary, out):
    """The files of release 0.1 as a package: its program, unit and configuration under the scripts of the new one."""
    show = lambda path: subprocess.check_output(["git", "-C", packages.ROOT, "show", f"{FIRST}:{path}"], text=True)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["dpkg-deb", "-R", new, folder], check=True)
        subprocess.run(["cp", binary or "/bin/true", f"{folder}/usr/bin/glintd"], check=True)
        replaced = {"etc/glint/glint.toml": show("systemd/glint.toml"),
                    "usr/lib/systemd/system/glintd.service": show("systemd/glintd.service")}
        with open(f"{folder}/DEBIAN/control") as file:
            control = re.sub(r"^Depends: .*$", "Depends: libc6", file.read(), flags=re.M)
        replaced["DEBIAN/control"] = re.sub(r"^Version: .*$", "Version: 0.1.0-1", control, flags=re.M)
        for name, text in replaced.items():
            with open(f"{folder}/{name}", "w") as file:
                file.write(text)
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "-b", folder, out], check=True, stdout=subprocess.DEVNULL)


class Daemon:
    """glintd run, until it is stopped."""

    def __init__(self, debian):
        self.log = tempfile.TemporaryFile("w+")
        words = debian.command("glintd", "run", "--config", "/etc/glint/glint.toml")
        self.process = subprocess.Popen(words, stdout=self.log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)

    def stop(self):
        """What it has logged."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self.log.seek(0)
        return self.log.read()


class Stand:
    """What 0.1 leaves in the state folder, where its program is not at hand."""
    DATABASE = b"redb\x1a\x0a" + bytes(500)

    def __init__(self, debian):
        self.state = debian.path(STATE)

    def write(self, name, content):
        os.makedirs(self.state, exist_ok=True)
        with open(f"{self.state}/{name}", "wb") as file:
            file.write(content)

    def events(self):
        """Three events wait, and the device is paused."""
        event = {"specversion": "1.0", "id": "", "source": "glint/kiosk", "type": "glint.movement.v1",
                 "datacontenttype": "application/json", "data": {"kind": "micro"}}
        lines = [json.dumps({**event, "id": f"{n:032x}"}, separators=(",", ":")).encode() for n in (10, 11, 12)]
        self.write("outbox.redb", self.DATABASE + b"\0\1".join(lines) + bytes(200))
        self.write("outbox.paused", b"")

    def start(self):
        """It takes the later outbox for a damaged database."""
        os.rename(f"{self.state}/outbox.redb", f"{self.state}/outbox.damaged-{int(time.time())}")
        self.write("outbox.redb", self.DATABASE)


def ids(debian):
    """Events in any file of the state folder, whatever its format."""
    found = set()
    for name in os.listdir(debian.path(STATE)):
        path = debian.path(f"{STATE}/{name}")
        if os.path.isfile(path):
            with open(path, "rb") as file:
                found.update(re.findall(rb'"id":"([0-9a-f]{32})"', file.read()))
    return found


def wait(seconds, condition):
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.2)
    return condition()


def settle(debian, seconds=4):
    """A short run; its log."""
    daemon = Daemon(debian)
    time.sleep(seconds)
    return daemon.stop()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def story(debian, told, port, real):
    configuration = debian.path("/etc/glint/glint.toml")
    status, out = packages.dpkg_installs(debian, "/trial/old.deb")
    told.step("0.1 is installed", status == 0, out)
    with open(configuration) as file:
        edited = file.read().replace('kind = "v4l2"', 'kind = "synthetic"').replace("localhost:1883", f"127.0.0.1:{port}")
    edited = edited.replace('id = "glint"', 'id = "kiosk"') + "# edited\n"
    with open(configuration, "w") as file:
        file.write(edited)

    enough = paused = True
    log = ""
    if real:
        daemon = Daemon(debian)
        enough = wait(90, lambda: os.path.isdir(debian.path(STATE)) and len(ids(debian)) >= 3)
        daemon.process.send_signal(signal.SIGUSR1)
        paused = wait(20, lambda: os.path.exists(debian.path(MARKER)))
        log = daemon.stop()
    else:
        Stand(debian).events()
    told.step("events wait, and the device is paused", enough and paused, log)
    accepted = ids(debian)
    print(f"     {len(accepted)} events wait", flush=True)

    def holds(what, log):
        state = sorted(os.listdir(debian.path(STATE)))
        with open(configuration) as file:
            same = file.read() == edited
        told.step(f"{what}: edited file kept, still paused, all events there", same and MARKER.split("/")[-1] in state
                   and accepted <= ids(debian), f"same file: {same}; {state}; {len(ids(debian))} events\n{log}")
        print(f"     {' '.join(state)}", flush=True)

    for version, what in (("new", "upgraded"), ("old", "taken back to 0.1"), ("new", "upgraded again")):
        status, out = packages.dpkg_installs(debian, f"/trial/{version}.deb")
        told.step(f"dpkg: {what}", status == 0, out)
        if version == "old" and not real:
            Stand(debian).start()
            log = ""
        else:
            log = settle(debian)
        holds(what, log)
        if version == "old" and real:
            print("     0.1 says: " + next((line for line in log.splitlines() if "outbox" in line), "nothing"), flush=True)

    # The broker is there at last.
    conf = f"{debian.temporary.name}/mosquitto.conf"
    with open(conf, "w") as file:
        file.write(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
    environment = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin"}
    broker = subprocess.Popen(["mosquitto", "-c", conf], stderr=subprocess.DEVNULL, env=environment)
    time.sleep(1)
    heard = subprocess.Popen(["mosquitto_sub", "-p", str(port), "-t", "glint/#", "-v"], stdout=subprocess.PIPE, text=True)
    daemon = Daemon(debian)
    time.sleep(10)
    log = daemon.stop()
    heard.terminate()
    lines = heard.communicate()[0].splitlines()
    broker.terminate()
    events = {json.loads(line.split(" ", 1)[1])["id"].encode() for line in lines if "/event {" in line}
    told.step(f"the broker hears all {len(accepted)} events", accepted <= events, f"{sorted(accepted - events)}\n{log}")
    told.step("and that the device is paused", any('"state":"paused"' in line for line in lines), "\n".join(lines))

    outbox = debian.path(f"{STATE}/outbox.redb")
    later = b"glint outbox 2\n\xff" + b"what no one here can read"
    with open(outbox, "wb") as file:
        file.write(later)
    log = settle(debian)
    with open(outbox, "rb") as file:
        kept = file.read() == later
    named = [line for line in log.splitlines() if "newer glintd" in line and "/var/lib/glint/outbox.redb" in line]
    told.step("an outbox of a later format is refused by name, and stays", kept and named, log)
    print("     " + (named or [""])[0], flush=True)


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__)
    new, old = [*map(os.path.abspath, sys.argv[1:]), None][:2]
    told = packages.Trial("updown")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        old_package(new, old, f"{folder}/old.deb")
        subprocess.run(["cp", new, f"{folder}/new.deb"], check=True)
        with packages.Debian("bookworm-amd64", folder) as debian:
            story(debian, told, free_port(), bool(old))
    sys.exit(bool(told.failed))


if __name__ == "__main__":
    main()
