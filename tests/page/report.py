"""Opens the report of a clip in headless Chromium.

    python3 tests/page/report.py PROGRAM CLIP            PROGRAM is a glintd, CLIP has at least one micro-expression
    python3 tests/page/report.py PROGRAM CLIP --write    also makes docs/img/report.png anew (needs ffmpeg)

Ends with 77 where Chromium is not installed.
"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from browser import Browser, keep, program

DESKTOP, PHONE = (1280, 1500, False), (390, 844, True)
# What the pointer reaches in the middle of the first mark of a class: the mark itself, with its words.
TITLE = """(() => {{ const box = document.querySelector("g.{0} path").getBoundingClientRect();
    const hit = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    return hit?.closest("g.{0}")?.querySelector("title")?.textContent ?? null; }})()"""
CAUSE = re.compile(r"rejected: [a-z_]+\. Onset [\d.]+ s")
SEEN = "[...document.images].every(i => i.complete && i.naturalWidth > 0) && document.images.length"


def check(browser, folder, report, has_faces):
    for size in [DESKTOP, PHONE]:
        page = browser.open(report.as_uri(), *size, ready="document.querySelector('h1') !== null")
        assert not page.errors(), page.errors()
        assert page.hosts() == [""], f"the report asks {page.hosts()}"
        width, inner = page.value("[document.documentElement.scrollWidth, window.innerWidth]")
        assert width <= inner, f"the report is {width} px wide on a screen of {inner}"
        assert page.value("document.scripts.length") == 0
        images = page.value(SEEN)
        assert bool(images) == has_faces, f"{images} pictures of faces"
        if size == DESKTOP:
            title = page.value(TITLE.format("event"))
            assert title and "Onset" in title, f"a mark of an event says {title!r}"
            if page.value("document.querySelector('g.rejected') !== null"):
                title = page.value(TITLE.format("rejected"))
                assert title and CAUSE.match(title), f"a mark of a rejected candidate says {title!r}"
            if "--write" in sys.argv[3:] and not has_faces:
                keep(page, folder, "report.png")
            page.call("Emulation.setEmulatedMedia", media="print")
            style = page.value("getComputedStyle(document.body).maxWidth")
            assert style == "none", f"on paper the page is {style} wide at most"
            assert not page.errors(), page.errors()
        page.close()


def main():
    if program() is None:
        print("report: chromium is not installed")
        sys.exit(77)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="glint-report-"))
    browser = Browser(str(folder))
    try:
        for name, options in [("plain", []), ("faces", ["--with-faces"])]:
            report = folder / f"{name}.html"
            subprocess.run([sys.argv[1], "inspect", sys.argv[2], "--report", report, *options], check=True)
            check(browser, folder, report, bool(options))
            print(f"{name}: ok, {report.stat().st_size} bytes")
    finally:
        browser.close()
    shutil.rmtree(folder, ignore_errors=True)


main()
