"""What the machines of systemd.sh, first-event.sh and doctor.sh do; stages, because that of the first is started anew in between."""
import subprocess
import time
import traceback

import cameras
import doctor
import faults
import first_event
import service
from world import HOST, Broker, Unit, configure, record, sh, wait

STAGE = f"{HOST}/stage"


def install():
    sh("cp /host/film.y4m /usr/share/film.y4m && chmod 644 /usr/share/film.y4m", check=True)
    service.install("/host/glintd.deb")


def leave_enabled():
    """The machine will find neither broker nor camera."""
    configure(faults.WEBCAM)
    sh("systemctl enable glintd")


def first():
    install()
    service.run()
    leave_enabled()


def before_cameras():
    install()
    leave_enabled()


def second():
    """The machine has just booted. Nothing is plugged in."""
    unit = Unit()
    wait(30, lambda: unit.state() == "active (running)")
    log = unit.journal(time.time() - 600, "trying again")
    warned = unit.journal(time.time() - 600, "warning")
    record("service", "boot without broker and camera", unit.state() == "active (running)" and unit.show("NRestarts") == "0",
           f"{unit.state()}, {unit.show('StatusText')}", log=log[0][1] if log else "",
           seconds=(int(unit.show("ActiveEnterTimestampMonotonic")) - int(unit.show("InactiveExitTimestampMonotonic"))) / 1e6)
    print(warned, flush=True)
    at = time.time()
    broker = Broker().start().read()
    back = wait(40, lambda: [t for t, p in broker.since(at, "glint/vm/status") if p == "online"])
    record("service", "the broker comes after the boot", back, "connects", seconds=back[0] - at if back else None)
    at = time.time()
    sh(faults.VIVID, check=True)
    back = wait(20, lambda: [t for t, p in broker.since(at, "glint/vm/state") if '"streaming"' in p])
    record("service", "the camera comes after the boot", back, "opens it", seconds=back[0] - at if back else None)
    broker.stop()
    unit.stop()
    sh("systemctl disable glintd")
    faults.run()
    cameras.run()
    remove()


def container():
    """What needs neither a kernel of its own nor a camera."""
    sh("ip link set lo up")
    install()
    service.run()
    cameras.run(vivid=False)
    remove()


def remove():
    removed = sh("dpkg -r glintd")
    state = Unit().show("LoadState")
    record("service", "package removed", state == "not-found", f"the unit is {state}", log=removed.splitlines()[-1])


STAGES = {
    "first": (first, "second"),
    "cameras": (before_cameras, "second"),
    "second": (second, ""),
    "container": (container, ""),
    "first event": (first_event.run, ""),
    "doctor": (doctor.run, ""),
}


def main():
    stage = open(STAGE).read().strip()
    what, after = STAGES[stage]
    try:
        what()
    except Exception:
        record("machine", f"stage {stage}", False, traceback.format_exc())
    sh(f"journalctl --no-pager -o short-monotonic > {HOST}/journal-{stage}.txt; sync")
    with open(STAGE, "w") as file:
        file.write(after)
    subprocess.run(["systemctl", "reboot" if after else "poweroff"])
    # This process is ended by the machine's end.
    time.sleep(600)


main()
