"""The unit: installation, READY, hardening, watchdog, stop, wrong configuration, credentials, a program as camera, the page."""
import os
import re
import socket
import subprocess
import time

from world import HOST, PATIENCE, Broker, Unit, configure, drop_in, record, sh, wait

BASIC = """device.id = "vm"
mqtt.url = "mqtt://127.0.0.1:1883"
health.interval_s = 1
"""
# A real camera program: ffmpeg plays a film in its own time, and what it writes is a pipe of Y4M.
FFMPEG = '["ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", "-re", "-stream_loop", "-1", "-i", ' \
         '"/usr/share/film.y4m", "-f", "yuv4mpegpipe", "-flush_packets", "1", "pipe:1"]'
GROUP = "service"
# What the package installs for those who need it.
COMMAND = "/usr/share/doc/glintd/command.conf"
PAGE = "/usr/share/doc/glintd/page.conf"


def say(*row, **more):
    record(GROUP, *row, **more)


def install(package):
    out = sh(f"dpkg -i {package}")
    print(out, flush=True)
    unit = Unit()
    enabled = sh("systemctl is-enabled glintd")
    ok = "error" not in out.lower() and enabled == "disabled" and unit.state().startswith("inactive")
    say("package installed", ok, f"unit {enabled}, {unit.state()}", log=out.splitlines()[-1])
    verify = sh("systemd-analyze verify glintd.service")
    mine = [line for line in verify.splitlines() if "glintd" in line]
    say("systemd-analyze verify", not mine, "nothing to say" if not mine else "complains", log=" ".join(mine))


def score(name, limit):
    lines = sh("systemd-analyze security --no-pager glintd").splitlines()
    found = re.search(r"([0-9.]+) (\w+)", lines[-1])
    print("\n".join(lines), flush=True)
    say(name, found and float(found[1]) <= limit, f"exposure {found[1]} {found[2]}, at most {limit}", log=lines[-1].strip("→ "))


def ready_with_the_first_frame():
    """The program is silent for 5 s: READY may not come before, and comes with the frames."""
    unit = Unit()
    slow = '["sh", "-c", "sleep 5; exec ' + " ".join(FFMPEG.strip("[]").replace('"', "").split(", ")) + '"]'
    configure(BASIC + f"source = {{ kind = \"command\", command = {slow} }}\n")
    drop_in("glintd", "command", open(COMMAND).read())
    # The check before the start runs the program too.
    drop_in("glintd", "no-check", "[Service]\nExecStartPre=\n")
    took, said = unit.start()
    first = wait(5, lambda: '"streaming"' in BROKER.latest("glint/vm/state"))
    drop_in("glintd", "no-check", None)
    drop_in("glintd", "command", None)
    say("READY with the first frame", took >= 5 and first and not said, "`systemctl start` returned after the 5 s for which the program "
        "was silent, in state streaming", seconds=took)
    unit.stop()


def ffmpeg_under_the_drop_in():
    unit = Unit()
    drop_in("glintd", "command", open(COMMAND).read())
    score("hardening with command.conf", 1.6)
    configure(BASIC + f"source = {{ kind = \"command\", command = {FFMPEG} }}\n")
    began = time.time()
    took, said = unit.start()
    event = wait(40, lambda: BROKER.since(began, "glint/vm/event"))
    say("ffmpeg as camera", event and not said, f"events came; {unit.processes()} processes, {unit.memory()}", seconds=took,
        log=event[0][1][:60] if event else BROKER.latest("glint/vm/health")[:300])
    # The child is killed: it is started again.
    killed = time.time()
    sh("pkill -KILL ffmpeg")
    back = wait(10, lambda: [t for t, p in BROKER.since(killed, "glint/vm/state") if '"streaming"' in p])
    lost = unit.journal(killed, "trying again")
    say("the program of the camera is killed", back, "waits with no_camera, starts it again",
        seconds=back[0] - killed if back else None, log=lost[0][1] if lost else "")
    took = unit.stop()
    left = sh("pgrep -c ffmpeg")
    say("stop ends the program too", left == "0" and unit.show("ExecMainStatus") == "0", f"{left} ffmpeg left", seconds=took,
        code=unit.show("ExecMainStatus"))
    drop_in("glintd", "command", None)


def asked(address, path="/", token=None):
    """Status of the commissioning page at (host, port) or at the path of a socket; the error where nobody answers."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    login = f"Authorization: Bearer {token}\r\n" if token else ""
    try:
        with socket.socket(family) as client:
            client.settimeout(10 * PATIENCE)
            client.connect(address)
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{login}\r\n".encode())
            return int(client.recv(1 << 16).split()[1])
    except (OSError, IndexError) as error:
        return str(error)


def page_under_the_drop_in():
    """The commissioning page on a socket of the unit's own folder, and on a port with a token that root alone may read."""
    unit, at = Unit(), "/run/glint/page.sock"
    text = BASIC + 'source.kind = "synthetic"\ncamera.fps = 20\n'
    drop_in("glintd", "page", open(PAGE).read())
    score("hardening with page.conf", 1.6)
    configure(text + f'page.listen = "unix:{at}"\n')
    took, said = unit.start()
    first = asked(at), asked(at, "/metrics")
    began = time.time()
    sh("systemctl reload glintd")
    again = wait(20, lambda: unit.journal(began, "configuration reloaded") and asked(at) == 200)
    unit.stop()
    after = asked(at)
    say("page on a socket under page.conf", first == (200, 200) and again and not isinstance(after, int) and not said,
        f"page and metrics answer {first[0]} and {first[1]}, the page also after a reload; after the stop: {after}", seconds=took)

    configure("a-token-of-this-machine\n", "/etc/glint/page-token")
    os.chmod("/etc/glint/page-token", 0o600)
    drop_in("glintd", "page", open(PAGE).read().replace("#LoadCredential", "LoadCredential"))
    configure(text + 'page.listen = "0.0.0.0:8080"\npage.token_file = "/run/credentials/glintd.service/page-token"\n')
    took, said = unit.start()
    door = ("127.0.0.1", 8080)
    answers = asked(door, "/metrics"), asked(door, "/metrics", "another"), asked(door, "/metrics", "a-token-of-this-machine")
    say("page with a token by LoadCredential", answers == (401, 401, 200) and not said,
        f"without a token {answers[0]}, with a wrong one {answers[1]}, with it {answers[2]}", seconds=took, log=said)
    unit.stop()
    drop_in("glintd", "page", None)
    os.remove("/etc/glint/page-token")


def freeze(tid):
    """Stops one thread."""
    subprocess.Popen(["python3", f"{HOST}/guest/freeze.py", str(tid)])


def thread(pid, name):
    for tid in os.listdir(f"/proc/{pid}/task"):
        if open(f"/proc/{pid}/task/{tid}/comm").read().strip() == name:
            return int(tid)
    raise RuntimeError(f"no thread {name}")


def watchdog():
    unit = Unit()
    configure(BASIC + 'source.kind = "synthetic"\ncamera.fps = 20\n')
    for name, act in (("vision thread frozen", lambda pid: freeze(thread(pid, "vision"))),
                      ("capture thread frozen", lambda pid: freeze(thread(pid, "capture"))),
                      ("process frozen (SIGSTOP)", lambda pid: os.kill(pid, 19))):
        unit.start()
        pid, restarts, began = unit.pid(), int(unit.show("NRestarts")), time.time()
        act(pid)
        again = wait(40, lambda: unit.pid() not in (0, pid) and unit.show("SubState") == "running")
        took = time.time() - began
        heard = wait(10, lambda: [t for t, p in BROKER.since(began, "glint/vm/status") if p == "online"])
        log = unit.journal(began, "watchdog") or unit.journal(began, "Watchdog")
        say(name, again and heard and int(unit.show("NRestarts")) == restarts + 1, "killed by the watchdog of 10 s and started again",
            seconds=took, log=log[0][1] if log else "", code="SIGABRT")
        unit.stop()


def dead_name_server():
    unit = Unit()
    saved = open("/etc/resolv.conf").read() if os.path.exists("/etc/resolv.conf") else ""
    # It takes questions and answers none, so each waits for its full time-out.
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind(("127.0.0.53", 53))
    configure("nameserver 127.0.0.53\n", "/etc/resolv.conf")
    configure(BASIC.replace("127.0.0.1", "broker.example.org") + 'source.kind = "synthetic"\ncamera.fps = 20\n')
    began = time.time()
    took, said = unit.start()
    log = unit.journal(began, "broker_unreachable")
    say("start with a name server that is silent", not said and unit.state().startswith("active"), f"{unit.state()}", seconds=took,
        log=log[0][1] if log else "")
    time.sleep(3)
    took = unit.stop()
    say("stop with a name server that is silent", took < 15 and unit.show("Result") == "success", f"result {unit.show('Result')}",
        seconds=took, code=unit.show("ExecMainStatus"))
    configure(saved, "/etc/resolv.conf")
    silent.close()


def wrong_configuration():
    unit = Unit()
    for name, text in (("unknown key", "[mqtt]\nhosst = \"x\"\n"), ("no TOML", "[mqtt\n"),
                       ("model file is missing", BASIC + 'model.path = "/nowhere"\n')):
        configure(text)
        began = time.time()
        unit.start()
        time.sleep(6)
        status, restarts = unit.show("ExecMainStatus"), unit.show("NRestarts")
        ok = unit.state().startswith("failed") and status == "78" and restarts == "0"
        log = [m for _, m in unit.journal(began) if "glint.toml" in m]
        say(f"wrong configuration: {name}", ok, f"{unit.state()} for good, {restarts} restarts", code=status, log=log[0] if log else "")
    # What a reload finds wrong does not end the daemon.
    configure(BASIC + 'source.kind = "synthetic"\ncamera.fps = 20\n')
    unit.start()
    configure("[mqtt]\nhosst = \"x\"\n")
    began = time.time()
    sh("systemctl reload glintd")
    log = wait(10, lambda: unit.journal(began, "not used"))
    say("wrong configuration at a reload", log and unit.state().startswith("active"), "the present one stays in force",
        log=log[0][1].replace("\n", " ") if log else "")
    unit.stop()


def credentials():
    """A password that root alone may read, handed over by the service manager."""
    unit, port = Unit(), 1884
    sh("touch /run/passwords; mosquitto_passwd -b /run/passwords door secret; mosquitto_passwd -b /run/passwords reader secret")
    broker = Broker(port, "allow_anonymous false\npassword_file /run/passwords").start().read("-u", "reader", "-P", "secret")
    configure("secret\n", "/etc/glint/mqtt-password")
    os.chmod("/etc/glint/mqtt-password", 0o600)
    text = BASIC.replace("1883", str(port)) + 'mqtt.username = "door"\nsource.kind = "synthetic"\ncamera.fps = 20\n'
    configure(text)
    unit.start()
    refused = wait(10, lambda: "broker_refused" in str(unit.journal(time.time() - 60)) or unit.journal(time.time() - 60, "refuse"))
    unit.stop()
    drop_in("glintd", "password", "[Service]\nLoadCredential=mqtt-password:/etc/glint/mqtt-password\n")
    unit.start()
    online = wait(10, lambda: broker.latest("glint/vm/status") == "online")
    say("password by LoadCredential", refused and online, "refused without it, online with it", log=str(refused[0][1]) if isinstance(refused, list) else "")
    unit.stop()
    drop_in("glintd", "password", None)
    broker.stop()


def run():
    global BROKER
    BROKER = Broker().start().read()
    score("hardening", 1.6)
    for check in (ready_with_the_first_frame, watchdog, dead_name_server, wrong_configuration, credentials,
                  ffmpeg_under_the_drop_in, page_under_the_drop_in):
        attempt(check)
    BROKER.stop()


def attempt(check):
    """A check that breaks is a failure, and the next one runs."""
    try:
        check()
    except Exception as error:  # what it is, the results say
        say(check.__name__, False, f"the check broke: {error!r}")
        Unit().stop()
