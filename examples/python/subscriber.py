#!/usr/bin/env python3
"""Receives events of glint, each exactly once, also those that came while this program was away.

  pip install "paho-mqtt>=2.0"
  python3 subscriber.py --host broker --store events.sqlite

Each event is printed as one line of JSON. How nothing is lost and nothing comes twice:

* The broker keeps a session under --client-id (MQTT 5, clean start off, expiry --session-s) and subscribes with QoS 1, so it
  holds events while this program is away.
* An event is stored before it is acknowledged. A program that is killed in between gets it again.
* glint sends an event again where an acknowledgement was lost, and so does the broker. Both keep its id: the second is dropped.

Events are told apart by `id`; ids are forgotten after --keep-s, which has to be longer than outbox.max_age_s of the devices.
"""
import argparse
import json
import signal
import sqlite3
import sys
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, help="default: 1883, with --ca 8883")
    parser.add_argument("--topic", default="glint/+/event")
    parser.add_argument("--client-id", default="glint-subscriber", help="name of the session: one for each subscriber")
    parser.add_argument("--session-s", type=int, default=7 * 86400, help="how long the broker keeps the session")
    parser.add_argument("--store", default="events.sqlite", help="the file that holds events and ids")
    parser.add_argument("--keep-s", type=int, default=7 * 86400, help="how long an event is kept there")
    parser.add_argument("--username")
    parser.add_argument("--password-file", help="a file with the password, which is not given on the command line")
    parser.add_argument("--ca", help="PEM of the authorities; turns TLS on")
    parser.add_argument("--cert", help="PEM of the client certificate")
    parser.add_argument("--key", help="PEM of its key")
    return parser.parse_args()


class Store:
    """Events by id, on disk."""

    def __init__(self, path, keep_s):
        self.keep_s, self.pruned = keep_s, 0.0
        self.database = sqlite3.connect(path)
        # A commit is on disk before the event is acknowledged.
        self.database.execute("PRAGMA synchronous = FULL")
        self.database.execute("CREATE TABLE IF NOT EXISTS events (id TEXT PRIMARY KEY, received_s REAL, event TEXT)")
        self.database.execute("CREATE INDEX IF NOT EXISTS by_age ON events (received_s)")

    def put(self, event_id, text):
        """Whether it is new; it is on disk then."""
        now = time.time()
        with self.database:
            new = self.database.execute("INSERT OR IGNORE INTO events VALUES (?, ?, ?)", (event_id, now, text)).rowcount == 1
            if now - self.pruned > 3600:
                self.database.execute("DELETE FROM events WHERE received_s < ?", (now - self.keep_s,))
                self.pruned = now
        return new


def connect(options, store):
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, options.client_id, protocol=mqtt.MQTTv5, manual_ack=True)

    def on_connect(client, _userdata, flags, reason, _properties):
        if reason.is_failure:
            print(f"subscriber: {options.host} refuses: {reason}", file=sys.stderr)
            return
        print(f"subscriber: connected, session {'resumed' if flags.session_present else 'new'}", file=sys.stderr)
        client.subscribe(options.topic, qos=1)

    def on_subscribe(_client, _userdata, _mid, reasons, _properties):
        for reason in reasons:
            if reason.is_failure:
                print(f"subscriber: {options.topic} is refused: {reason}", file=sys.stderr)

    def on_message(client, _userdata, message):
        try:
            text = message.payload.decode()
            event = json.loads(text)
            event_id = event["id"]
        except (ValueError, KeyError, TypeError) as error:
            # It would come again for ever.
            print(f"subscriber: {message.topic}: no event: {error}", file=sys.stderr)
            client.ack(message.mid, message.qos)
            return
        if store.put(event_id, text):
            print(json.dumps(event), flush=True)
        client.ack(message.mid, message.qos)

    client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
    if options.username:
        password = open(options.password_file).read().strip() if options.password_file else None
        client.username_pw_set(options.username, password)
    if options.ca:
        client.tls_set(options.ca, options.cert, options.key)
    client.reconnect_delay_set(1, 30)
    session = Properties(PacketTypes.CONNECT)
    session.SessionExpiryInterval = options.session_s
    client.connect_async(options.host, options.port or (8883 if options.ca else 1883), keepalive=30, clean_start=False,
                         properties=session)
    return client


def main():
    options = arguments()
    client = connect(options, Store(options.store, options.keep_s))

    def stop(_signal, _frame):
        # The session stays with the broker: only a disconnect that names an expiry of 0 would end it.
        client.disconnect()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    client.loop_forever(retry_first_connection=True)


if __name__ == "__main__":
    main()
