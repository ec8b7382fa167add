#!/usr/bin/env python3
"""Faults, one after the other, on two daemons (MQTT 3.1.1 and 5) and their Mosquitto: nothing accepted is lost.

  tests/chaos/run.py --device BIN [--rounds 500] [--seconds 3600] [--seed 1]   unit-test program of glintd
  tests/chaos/run.py --glintd BIN ...                                          glintd itself, on the synthetic subject

The unit-test program is the daemon with a source and a vision that give ten known events a second, and waits of at most
a second between two connections, so that each round hits a connected device. A round is one fault. It ends when the
rounds or the seconds are over. Prints a table in Markdown; exit status 0 if every promise held, 77 without Mosquitto.
"""
import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter

from faults import usable
from world import Broker, Device, observer, wait

PROTOCOLS = ("3.1.1", "5")
# So long a round waits for events to flow again before the next fault.
PATIENCE_S = 6
# So long the outboxes have to become empty in the end.
DRAIN_S = 60


class World:
    """Broker, devices, and what is known of them from outside."""

    def __init__(self, folder, command):
        self.broker = Broker(folder + "/broker")
        self.devices, self.flips, self.complaints = [], Counter(), []
        # ids that only the memory of a killed daemon held: nothing was promised of them
        self.forgone = {p: set() for p in PROTOCOLS}
        if self.broker.program:
            self.broker.start()
            self.devices = [Device(folder, self.broker, p, command, os.geteuid() == 0) for p in PROTOCOLS]
            for device in self.devices:
                device.start()

    def kill(self, device):
        device.end(signal.SIGKILL)
        self.forgone[device.protocol] |= device.in_memory
        device.in_memory.clear()

    def complain(self, device, what):
        self.complaints.append(f"MQTT {device.protocol}: {what}")
        print(f"chaos: {self.complaints[-1]}", flush=True)

    def calm(self):
        """Waits until events are acknowledged again."""
        since = time.monotonic()
        return wait("events flow again", PATIENCE_S, lambda: all(d.connected(since) for d in self.devices))

    def close(self):
        for device in self.devices:
            device.close()
        if self.broker.process and self.broker.process.poll() is None:
            self.broker.process.send_signal(signal.SIGCONT)
            self.broker.process.kill()
            self.broker.process.wait()


def settle(world):
    """Lifts every fault, lets the outboxes run empty, and compares what is retained with what is so."""
    import json
    for device in world.devices:
        device.proxy.mode, device.proxy.delay_s = "pass", 0.0
        device.clock.write_text("+0\n")
    time.sleep(2)
    for device in world.devices:
        device.process.send_signal(signal.SIGUSR1)
    seen = observer(world.broker, "observer")

    def report(device, name):
        try:
            return json.loads(seen.latest.get(device.topic(name)) or "{}")
        except ValueError:
            return {}

    def right(device):
        outbox = report(device, "health").get("outbox", {"events": 1})
        return (report(device, "state").get("state") == "paused" and outbox["events"] == 0
                and seen.latest.get(device.topic("status")) == "online"
                and report(device, "health").get("state") == "paused")

    retained = {}
    for device in world.devices:
        retained[device.protocol] = wait(f"MQTT {device.protocol}: empty outbox, paused and online", DRAIN_S,
                                         lambda device=device: right(device))
        device.process.send_signal(signal.SIGUSR2)
    for device in world.devices:
        retained[device.protocol] &= wait("streaming again", 10, lambda device=device:
                                          report(device, "state").get("state") in ("streaming", "waiting"))
        status = device.end(signal.SIGTERM)
        if status != 0:
            world.complain(device, f"the end has status {status}")
    time.sleep(0.5)
    late = observer(world.broker, "late")
    time.sleep(1)
    lost = {}
    for device in world.devices:
        retained[device.protocol] &= late.latest.get(device.topic("status")) == "offline"
        for name in ("state", "health"):
            retained[device.protocol] &= '"state":"stopped"' in (late.latest.get(device.topic(name)) or "")
        lost[device.protocol] = report(device, "health").get("outbox", {}).get("lost", {})
    return retained, lost


def verdict(world, device, retained, lost):
    """The row of a protocol, and what is wrong."""
    proxy, wrong = device.proxy, []
    promised = set(device.accepted) - (world.forgone[device.protocol] - proxy.acknowledged)
    missing = promised - proxy.acknowledged
    damaged, others = lost.get("damaged", 0), sum(v for k, v in lost.items() if k != "damaged")
    # A flip costs one event at most: that of the record it hits, if it is not delivered yet.
    if len(missing) > min(damaged, world.flips[device.protocol]) + others:
        wrong.append(f"{len(missing)} events lost, {damaged} damaged and {others} others counted")
    contents, ids, order, first = {}, {}, Counter(), set()
    altered = 0
    for event, track, onset, content in proxy.published:
        altered += contents.setdefault(event, content) != content
        ids.setdefault((track, onset), set()).add(event)
        if event not in first:
            first.add(event)
            order["inverted"] += onset < order[track]
            order[track] = max(order[track], onset)
    second = sum(len(i) > 1 for i in ids.values())
    for name, count in (("altered", altered), ("with a second id", second), ("out of order", order["inverted"]),
                        ("panics", device.panics)):
        if count:
            wrong.append(f"{count} {name}")
    if not retained:
        wrong.append("what is retained is not so")
    row = (device.protocol, len(promised), len(promised & proxy.acknowledged), len(missing),
           world.flips[device.protocol], damaged, others, len(world.forgone[device.protocol] - proxy.acknowledged),
           len(proxy.published) - len(first), second, altered, order["inverted"], proxy.connections, device.starts,
           "yes" if retained else "no")
    return row, [f"MQTT {device.protocol}: {w}" for w in wrong]


COLUMNS = ("MQTT", "accepted", "delivered", "missing", "flips", "counted as damaged", "counted otherwise",
           "held by memory alone when killed", "sent again", "second ids", "altered", "out of order", "connections",
           "starts", "retained state true")


def table(columns, rows):
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print(flush=True)


def chaos(world, arguments):
    rnd = random.Random(arguments.seed)
    faults = usable(world.devices)
    world.calm()
    counts, silent, begin = Counter(), Counter(), time.monotonic()
    rounds = 0
    # Each once at least, in an order of its own.
    queue = rnd.sample(faults, len(faults))
    while rounds < arguments.rounds and time.monotonic() - begin < arguments.seconds:
        name, fault, _ = queue.pop() if queue else rnd.choices(faults, [f[2] for f in faults])[0]
        fault(world, rnd)
        for device in world.devices:
            if device.process.poll() is not None:
                world.complain(device, f"ended with {device.process.returncode} by: {name}")
                device.start()
        counts[name] += 1
        rounds += 1
        silent[name] += not world.calm()
        time.sleep(rnd.uniform(0, 0.4))
        if rounds % 25 == 0:
            print(f"chaos: {rounds} rounds in {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    seconds = time.monotonic() - begin
    retained, lost = settle(world)
    rows, wrong = [], list(world.complaints)
    for device in world.devices:
        row, problems = verdict(world, device, retained[device.protocol], lost[device.protocol])
        rows.append(row)
        wrong += problems
    print(f"{rounds} rounds in {seconds:.0f} s, seed {arguments.seed}; after {silent.total()} of them no event of one "
          f"of the devices was acknowledged within {PATIENCE_S} s\n")
    table(("fault", "rounds", f"silent for {PATIENCE_S} s after it"),
          [(name, counts[name], silent[name]) for name, _, _ in faults])
    table(COLUMNS, rows)
    for problem in wrong:
        print(f"chaos: FAILED: {problem}", flush=True)
    return 1 if wrong else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    program = parser.add_mutually_exclusive_group(required=True)
    program.add_argument("--device", help="unit-test program of glintd")
    program.add_argument("--glintd", help="glintd")
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", help="folder to work in, which stays")
    arguments = parser.parse_args()
    test = [arguments.device, "--ignored", "--exact", "daemon::runtime::chaos_test::device", "--nocapture"]
    command = (lambda config: test) if arguments.device else \
        (lambda config: [arguments.glintd, "run", "--config", str(config)])
    folder = arguments.keep or tempfile.mkdtemp(prefix="glint-chaos-")
    world = None
    try:
        world = World(folder, command)
        if not world.broker.program:
            print("chaos: skipped: mosquitto is not installed", flush=True)
            return 77
        return chaos(world, arguments)
    finally:
        if world:
            world.close()
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
