#!/usr/bin/env python3
"""The live topics of a device as pandas tables: AU intensities (`stream.au_hz` in the configuration) and events.

    python au_stream.py --host broker --device door --seconds 10
"""

import argparse
import json
import time

import paho.mqtt.client as mqtt
import pandas as pd


def flat(sample):
    """A sample of the topic `au` as a row: the largest face alone."""
    row = {"time": sample["time"], "at_ns": sample["at_ns"], "face": sample["face"], "reason": sample["reason"]}
    for face in sample["faces"][:1]:
        row |= {"track": face["track"], "quality": face["quality"], **(face["aus"] or {})}
    return row


def listen(base, on_sample, on_event, host="localhost", port=1883):
    """Connects and subscribes; the caller's functions get each message as a dict. Returns the client."""

    def on_connect(client, _userdata, _flags, reason, _properties):
        if reason.is_failure:
            raise SystemExit(f"the broker refuses the connection: {reason}")
        # Samples come once or not at all; events are acknowledged.
        client.subscribe([(f"{base}/au", 0), (f"{base}/event", 1)])

    def on_message(_client, _userdata, message):
        to = on_event if message.topic.endswith("/event") else on_sample
        to(json.loads(message.payload))

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.on_connect, client.on_message = on_connect, on_message
    client.connect(host, port)
    return client


def collect(base, seconds, host="localhost", port=1883):
    """What comes within a time: a table of samples and one of events."""
    samples, events = [], []
    client = listen(base, lambda s: samples.append(flat(s)), events.append, host, port)
    client.loop_start()
    time.sleep(seconds)
    client.loop_stop()
    client.disconnect()
    table = pd.DataFrame(samples)
    if len(table):
        table = table.set_index(pd.to_datetime(table.pop("time")))
    return table, pd.json_normalize(events)


def arguments(description):
    """What both programs of this folder that listen are told."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--prefix", default="glint", help="mqtt.prefix")
    parser.add_argument("--device", required=True, help="device.id")
    return parser


if __name__ == "__main__":
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10)
    args = parser.parse_args()
    au, found = collect(f"{args.prefix}/{args.device}", args.seconds, args.host, args.port)
    print(au, found, sep="\n")
