#!/usr/bin/env python3
"""Hands the live topics of a device on to Lab Streaming Layer: a stream of AU intensities and one of markers.

    python lsl_bridge.py --host broker --device door

| stream | type | channels |
|---|---|---|
| glint-DEVICE-au | FACS | quality, then one for each unit (AU01L, ...), of the largest face; NaN while it cannot be measured |
| glint-DEVICE-events | Markers | one text: micro/AU12/AU06L, at the onset |

Samples and markers carry the time of the frame, not that of their arrival. On the machine of the camera (the same boot)
this is exact, because LSL's clock is the kernel's monotonic clock. From another machine the time goes by the wall clocks of
both, which have to be synchronised.
"""

import math
import time
from datetime import datetime
from pathlib import Path

import pylsl

from au_stream import arguments, listen

BOOT = Path("/proc/sys/kernel/random/boot_id")
HERE = BOOT.read_text().strip() if BOOT.exists() else None


def lsl_time(boot_id, ns, wall):
    """LSL's time of an instant: nanoseconds of the monotonic clock of a boot, and the same as a date."""
    if boot_id == HERE:
        return ns / 1e9
    age = time.time() - datetime.fromisoformat(wall).timestamp()
    return pylsl.local_clock() - age


def label(au):
    """`AU12L`, as the stream names a unit."""
    return f"AU{au['au']:02}" + au["side"].replace("B", "")


class Bridge:
    """The outlets of a device. That of samples is made with the first one that names the units."""

    def __init__(self, device):
        self.device = device
        self.units, self.au = None, None
        info = pylsl.StreamInfo(
            f"glint-{device}-events", "Markers", 1, pylsl.IRREGULAR_RATE, pylsl.cf_string, f"glint-{device}-events"
        )
        self.events = pylsl.StreamOutlet(info)

    def open(self, units):
        """Makes the outlet of samples."""
        self.units = units
        name = f"glint-{self.device}-au"
        # Irregular: a sample is dropped where the network is slow.
        info = pylsl.StreamInfo(name, "FACS", 1 + len(units), pylsl.IRREGULAR_RATE, pylsl.cf_float32, name)
        channels = info.desc().append_child("channels")
        for channel, unit in [("quality", "0 to 1"), *((u, "FACS intensity, 0 to 5") for u in units)]:
            child = channels.append_child("channel")
            child.append_child_value("label", channel).append_child_value("unit", unit)
        self.au = pylsl.StreamOutlet(info)

    def on_sample(self, sample):
        """A message of the topic `au`."""
        face = sample["faces"][0] if sample["faces"] else {"quality": 0.0, "aus": None}
        if self.au is None:
            if face["aus"] is None:
                return
            self.open(list(face["aus"]))
        aus = face["aus"] or {}
        values = [face["quality"], *(aus.get(unit, math.nan) for unit in self.units)]
        self.au.push_sample(values, lsl_time(sample["boot_id"], sample["at_ns"], sample["time"]))

    def on_event(self, event):
        """A message of the topic `event`. It comes after the movement has ended, and is stamped with its onset."""
        data = event["data"]
        marker = "/".join([data["kind"], *map(label, data["aus"])])
        at = lsl_time(data["clock"]["boot_id"], data["onset_ns"], event["time"])
        self.events.push_sample([marker], at)


if __name__ == "__main__":
    args = arguments(__doc__.splitlines()[0]).parse_args()
    bridge = Bridge(args.device)
    listen(f"{args.prefix}/{args.device}", bridge.on_sample, bridge.on_event, args.host, args.port).loop_forever()
