#!/usr/bin/env python3
"""Home Assistant's own code on what glintd announces and says.

  python3.12 -m venv ha && ha/bin/pip install homeassistant==2024.12.5 paho-mqtt==1.6.1
  ha/bin/python tests/homeassistant/check.py --glintd target/release/glintd

glintd runs on the synthetic subject against a Mosquitto of its own, once with a purpose and once without, where events have no
label. Its announcement goes through Home Assistant's parser of device announcements and the strict schema of each platform, in
which an unknown key is an error; Home Assistant's own template environment renders the templates on the messages that came.
Exit status 0 if all of it is right.
"""
import argparse
import json
import logging
import shutil
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from signal import SIGTERM

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "chaos"))

from world import Broker, Device, observer, wait  # noqa: E402


def messages(glintd, settings):
    """The announcement, and the latest message of each topic, of a device that has seen a movement."""
    folder = tempfile.mkdtemp(prefix="glint-ha-")
    broker = Broker(folder + "/broker")
    broker.start()
    device = Device(folder, broker, "5", lambda config: [glintd, "run", "--config", str(config)], False)
    with open(device.configuration, "a") as file:
        file.write("mqtt.discovery = true\n" + settings)
    seen = observer(broker, "observer")
    try:
        device.start()
        announced = f"homeassistant/device/{device.name}/config"
        topics = [announced] + [device.topic(n) for n in ("event", "state", "health", "status")]
        if not wait("announcement, event, state and report", 60, lambda: all(t in seen.latest for t in topics)):
            sys.exit(f"check: heard only {sorted(seen.latest)}")
        time.sleep(1.5)
        device.end(SIGTERM)
        return seen.latest[announced], dict(seen.latest)
    finally:
        device.close()
        broker.end()
        shutil.rmtree(folder, ignore_errors=True)


def parsed(announced):
    """The announcement as Home Assistant understands it, entity by entity."""
    import homeassistant.components.mqtt.discovery as discovery
    payload = discovery._parse_device_payload(None, announced, "device", None)
    if not payload:
        sys.exit("check: Home Assistant refuses the announcement (its log line is above)")
    for name, entity in payload["components"].items():
        discovery._merge_common_device_options(entity, payload)
        yield name, dict(entity)


def rendered(template, payload):
    """A template's result in Home Assistant's environment, without a running instance."""
    from homeassistant.helpers.template import TemplateEnvironment
    environment = TemplateEnvironment(None, limited=True)
    return environment.from_string(template).render(value=payload, value_json=json.loads(payload))


def check(name, entity, heard):
    """What is wrong with an entity."""
    import voluptuous
    platform = entity.pop("platform")
    module = import_module(f"homeassistant.components.mqtt.{platform}")
    try:
        module.DISCOVERY_SCHEMA(dict(entity))
        module.PLATFORM_SCHEMA_MODERN(dict(entity))
    except voluptuous.Invalid as error:
        return [f"{name}: {error}"]
    wrong = []
    for template, topic in (("value_template", "state_topic"), ("json_attributes_template", "json_attributes_topic")):
        if template not in entity:
            continue
        said = rendered(entity[template], heard[entity[topic]])
        print(f"{name} ({platform}): {said}")
        if template == "json_attributes_template" or platform == "event":
            attributes = json.loads(said)
        if platform == "event" and attributes["event_type"] not in entity["event_types"]:
            wrong.append(f"{name}: {said}")
        if platform in ("binary_sensor", "switch") and template == "value_template" and said not in ("ON", "OFF", "None"):
            wrong.append(f"{name}: {said!r} is no state")
        if "options" in entity and said not in entity["options"]:
            wrong.append(f"{name}: {said!r} is none of its options")
        if "state_class" in entity and said != "None":
            float(said)
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--glintd", required=True)
    glintd = parser.parse_args().glintd
    # It asks for a running instance, which templates need for what these do not use.
    logging.getLogger("homeassistant.helpers.frame").setLevel(logging.ERROR)
    wrong, count = [], 0
    for settings in ('deployment.purpose = "research"\n', ""):
        announced, heard = messages(glintd, settings)
        for name, entity in parsed(announced):
            wrong += check(name, entity, heard)
            count += 1
    from homeassistant.const import __version__
    print(f"{count} entities, Home Assistant {__version__}: {len(wrong)} faults")
    for line in wrong:
        print(f"check: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
