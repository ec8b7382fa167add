"""What the checks inside the machine share: commands, the journal, the unit, a broker and its reader, results."""
import json
import os
import socket
import subprocess
import threading
import time

HOST = "/host"
CONFIG = "/etc/glint/glint.toml"
# An emulated machine is slow. Times that the unit itself fixes are not stretched.
PATIENCE = float(open(f"{HOST}/patience").read()) if os.path.exists(f"{HOST}/patience") else 3.0


def sh(command, check=False):
    """Runs a line of shell; its output, both streams."""
    done = subprocess.run(command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if check and done.returncode:
        raise RuntimeError(f"{command}: status {done.returncode}: {done.stdout}")
    return done.stdout.strip()


def wait(seconds, true, step=0.1):
    """Waits until `true()`; its value, or None after so many seconds (times the machine's slowness)."""
    end = time.monotonic() + seconds * PATIENCE
    while time.monotonic() < end:
        value = true()
        if value:
            return value
        time.sleep(step)
    return None


def record(group, name, ok, did, seconds=None, log="", code=None):
    """One line of the results; the table on the host is made of them."""
    row = {"group": group, "name": name, "ok": bool(ok), "did": did, "seconds": seconds, "log": log, "code": code}
    with open(f"{HOST}/results.jsonl", "a") as file:
        file.write(json.dumps(row) + "\n")
        file.flush()
        os.fsync(file.fileno())
    took = "" if seconds is None else f" ({seconds:.1f} s)"
    print(f"{'PASS' if ok else 'FAIL'} {group}: {name}: {did}{took} | {log}", flush=True)


def configure(text, path=CONFIG):
    """Replaces a configuration file, which everybody may read, as the package has it."""
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, 0o644)


def drop_in(unit, name, text):
    """Writes a drop-in of a unit; None deletes it."""
    folder = f"/etc/systemd/system/{unit}.service.d"
    os.makedirs(folder, exist_ok=True)
    path = f"{folder}/{name}.conf"
    if text is None:
        if os.path.exists(path):
            os.remove(path)
    else:
        configure(text, path)
    sh("systemctl daemon-reload")


class Unit:
    """A unit of glintd."""

    def __init__(self, name="glintd"):
        self.name = name

    def show(self, key):
        return sh(f"systemctl show -P {key} {self.name}")

    def state(self):
        return f"{self.show('ActiveState')} ({self.show('SubState')})"

    def memory(self):
        """Memory of the unit in words; a container may have no count of it."""
        value = self.show("MemoryCurrent")
        return f"{int(value) >> 20} MiB" if value.isdigit() else "memory not counted here"

    def processes(self):
        """Processes of the unit's user, who has no others."""
        return int(sh(f"pgrep -c -U $(awk '/^Uid/ {{print $2}}' /proc/{self.pid()}/status)"))

    def pid(self):
        return int(self.show("MainPID") or 0)

    def start(self):
        """Starts and waits for READY; seconds, and what systemctl says."""
        sh(f"systemctl reset-failed {self.name}")
        before = time.monotonic()
        said = sh(f"systemctl start {self.name}")
        return time.monotonic() - before, said

    def stop(self):
        before = time.monotonic()
        sh(f"systemctl stop {self.name}")
        return time.monotonic() - before

    def restart(self):
        self.stop()
        return self.start()

    def journal(self, since, pattern=None):
        """Messages since a wall-clock time (seconds), as (time, message)."""
        out = sh(f"journalctl -u {self.name} -o json --since @{since:.6f} --no-pager -q")
        found = []
        for line in out.splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            text = entry.get("MESSAGE") or ""
            # The log of glintd has its fields beside the message.
            for key in ("F_REASON", "REASON", "F_CAMERA", "F_MODE"):
                if entry.get(key):
                    text += f" {key.removeprefix('F_').lower()}={entry[key]}"
            at = int(entry["__REALTIME_TIMESTAMP"]) / 1e6
            if pattern is None or pattern in text:
                found.append((at, text))
        return found


class Broker:
    """Mosquitto on the loopback interface, and a reader of everything."""

    def __init__(self, port=1883, more="allow_anonymous true"):
        self.port, self.more = port, more
        self.heard, self.lock = [], threading.Lock()
        self.processes = []

    def start(self):
        path = f"/run/broker-{self.port}.conf"
        with open(path, "w") as file:
            file.write(f"listener {self.port} 127.0.0.1\npersistence false\nuser root\n{self.more}\n")
        server = subprocess.Popen(["mosquitto", "-c", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.processes = [server]
        if not wait(20, self.listens):
            raise RuntimeError("mosquitto does not listen")
        return self

    def listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def read(self, *login):
        reader = subprocess.Popen(
            ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(self.port), "-t", "glint/#", "-F", "%U %r %t %p", *login],
            stdout=subprocess.PIPE, text=True, bufsize=1)
        self.processes.append(reader)
        threading.Thread(target=self._collect, args=(reader,), daemon=True).start()
        time.sleep(1)
        return self

    def _collect(self, reader):
        for line in reader.stdout:
            at, _, topic, payload = (line.rstrip("\n").split(" ", 3) + [""])[:4]
            with self.lock:
                self.heard.append((float(at), topic, payload))

    def since(self, at, topic):
        """Messages of a topic that came after a wall-clock time."""
        with self.lock:
            return [(t, p) for t, name, p in self.heard if name == topic and t >= at]

    def latest(self, topic):
        found = self.since(0, topic)
        return found[-1][1] if found else ""

    def report(self, device="vm"):
        """The latest health, as an object."""
        return json.loads(self.latest(f"glint/{device}/health") or "{}")

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()
        self.processes = []
