"""Chromium through its debugging pipe: real pages, real clicks."""
import base64
import fcntl
import json
import os
import pathlib
import select
import shutil
import subprocess
import time

PROGRAMS = ["chromium", "chromium-browser", "google-chrome"]
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
           "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-pipe"]
PATIENCE_S = 60
ROOT = pathlib.Path(__file__).resolve().parents[2]
MAX_PNG = 150_000


def program():
    return next((p for p in PROGRAMS if shutil.which(p)), None)


class Browser:
    """A running Chromium; messages that are no answers go to `heard`."""

    def __init__(self, folder):
        profile = os.path.join(folder, "profile")
        os.mkdir(profile)
        (to_out, self.input), (self.output, from_in) = os.pipe(), os.pipe()
        # Above those that they become.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (to_out, from_in)]

        def place():
            """Commands come on descriptor 3, answers go to descriptor 4."""
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)

        with open(os.path.join(folder, "chromium.log"), "w") as log:
            command = [program(), *OPTIONS, f"--user-data-dir={profile}", "about:blank"]
            self.process = subprocess.Popen(command, close_fds=False, preexec_fn=place, stdout=log, stderr=log)
        for end in [to_out, from_in, *ends]:
            os.close(end)
        self.rest, self.calls, self.heard = b"", 0, []

    def close(self):
        os.close(self.input)
        self.process.kill()
        self.process.wait()

    def message(self, until):
        while b"\0" not in self.rest:
            wait = until - time.monotonic()
            if wait <= 0 or not select.select([self.output], [], [], wait)[0]:
                raise TimeoutError("Chromium does not answer")
            piece = os.read(self.output, 1 << 20)
            if not piece:
                raise EOFError("Chromium has ended")
            self.rest += piece
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def call(self, method, session=None, **parameters):
        self.calls += 1
        request = {"id": self.calls, "method": method, "params": parameters}
        if session:
            request["sessionId"] = session
        data = json.dumps(request).encode() + b"\0"
        while data:
            data = data[os.write(self.input, data):]
        until = time.monotonic() + PATIENCE_S
        while True:
            message = self.message(until)
            if message.get("id") == self.calls:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            self.heard.append(message)

    def open(self, url, width, height, mobile, ready='document.getElementById("state") !== null'):
        return Page(self, url, width, height, mobile, ready)


class Page:
    """An open page."""

    def __init__(self, browser, url, width, height, mobile, ready):
        self.browser = browser
        self.target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Log", "Network"]:
            self.call(domain + ".enable")
        self.size(width, height, mobile)
        self.call("Page.navigate", url=url)
        self.wait(f'document.readyState === "complete" && ({ready})', "the page")

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def size(self, width, height, mobile):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def close(self):
        self.browser.call("Target.closeTarget", targetId=self.target)

    def value(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def wait(self, expression, what, seconds=PATIENCE_S):
        until = time.monotonic() + seconds
        while not self.value(expression):
            if time.monotonic() > until:
                raise AssertionError(f"{what} within {seconds} s; the state is {self.text('state')!r}")
            time.sleep(0.1)

    def text(self, name):
        return self.value(f"document.getElementById({json.dumps(name)})?.textContent")

    def click(self, name):
        """Presses the mouse where the element is seen."""
        find = f"""(() => {{ const e = document.getElementById({json.dumps(name)}); e.scrollIntoView({{block: "center"}});
            const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2, e.disabled === true]; }})()"""
        x, y, disabled = self.value(find)
        assert not disabled, f"{name} cannot be pressed"
        for kind in ["mousePressed", "mouseReleased"]:
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, name, text):
        self.value(f"document.getElementById({json.dumps(name)}).focus()")
        self.call("Input.insertText", text=text)

    def screenshot(self):
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def errors(self):
        """What the console says of mistakes, and what was asked of other hosts."""
        self.value("1")
        found = []
        for message in self.browser.heard:
            if message.get("sessionId") != self.session:
                continue
            method, parameters = message.get("method"), message.get("params", {})
            if method == "Runtime.exceptionThrown":
                found.append(parameters["exceptionDetails"].get("text", "") + json.dumps(parameters["exceptionDetails"]))
            elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
                found.append(json.dumps(parameters["args"]))
            elif method == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
                found.append(parameters["entry"]["text"] + " " + parameters["entry"].get("url", ""))
        return found

    def hosts(self):
        """Every host that something was loaded from; a file has an empty one."""
        urls = [m["params"]["request"]["url"] for m in self.browser.heard
                if m.get("sessionId") == self.session and m.get("method") == "Network.requestWillBeSent"]
        return sorted({url.split("/")[2] for url in urls if "://" in url})


def keep(page, folder, name):
    """A picture of the page as docs/img/NAME, with few colours. Needs ffmpeg."""
    raw, out = folder / name, ROOT / "docs/img" / name
    raw.write_bytes(page.screenshot())
    palette = "split[a][b];[a]palettegen=max_colors=48[p];[b][p]paletteuse=dither=none"
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", raw, "-vf", palette, out], check=True)
    assert out.stat().st_size < MAX_PNG, f"{out} has {out.stat().st_size} bytes"
    print(f"{out.relative_to(ROOT)}: {out.stat().st_size} bytes")
