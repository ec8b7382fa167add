#!/usr/bin/env python3
"""live.py GLINTD: the topic `au` of a daemon on the synthetic subject, through Mosquitto, into pandas and into LSL."""

import socket
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import au_stream
import pylsl

GLINTD = sys.argv[1]
HZ = 20
BRIDGE = Path(__file__).resolve().parents[2] / "examples/python/lsl_bridge.py"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def listens(port):
    for _ in range(100):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit("mosquitto does not listen")


def inlet(name):
    """The stream of the bridge."""
    found = pylsl.resolve_byprop("source_id", name, 1, timeout=20)
    assert found, f"no stream {name}"
    stream = pylsl.StreamInlet(found[0])
    stream.open_stream(timeout=10)
    return stream


def pull(stream, seconds):
    """Samples and their times."""
    values, times, end = [], [], time.monotonic() + seconds
    while time.monotonic() < end:
        value, at = stream.pull_sample(timeout=0.2)
        if value is not None:
            values.append(value)
            times.append(at)
    return values, times


def main(folder):
    port = free_port()
    (folder / "m.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    (folder / "g.toml").write_text(
        f'device.id = "bench"\nsource.kind = "synthetic"\nmqtt.url = "mqtt://127.0.0.1:{port}"\n'
        f'outbox.path = "{folder}/outbox"\ndeployment.purpose = "research"\nstream.au_hz = {HZ}\n'
    )
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    children = [subprocess.Popen(["mosquitto", "-c", folder / "m.conf"], **quiet)]
    try:
        listens(port)
        children.append(subprocess.Popen([GLINTD, "run", "--config", folder / "g.toml"], **quiet))
        bridge = [sys.executable, BRIDGE, "--port", str(port), "--device", "bench"]
        children.append(subprocess.Popen(bridge, **quiet))
        au, events = inlet("glint-bench-au"), inlet("glint-bench-events")

        # A machine that is busy with other work takes longer for the first movement.
        for _ in range(10):
            table, found = au_stream.collect("glint/bench", 8, port=port)
            if len(found):
                break
        units = [c for c in table if c.startswith("AU")]
        rate = (len(table) - 1) / ((table["at_ns"].iloc[-1] - table["at_ns"].iloc[0]) / 1e9)
        assert len(units) == 33 and table["face"].all() and rate <= 1.05 * HZ, (units, rate)
        assert len(found), "no event in 80 s"
        tools = f"paho-mqtt {version('paho-mqtt')}, pandas {version('pandas')}"
        print(f"{'au':9} {tools:42} {len(table)} samples, {rate:.2f} a "
              f"second, {len(units)} units; {len(found)} events")

        # What came so far lies in the buffers of the inlets: the markers of the same events are among them.
        labels = au.info().get_channel_labels()
        assert labels == ["quality", *units], labels
        values, times = pull(au, 1)
        markers, at = pull(events, 1)
        onsets = [ns / 1e9 for ns in found["data.onset_ns"]]
        errors = [min(abs(t - onset) for t in at) for onset in onsets]
        assert max(errors) < 1e-6, (at, onsets)
        # On one clock; how far behind depends on what else the machine does.
        assert values and times[-1] < pylsl.local_clock(), times
        au.close_stream()
        events.close_stream()
        tools = f"pylsl {version('pylsl')}, liblsl {pylsl.library_version() / 100}"
        print(f"{'lsl':9} {tools:42} {len(values)} samples of "
              f"{len(labels)} channels; {len(markers)} markers, off their frames by {max(errors) * 1e9:.0f} ns at most: "
              f"{markers[0][0]}")
    finally:
        for child in reversed(children):
            child.terminate()
            child.wait()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        main(Path(name))
