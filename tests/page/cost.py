"""Processor time of the threads `vision` and `page` for a frame: nobody watches, the page is open, the picture is confirmed.

  python3 tests/page/cost.py target/release/glintd [SECONDS]
"""
import http.client
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time

FPS = 30


class Device:
    """A glintd with the synthetic subject and the page."""

    def __init__(self, executable, folder):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        config = pathlib.Path(folder, "glint.toml")
        config.write_text(f'device.id = "cost"\nsource.kind = "synthetic"\ncamera.fps = {FPS}\nmqtt.url = "mqtt://127.0.0.1:9"\n'
                          f'outbox.path = "{folder}/outbox.redb"\npage.listen = "127.0.0.1:{self.port}"\n')
        self.process = subprocess.Popen([executable, "run", "--config", str(config)], stderr=subprocess.DEVNULL)

    def ask(self, method, path, session=""):
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request(method, path, headers={"X-Glint-Session": session})
        return connection.getresponse().read()

    def frames(self):
        lines = self.ask("GET", "/metrics").decode().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("glint_frames_total "))

    def seconds(self):
        """Processor time by thread."""
        found = {}
        for stat in pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/stat"):
            name, rest = stat.read_text().split("(", 1)[1].rsplit(")", 1)
            user, system = rest.split()[11:13]
            found[name] = (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
        return found

    def watch(self):
        """Opens the page; returns the session. Somebody reads what comes."""
        stream = socket.create_connection(("127.0.0.1", self.port))
        stream.sendall(f"GET /live HTTP/1.1\r\nHost: localhost:{self.port}\r\n\r\n".encode())
        text = b""
        while text.count(b'"session":"') == 0 or len(text.split(b'"session":"')[1]) < 32:
            text += stream.recv(65536)
        threading.Thread(target=lambda: [None for _ in iter(lambda: stream.recv(65536), b"")], daemon=True).start()
        return text.split(b'"session":"')[1][:32].decode()


def measure(device, name, seconds):
    time.sleep(2)
    before, first = device.seconds(), device.frames()
    time.sleep(seconds)
    after, frames = device.seconds(), device.frames() - first
    cost = ", ".join(f"{thread} {1000 * (after[thread] - before[thread]) / frames:.2f}" for thread in ("vision", "page"))
    print(f"{name}: {cost} ms of a processor for a frame, {frames / seconds:.1f} frames/s", flush=True)


def main():
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    with tempfile.TemporaryDirectory() as folder:
        device = Device(os.path.abspath(sys.argv[1]), folder)
        try:
            time.sleep(5)
            measure(device, "nobody watches", seconds)
            session = device.watch()
            measure(device, "the page is open", seconds)
            device.ask("POST", "/picture/confirm", session)

            def look():
                while device.process.poll() is None:
                    try:
                        device.ask("GET", "/picture", session)
                    except OSError:
                        return  # the end
                    time.sleep(0.2)

            threading.Thread(target=look, daemon=True).start()
            measure(device, "the picture is confirmed", seconds)
        finally:
            device.process.terminate()
            device.process.wait()


main()
