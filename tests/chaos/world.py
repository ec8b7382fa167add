"""The broker and the devices that the faults befall."""
import os
import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from wire import Client, Proxy

MOSQUITTO = ("/usr/sbin/mosquitto", "/usr/bin/mosquitto", "/usr/local/sbin/mosquitto")
FAKETIME = "libfaketimeMT.so.1"
TMPFS_BYTES = 512 << 10
ACCEPTED = re.compile(r'event accepted id="([0-9a-f]+)"( on_disk=false)?')
WRITTEN = re.compile(r'event is on disk now id="([0-9a-f]+)"')


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def wait(what, seconds, done):
    """Waits until `done`; says so where it does not come to that."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if done():
            return True
        time.sleep(0.02)
    print(f"chaos: not within {seconds} s: {what}", flush=True)
    return False


class Broker:
    def __init__(self, folder):
        self.program = next((p for p in MOSQUITTO if os.path.exists(p)), None)
        self.folder, self.port, self.process = Path(folder), free_port(), None
        self.folder.mkdir(parents=True)
        self.configuration = self.folder / "mosquitto.conf"

    def start(self, persistence=True):
        store = "autosave_interval 1\nautosave_on_changes true\n" if persistence else ""
        self.configuration.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser {os.environ.get('USER', 'root')}\n"
            f"max_queued_messages 0\npersistence {str(persistence).lower()}\n"
            f"persistence_location {self.folder}/\n{store}")
        self.process = subprocess.Popen([self.program, "-c", self.configuration],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait("the broker listens", 10, self.listens)

    def listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.wait(20)


def faketime():
    """The library that steps a clock, if it is installed."""
    found = sorted(Path("/usr/lib").glob(f"*/faketime/{FAKETIME}"))
    return found[0] if found else None


class Device:
    """A daemon behind a proxy, and what its log has accepted."""

    def __init__(self, folder, broker, protocol, command, tmpfs):
        self.name, self.command, self.broker = "dev" + protocol.replace(".", ""), command, broker
        self.protocol, self.folder = protocol, Path(folder) / self.name_of(protocol)
        self.state, self.process, self.reader = self.folder / "state", None, None
        self.state.mkdir(parents=True)
        self.tmpfs = tmpfs and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_BYTES}", "none", self.state], capture_output=True
        ).returncode == 0
        self.outbox, self.clock = self.state / "outbox", self.folder / "clock"
        self.clock.write_text("+0\n")
        self.proxy = Proxy(broker.port, protocol == "5")
        self.accepted, self.in_memory, self.panics, self.starts = [], set(), 0, 0
        self.configuration = self.folder / "g.toml"
        self.configuration.write_text(
            f'device.id = "{self.name}"\nsource.kind = "synthetic"\ncamera.fps = 22\n'
            f'mqtt.url = "mqtt://127.0.0.1:{self.proxy.port}"\nmqtt.protocol = "{protocol}"\n'
            f'outbox.path = "{self.outbox}"\nhealth.interval_s = 1\n')
        self.log = open(self.folder / "log", "a")

    @staticmethod
    def name_of(protocol):
        return "mqtt-" + protocol

    def start(self):
        environment = dict(os.environ, GLINT_CHAOS_CONFIG=str(self.configuration), TZ="UTC")
        for name in ("JOURNAL_STREAM", "NOTIFY_SOCKET", "RUST_LOG", "STATE_DIRECTORY"):
            environment.pop(name, None)
        if library := faketime():
            environment |= {"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(self.clock),
                            "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        self.process = subprocess.Popen(self.command(self.configuration), env=environment, text=True,
                                        errors="replace", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.reader = threading.Thread(target=self.read, args=(self.process,), daemon=True)
        self.reader.start()
        self.starts += 1

    def read(self, process):
        for line in process.stderr:
            self.log.write(line)
            self.panics += "panicked" in line
            if found := ACCEPTED.search(line):
                self.accepted.append(found.group(1))
                if found.group(2):
                    self.in_memory.add(found.group(1))
            elif found := WRITTEN.search(line):
                self.in_memory.discard(found.group(1))
        self.log.flush()

    def end(self, number):
        """The exit status; what only memory held ends with it where it is killed."""
        self.process.send_signal(number)
        try:
            status = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = "hangs"
        self.reader.join(5)
        return status

    def connected(self, since):
        return self.proxy.last_acknowledged > since

    def client_id(self):
        return f"glint-{self.name}"

    def topic(self, name):
        return f"glint/{self.name}/{name}"

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.tmpfs:
            subprocess.run(["umount", "-l", self.state], check=False)


def observer(broker, name):
    """A newcomer, who hears what is retained."""
    return Client(broker.port, name, ["#"])
