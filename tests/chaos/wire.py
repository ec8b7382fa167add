"""As much of MQTT 3.1.1 and 5 as the faults need: packets, a recording proxy, a small client. Standard library alone."""
import json
import socket
import threading
import time


def length(n):
    """A remaining length."""
    out = b""
    while True:
        n, digit = n // 128, n % 128
        out += bytes([digit | (128 if n else 0)])
        if not n:
            return out


def packet(first, body=b""):
    return bytes([first]) + length(len(body)) + body


def text(value):
    value = value.encode() if isinstance(value, str) else value
    return len(value).to_bytes(2, "big") + value


def varint(body, at):
    """The number at a place, and the place behind it."""
    value = shift = 0
    while True:
        value |= (body[at] & 127) << shift
        shift += 7
        at += 1
        if not body[at - 1] & 128:
            return value, at


def published(flags, body, v5):
    """Topic, packet id and content of a PUBLISH."""
    n = int.from_bytes(body[:2], "big")
    topic, at, packet_id = body[2:2 + n].decode(), 2 + n, 0
    if flags & 6:
        packet_id, at = int.from_bytes(body[at:at + 2], "big"), at + 2
    if v5:
        properties, at = varint(body, at)
        at += properties
    return topic, packet_id, body[at:]


def close(sock):
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    sock.close()


class Connection:
    """A socket, read by packets."""

    def __init__(self, sock):
        self.sock, self.buffer = sock, b""

    def read(self):
        """(type, flags, body), or None at the end."""
        while True:
            found = self.parse()
            if found:
                return found
            try:
                more = self.sock.recv(65536)
            except OSError:
                return None
            if not more:
                return None
            self.buffer += more

    def parse(self):
        n = shift = 0
        at = 1
        while True:
            if len(self.buffer) <= at:
                return None
            digit = self.buffer[at]
            n |= (digit & 127) << shift
            shift, at = shift + 7, at + 1
            if not digit & 128:
                break
        if len(self.buffer) < at + n:
            return None
        first, body = self.buffer[0], self.buffer[at:at + n]
        self.buffer = self.buffer[at + n:]
        return first >> 4, first & 15, body

    def send(self, data):
        try:
            self.sock.sendall(data)
            return True
        except OSError:
            return False


class Proxy:
    """Between a device and the broker: notes each event that is published and each acknowledgement, and misbehaves."""

    def __init__(self, broker_port, v5):
        self.broker_port, self.v5 = broker_port, v5
        # pass, closed (connections are cut at once), refused (the login is refused), dropped (cut behind the CONNACK)
        self.mode, self.delay_s = "pass", 0.0
        self.lock, self.sockets = threading.Lock(), set()
        # (id, track, onset, content) in the order of publication; ids that the broker has acknowledged; rejections
        self.published, self.acknowledged, self.rejected, self.connections = [], set(), 0, 0
        self.last_acknowledged = 0.0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            sock, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        device = Connection(sock)
        if self.mode == "closed":
            return close(sock)
        if self.mode == "refused":
            device.read()
            device.send(b"\x20\x03\x00\x87\x00" if self.v5 else b"\x20\x02\x00\x05")
            return close(sock)
        try:
            broker = Connection(socket.create_connection(("127.0.0.1", self.broker_port), 3))
        except OSError:
            return close(sock)
        broker.sock.settimeout(None)
        # packet id -> event id, of this connection
        waiting = {}
        with self.lock:
            self.connections += 1
            self.sockets |= {sock, broker.sock}
        threading.Thread(target=self.up, args=(device, broker, waiting), daemon=True).start()
        self.down(device, broker, waiting)

    def end(self, device, broker):
        with self.lock:
            self.sockets -= {device.sock, broker.sock}
        close(device.sock)
        close(broker.sock)

    def up(self, device, broker, waiting):
        while (found := device.read()) is not None:
            kind, flags, body = found
            if kind == 3:
                topic, packet_id, content = published(flags, body, self.v5)
                waiting.pop(packet_id, None)
                if topic.endswith("/event"):
                    event = json.loads(content)
                    data = event["data"]
                    waiting[packet_id] = event["id"]
                    with self.lock:
                        self.published.append((event["id"], data["track"], data["onset_ns"], content))
            time.sleep(self.delay_s)
            if not broker.send(packet(kind << 4 | flags, body)):
                break
        self.end(device, broker)

    def down(self, device, broker, waiting):
        while (found := broker.read()) is not None:
            kind, flags, body = found
            if kind == 4:
                event = waiting.pop(int.from_bytes(body[:2], "big"), None)
                with self.lock:
                    if event and (len(body) < 3 or body[2] < 0x80):
                        self.acknowledged.add(event)
                        self.last_acknowledged = time.monotonic()
                    elif event:
                        self.rejected += 1
            time.sleep(self.delay_s)
            if not device.send(packet(kind << 4 | flags, body)) or kind == 2 and self.mode == "dropped":
                break
        self.end(device, broker)

    def cut(self):
        with self.lock:
            sockets, self.sockets = self.sockets, set()
        for sock in sockets:
            close(sock)


class Client:
    """A client of its own beside the devices: subscribes, publishes, and keeps the latest message of each topic."""

    def __init__(self, port, name, topics=()):
        self.latest, self.connection = {}, Connection(socket.create_connection(("127.0.0.1", port), 5))
        self.subscribed = threading.Event()
        flags = b"\x02"
        self.connection.send(packet(0x10, text("MQTT") + b"\x04" + flags + b"\x00\x3c" + text(name)))
        for number, topic in enumerate(topics, 1):
            self.connection.send(packet(0x82, number.to_bytes(2, "big") + text(topic) + b"\x01"))
        self.wanted = len(topics)
        threading.Thread(target=self.receive, daemon=True).start()
        if topics and not self.subscribed.wait(10):
            raise RuntimeError("the broker does not answer a subscription")

    def receive(self):
        while (found := self.connection.read()) is not None:
            kind, flags, body = found
            if kind == 9:
                self.wanted -= 1
                if self.wanted == 0:
                    self.subscribed.set()
            if kind == 3:
                topic, packet_id, content = published(flags, body, False)
                self.latest[topic] = content.decode()
                if flags & 6:
                    self.connection.send(b"\x40\x02" + packet_id.to_bytes(2, "big"))

    def publish(self, topic, content):
        """QoS 0: the broker is on this machine, and a command that is lost is a fault like another."""
        return self.connection.send(packet(0x30, text(topic) + content.encode()))

    def close(self):
        self.connection.send(b"\xe0\x00")
        close(self.connection.sock)
