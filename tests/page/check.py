"""Opens the page as an operator does: picture, meters, event, calibration, pause, resume, token."""
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from browser import Browser, keep, program

PHONE, DESKTOP = (390, 844, True), (1180, 1180, False)
TOKEN = "correct-horse-battery"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Daemon:
    """A glintd with the synthetic subject and the page."""

    def __init__(self, executable, folder, more=""):
        self.port = free_port()
        config = folder / "glint.toml"
        config.write_text(f'device.id = "kiosk"\nsource.kind = "synthetic"\ncamera.fps = 40\nmqtt.url = "mqtt://127.0.0.1:9"\n'
                          f'outbox.path = "{folder}/state/outbox.redb"\ndeployment.purpose = "demonstration"\n'
                          f'page.listen = "127.0.0.1:{self.port}"\n{more}')
        environment = {k: v for k, v in os.environ.items() if k not in ("JOURNAL_STREAM", "STATE_DIRECTORY")}
        self.log = open(folder / "glintd.log", "w")
        self.process = subprocess.Popen([executable, "run", "--config", str(config)], env=environment, stdout=self.log,
                                        stderr=self.log)
        until = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                assert self.process.poll() is None and time.monotonic() < until, "glintd does not serve the page"
                time.sleep(0.1)

    def url(self):
        return f"http://127.0.0.1:{self.port}/"

    def close(self):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


# The mean and the spread of what the canvas shows.
PIXELS = """(() => { const c = document.getElementById("view"), t = document.createElement("canvas");
    [t.width, t.height] = [c.width, c.height];
    const pen = t.getContext("2d", { willReadFrequently: true });
    pen.drawImage(c, 0, 0);
    const d = pen.getImageData(0, 0, t.width, t.height).data;
    let n = 0, sum = 0, squares = 0; for (let i = 0; i < d.length; i += 64) { n++; sum += d[i]; squares += d[i] * d[i]; }
    return [sum / n, Math.sqrt(squares / n - (sum / n) ** 2)]; })()"""


def confirm(page):
    """The operator's word, then the picture. What moves under the mouse is aimed at again."""
    for _ in range(5):
        if not page.value('document.getElementById("agreed").checked'):
            page.click("agreed")
        if not page.value('document.getElementById("show").disabled'):
            page.click("show")
        time.sleep(0.5)
        if page.value("page.until > 0"):
            break
    page.wait("page.picture !== null", "the picture")


def calibrate(page):
    """What the page says in the end. A machine with other work may lose the rate meanwhile: then it is tried again."""
    for _ in range(4):
        page.wait('!document.getElementById("calibrate").disabled', "a face that can be calibrated")
        page.click("calibrate")
        time.sleep(0.3)
        page.wait('/^(Done|Not)/.test(document.getElementById("calibration").textContent)', "the end of the calibration")
        said = page.text("calibration")
        if said.startswith("Done."):
            break
    return said


def operate(page, name):
    """Everything that an operator does, in one of the two sizes."""
    page.wait('document.getElementById("state").textContent.startsWith("streaming")', "frames")
    page.wait('page.sight && page.sight.face && page.sight.fps > 15', "a face and a rate")
    page.wait('document.querySelector(\'[data-meter="Rate"]\').dataset.level !== "off"', "the meter of the rate")
    width, inner = page.value("[document.documentElement.scrollWidth, window.innerWidth]")
    assert width <= inner, f"{name}: the page is {width} px wide on a screen of {inner}"
    small = page.value('[...document.querySelectorAll("button")].filter(b => b.offsetParent && b.offsetHeight < 36).map(b => b.id)')
    assert not small, f"{name}: too small for a finger: {small}"
    assert page.value("page.picture === null"), "no picture before it is confirmed"
    assert page.value('document.getElementById("show").disabled'), "not without a word of the operator"
    confirm(page)
    page.wait('!document.getElementById("shown").hidden', "the time that is left")
    time.sleep(0.5)
    mean, spread = page.value(PIXELS)
    assert mean > 20 and spread > 10, f"{name}: the canvas shows nothing: {mean}, {spread}"
    page.wait("page.events > 0", "an event")
    page.wait('page.rows.some(row => row.au)', "traces")
    said = calibrate(page)
    assert said.startswith("Done."), f"{name}: {said}"


def test_the_camera(page, name):
    """Each check of the picture is a line, and what is wrong has a remedy. The machine may be too slow for the rate."""
    page.wait('!document.getElementById("camera-test").disabled', "a camera that can be tested")
    page.click("camera-test")
    assert page.value('document.getElementById("camera-test").disabled'), f"{name}: two tests at once"
    page.wait('/^(Tested|Not)/.test(document.getElementById("camera-test-note").textContent)', "the end of the test")
    said = page.text("camera-test-note")
    lines = page.value("""[...document.querySelectorAll("#findings li")].map(
        li => [li.dataset.check, li.dataset.level, li.textContent, li.querySelector("p") !== null])""")
    checks = [check for check, *_ in lines]
    assert said.startswith("Tested"), f"{name}: {said}"
    for check in ["rate", "frames", "light", "flicker", "face", "contrast", "noise"]:
        assert check in checks, f"{name}: {check}: {lines}"
    for check, level, text, has_remedy in lines:
        assert (level in ("fair", "bad")) == has_remedy, f"{name}: {text}"
        assert level == "good" or check in ("rate", "frames", "focus"), f"{name}: {text}"
    width, inner = page.value("[document.documentElement.scrollWidth, window.innerWidth]")
    assert width <= inner, f"{name}: the page is {width} px wide on a screen of {inner}"
    assert page.value('document.getElementById("state").textContent.startsWith("streaming")'), "the camera goes on"


def pause_and_resume(page, name):
    page.click("pause")
    page.wait('document.getElementById("state").textContent.startsWith("paused")', "the pause")
    page.wait("page.picture === null && page.sight === null", "the picture to go")
    mean, _ = page.value(PIXELS)
    assert mean < 5, f"{name}: the canvas still shows something: {mean}"
    page.click("resume")
    page.wait('document.getElementById("state").textContent.startsWith("streaming") && page.sight && page.sight.face', "frames again")


def stop_the_picture(page):
    assert page.value("page.until === 0"), "a pause ends the confirmation"
    confirm(page)
    page.click("hide")
    page.wait('page.picture === null && document.getElementById("shown").hidden', "the end of the picture")


def write(page, folder):
    """docs/img/page.png, with few colours."""
    page.value("window.scrollTo(0, 0)")
    keep(page, folder, "page.png")


def check(page, daemon, name, expected=()):
    errors = [e for e in page.errors() if not any(word in e for word in expected)]
    assert not errors, f"{name}: {errors}"
    assert page.hosts() == [f"127.0.0.1:{daemon.port}"], page.hosts()


def with_token(browser, executable, folder):
    folder.mkdir()
    (folder / "token").write_text(TOKEN + "\n")
    daemon = Daemon(executable, folder, f'page.token_file = "{folder}/token"\n')
    try:
        page = browser.open(daemon.url(), *PHONE)
        page.wait('!document.getElementById("login").hidden', "the question for the token")
        assert page.value('document.getElementById("main").hidden'), "nothing without the token"
        page.type("token", "wrong-wrong-wrong-wrong")
        page.value('document.querySelector("#login button").click()')
        page.wait('document.getElementById("login-note").textContent !== ""', "the refusal")
        page.type("token", TOKEN)
        page.value('document.querySelector("#login button").click()')
        page.wait('document.getElementById("state").textContent.startsWith("streaming")', "frames")
        # The browser itself notes the refusals.
        check(page, daemon, "token", expected=["401"])
        page.close()
    finally:
        daemon.close()
    print("token: ok")


def main():
    if program() is None:
        print("page: chromium is not installed")
        sys.exit(77)
    executable, is_written = os.path.abspath(sys.argv[1]), "--write" in sys.argv[2:]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="glint-page-"))
    browser = Browser(str(folder))
    try:
        (folder / "device").mkdir()
        daemon = Daemon(executable, folder / "device")
        try:
            for name, size in [("phone", PHONE), ("desktop", DESKTOP)]:
                page = browser.open(daemon.url(), *size)
                operate(page, name)
                test_the_camera(page, name)
                if is_written and name == "desktop":
                    write(page, folder)
                pause_and_resume(page, name)
                stop_the_picture(page)
                check(page, daemon, name)
                page.close()
                print(f"{name}: ok")
        finally:
            daemon.close()
        files = sorted(p.name for p in (folder / "device/state").iterdir())
        assert set(files) <= {"outbox.redb", "glint.device.json", "audit.jsonl"}, files
        with_token(browser, executable, folder / "token")
    except Exception:
        for log in folder.glob("*/glintd.log"):
            print(f"--- {log}\n{log.read_text()[-3000:]}", file=sys.stderr)
        raise
    finally:
        browser.close()
    shutil.rmtree(folder, ignore_errors=True)


main()
