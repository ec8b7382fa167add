"""The faults. Each takes the world and a random generator, does its worst, and leaves everything as it was."""
import os
import signal
import time

from wire import Client
from world import faketime


def broker_killed(world, random):
    world.broker.end(signal.SIGKILL)
    time.sleep(random.uniform(0.05, 1.5))
    world.broker.start()


def broker_frozen(world, random):
    world.broker.process.send_signal(signal.SIGSTOP)
    time.sleep(random.uniform(0.2, 3))
    world.broker.process.send_signal(signal.SIGCONT)


def broker_restarted(world, random):
    world.broker.end()
    time.sleep(random.uniform(0.05, 1.5))
    world.broker.start()


def broker_forgets(world, random):
    """Without persistence: sessions and retained messages are gone."""
    world.broker.end()
    for store in world.broker.folder.glob("mosquitto.db*"):
        store.unlink()
    time.sleep(random.uniform(0.05, 1))
    world.broker.start(persistence=False)


def broker_slow(world, random):
    device = random.choice(world.devices)
    device.proxy.delay_s = random.uniform(0.02, 0.3)
    time.sleep(random.uniform(0.5, 2.5))
    device.proxy.delay_s = 0.0


def broker_refuses(world, random):
    device = random.choice(world.devices)
    device.proxy.mode = random.choice(["closed", "refused", "dropped"])
    device.proxy.cut()
    time.sleep(random.uniform(0.5, 2.5))
    device.proxy.mode = "pass"


def link_cut(world, random):
    device = random.choice(world.devices)
    for _ in range(random.randint(1, 3)):
        device.proxy.cut()
        time.sleep(random.uniform(0, 0.6))


def same_client_id(world, random):
    device = random.choice(world.devices)
    other = Client(world.broker.port, device.client_id())
    time.sleep(random.uniform(0.1, 1.5))
    other.close()


def device_killed(world, random):
    device = random.choice(world.devices)
    world.kill(device)
    time.sleep(random.uniform(0, 0.5))
    device.start()


def device_stopped(world, random):
    """In order: by a signal, or with a reload."""
    device = random.choice(world.devices)
    if random.random() < 0.5:
        device.process.send_signal(signal.SIGHUP)
        return
    status = device.end(signal.SIGTERM)
    if status != 0:
        world.complain(device, f"stop ended with {status}")
    device.start()


def fill(device):
    """Leaves no room where the outbox lies; deleting the file gives it back."""
    filler = device.state / "filler"
    with open(filler, "wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            pass
    return filler


def disk_full(world, random):
    device = random.choice([d for d in world.devices if d.tmpfs])
    filler = fill(device)
    time.sleep(random.uniform(0.3, 2))
    filler.unlink()


def only_memory(world, random):
    """Disk full and broker away; then a reload, or a stop once there is room."""
    device = random.choice([d for d in world.devices if d.tmpfs])
    device.proxy.mode = "closed"
    device.proxy.cut()
    filler = fill(device)
    time.sleep(random.uniform(0.5, 1.5))
    if random.random() < 0.6:
        device.process.send_signal(signal.SIGHUP)
        time.sleep(random.uniform(0.5, 1.5))
        filler.unlink()
    else:
        filler.unlink()
        status = device.end(signal.SIGTERM)
        if status != 0:
            world.complain(device, f"stop ended with {status}")
        device.start()
    device.proxy.mode = "pass"


def clock_stepped(world, random):
    device = random.choice(world.devices)
    device.clock.write_text(random.choice(["+0", "+2h", "-2h", "-3d", "+400d", "@1970-01-01 00:00:10"]) + "\n")
    time.sleep(random.uniform(0.3, 1.5))


def bit_flipped(world, random):
    """In the outbox of a device that was killed with events in it, if there are any."""
    device = random.choice(world.devices)
    device.proxy.mode = "closed"
    device.proxy.cut()
    time.sleep(random.uniform(0.2, 0.8))
    world.kill(device)
    content = bytearray(device.outbox.read_bytes()) if device.outbox.exists() else bytearray()
    if content:
        at = random.randrange(len(content))
        content[at] ^= 1 << random.randrange(8)
        device.outbox.write_bytes(content)
        world.flips[device.protocol] += 1
    device.proxy.mode = "pass"
    device.start()


def commands(world, random):
    """A burst of pauses and resumptions; then a signal resumes."""
    device = random.choice(world.devices)
    client = Client(world.broker.port, "commander")
    for _ in range(random.randint(1, 40)):
        client.publish(device.topic(random.choice(["pause", "resume"]) + "/set"), "1")
    client.close()
    # The broker may still have some of them.
    time.sleep(0.5)
    device.process.send_signal(signal.SIGUSR2)


# Name in the table, fault, weight.
FAULTS = [
    ("broker killed (SIGKILL)", broker_killed, 4),
    ("broker frozen (SIGSTOP)", broker_frozen, 3),
    ("broker restarted, with persistence", broker_restarted, 3),
    ("broker restarted, without persistence", broker_forgets, 2),
    ("broker slow", broker_slow, 3),
    ("broker refuses or closes", broker_refuses, 3),
    ("link cut", link_cut, 4),
    ("the same client id twice", same_client_id, 3),
    ("glintd killed (SIGKILL)", device_killed, 5),
    ("glintd stopped or reloaded", device_stopped, 3),
    ("disk full", disk_full, 3),
    ("disk full, broker away, reload or stop", only_memory, 3),
    ("clock stepped", clock_stepped, 3),
    ("bit flipped in the outbox", bit_flipped, 4),
    ("burst of commands", commands, 3),
]


def usable(devices):
    """The faults that can be provoked here; the others are named."""
    left_out = set()
    if not all(d.tmpfs for d in devices):
        print(f"chaos: skipped: disk full: mounting a tmpfs needs root (user id {os.geteuid()})", flush=True)
        left_out |= {disk_full, only_memory}
    if not faketime():
        print("chaos: skipped: clock stepped: libfaketime is not installed", flush=True)
        left_out.add(clock_stepped)
    return [fault for fault in FAULTS if fault[1] not in left_out]
