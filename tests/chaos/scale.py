#!/usr/bin/env python3
"""Many devices on one Mosquitto, on this machine: a storm of connections, the latency of events, what the broker takes.

  tests/chaos/scale.py [--devices 1000] [--seconds 30] [--every 10] [--event-bytes 700]

The devices are simulated: connections of this program that do on the wire what glintd does (MQTT 3.1.1, will, birth, retained
reports, events at QoS 1, one every --every seconds). The broker is killed once, and all of them come back with glintd's waits:
0.25 s, doubled after each failure, give or take a quarter. One subscriber hears all events.
"""
import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from wire import packet, published, text, varint
from world import Broker

HEALTH_BYTES = 900


class Peer:
    """One end of a connection, for asyncio."""

    async def connect(self, port, name, topics=(), will=None):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        flags = 2 | (0x2c if will else 0)
        body = text("MQTT") + b"\x04" + bytes([flags]) + b"\x00\x3c" + text(name)
        self.send(packet(0x10, body + (text(will) + text("offline") if will else b"")))
        if (await self.read())[0] != 2:
            raise ConnectionError("no CONNACK")
        if topics:
            self.send(packet(0x82, b"\x00\x01" + b"".join(text(t) + b"\x01" for t in topics)))

    def send(self, data):
        self.writer.write(data)

    def publish(self, topic, content, packet_id, retain=False):
        self.send(packet(0x32 | retain, text(topic) + packet_id.to_bytes(2, "big") + content))

    async def read(self):
        first = (await self.reader.readexactly(1))[0]
        head = b""
        while not head or head[-1] & 128:
            head += await self.reader.readexactly(1)
        return first >> 4, first & 15, await self.reader.readexactly(varint(head, 0)[0])


class Fleet:
    def __init__(self, arguments, port):
        self.arguments, self.port = arguments, port
        self.connected, self.attempts, self.latencies, self.sent = 0, 0, [], 0
        self.acknowledged, self.heard, self.stop = 0, 0, False

    async def device(self, number):
        name, wait = f"sim{number:05}", 0.25
        base = f"glint/{name}"
        while not self.stop:
            self.attempts += 1
            peer = Peer()
            try:
                await peer.connect(self.port, name, [f"{base}/{c}/set" for c in ("pause", "resume", "calibrate", "purge")],
                                   f"{base}/status")
                self.connected += 1
                try:
                    await self.live(peer, base)
                finally:
                    self.connected -= 1
            except (OSError, ConnectionError, asyncio.IncompleteReadError):
                pass
            await asyncio.sleep(wait * random.uniform(0.75, 1.25))
            wait = min(2 * wait, 30)

    async def live(self, peer, base):
        for report, content in (("status", b"online"), ("state", b"{}"), ("capabilities", b"x" * 600),
                                ("health", b"x" * HEALTH_BYTES)):
            peer.publish(f"{base}/{report}", content, 1, retain=True)
        acknowledgements = asyncio.create_task(self.acknowledge(peer))
        packet_id = 1
        try:
            await asyncio.sleep(random.uniform(0, self.arguments.every))
            while not self.stop and not acknowledgements.done():
                packet_id = packet_id % 60000 + 2
                stamp = time.monotonic_ns().to_bytes(8, "big")
                peer.publish(f"{base}/event", stamp.ljust(self.arguments.event_bytes, b"x"), packet_id)
                self.sent += 1
                await asyncio.wait([acknowledgements], timeout=self.arguments.every)
            if acknowledgements.done():
                acknowledgements.result()
        finally:
            acknowledgements.cancel()
            peer.writer.close()

    async def acknowledge(self, peer):
        while True:
            kind, _, body = await peer.read()
            self.acknowledged += kind == 4 and int.from_bytes(body[:2], "big") > 1

    async def subscriber(self):
        while not self.stop:
            peer = Peer()
            try:
                await peer.connect(self.port, "subscriber", ["glint/+/event"])
                while True:
                    kind, flags, body = await peer.read()
                    if kind == 3:
                        _, packet_id, content = published(flags, body, False)
                        self.latencies.append((time.monotonic_ns() - int.from_bytes(content[:8], "big")) / 1e6)
                        self.heard += 1
                        if flags & 6:
                            peer.send(b"\x40\x02" + packet_id.to_bytes(2, "big"))
            except (OSError, ConnectionError, asyncio.IncompleteReadError):
                await asyncio.sleep(0.25)

    async def all_connected(self, seconds):
        begin = time.monotonic()
        while self.connected < self.arguments.devices and time.monotonic() - begin < seconds:
            await asyncio.sleep(0.02)
        return time.monotonic() - begin


def cost(pid):
    """Processor seconds and resident MiB of the broker."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), resident / (1 << 20)


def percentile(values, share):
    return sorted(values)[int(share * (len(values) - 1))] if values else float("nan")


async def run(arguments, broker):
    fleet = Fleet(arguments, broker.port)
    tasks = [asyncio.create_task(fleet.subscriber())]
    await asyncio.sleep(0.3)
    tasks += [asyncio.create_task(fleet.device(n)) for n in range(arguments.devices)]
    first = await fleet.all_connected(60)
    print(f"all of {arguments.devices} connected at once: {first:.1f} s, {fleet.attempts} attempts, "
          f"{fleet.connected} connected", flush=True)
    await asyncio.sleep(3)
    fleet.latencies.clear()
    before, begin, sent = cost(broker.process.pid), time.monotonic(), fleet.sent
    await asyncio.sleep(arguments.seconds)
    after, took = cost(broker.process.pid), time.monotonic() - begin
    print(f"steady: {(fleet.sent - sent) / took:.0f} events/s, publish to subscriber p50 {percentile(fleet.latencies, .5):.1f} ms, "
          f"p99 {percentile(fleet.latencies, .99):.1f} ms; broker {100 * (after[0] - before[0]) / took:.1f} % of a core, "
          f"{after[1]:.1f} MiB", flush=True)
    broker.end(signal.SIGKILL)
    await asyncio.sleep(2)
    attempts = fleet.attempts
    broker.start()
    again = await fleet.all_connected(60)
    print(f"broker killed, away for 2 s: all back {again:.1f} s after its start, {fleet.attempts - attempts} attempts, "
          f"{fleet.connected} connected", flush=True)
    whole = fleet.connected == arguments.devices
    fleet.stop = True
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return 0 if whole else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--every", type=float, default=10)
    parser.add_argument("--event-bytes", type=int, default=700)
    arguments = parser.parse_args()
    import resource
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    with tempfile.TemporaryDirectory(prefix="glint-scale-") as folder:
        broker = Broker(folder + "/broker")
        if not broker.program:
            print("scale: skipped: mosquitto is not installed")
            return 77
        broker.start()
        try:
            return asyncio.run(run(arguments, broker))
        finally:
            if broker.process.poll() is None:
                broker.process.kill()
                broker.process.wait()


if __name__ == "__main__":
    sys.exit(main())
