#!/usr/bin/env python3
"""table.py WHERE RESULTS KEPT PAGE: what systemd.sh found, as PASS and FAIL and as docs/results/faults.md.

WHERE is machine, container or event, the machine of first-event.sh. KEPT gathers all: of a case that ran in several, what ran
last stays.
"""
import json
import os
import re
import sys

HEAD = """# The service under systemd, and faults of a camera

    sudo tests/vm/systemd.sh                # all of it, in a virtual machine
    sudo tests/vm/systemd.sh --container    # what needs no camera

write this page. Each boots Debian 12 with systemd 252, installs glintd as the package does and tries what a service has to bear. Faults
of a camera are made by the kernel's virtual one (vivid). The script fails where a line is not as it should be.

| mark | ran in |
|---|---|
| C | a container of systemd-nspawn on the kernel of the host, at full speed |
| M | a virtual machine: qemu in software emulation (TCG), Linux 6.1 of Debian 12. It is ten times slower than its host and more, so its times are upper bounds |
| E | the same under `sudo tests/vm/first-event.sh amd64`, which tries ffmpeg as a camera too: time inside follows the instructions, 10^9 a second, so frames keep their rate |

Host: AMD EPYC, two cores that were busy with other work (load 10 to 20), so times are upper bounds. The dev build of glintd. The frames of vivid are test patterns
without a face. What a real camera, its cable and a USB controller do is not covered.

"""
TITLES = {
    "service": ("The unit", "case", "what happened"),
    "camera": ("Faults of the camera", "fault", "what glintd did"),
    "several cameras": ("Two cameras", "case", "what happened"),
    "machine": ("The machine", "case", "what happened"),
}
NOTES = {
    "service": "The time is that of `systemctl start` or `stop`, or from the fault to the next `online`. The code is the exit status of "
               "glintd, or the signal that ended it.\n",
    "camera": "The time is from the moment at which the fault was over to the next state `streaming`; 0 where the stream went on or "
              "was back before. Where the code is `none` the process went on: its number was the same before and after. Gaps are also frames that the "
              "emulated machine was too slow for.\n",
    "several cameras": "Two instances of `glintd@.service`.\n",
    "machine": "",
}


# The last case of faults.py, without which the machine did not come through all of them.
LAST = "stop after all of it"
UNTRIED = ("**The faults of vivid under systemd were not run to their end yet**: the host was too busy for an emulated machine. Four of "
           "them were tried with the capture thread and the daemon in an arm64 machine without systemd (`tests/vm/run.sh`).")


def cell(text):
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(text or "")).replace("|", "\\|").replace("\n", " ").replace("`", "'")
    return text if len(text) <= 220 else text[:217] + "..."


def row_of(row):
    seconds = "" if row["seconds"] is None else f"{row['seconds']:.1f}"
    wrong = "" if row["ok"] else "**not as it should be:** "
    log = f"`{cell(row['log'])}`" if row["log"] else ""
    did = row["did"].replace("|", "\\|").replace("\n", " ")[:300]
    return f"| {cell(row['name'])} | {row['where']} | {wrong}{did} | {seconds} | {cell(row['code'])} | {log} |\n"


def main():
    where, results, kept, page = sys.argv[1:]
    rows = [json.loads(line) for line in open(results)]
    for row in rows:
        row["where"] = where[0].upper()
        print(f"{'PASS' if row['ok'] else 'FAIL'} {row['group']}: {row['name']}")
    done = any(row["name"] == ("stop" if where == "event" else "package removed") for row in rows)
    rows = [row for row in rows if row["group"] in TITLES]
    if not done:
        print(f"FAIL the {where} did not come to its end")
    is_known = os.path.exists(kept)
    gathered = [json.loads(line) for line in open(kept)] if is_known else []
    names = {(row["group"], row["name"]): row for row in rows}
    gathered = [names.pop((old["group"], old["name"]), old) for old in gathered] + list(names.values())
    with open(kept, "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in gathered)
    text = HEAD
    for group, (title, first, second) in TITLES.items():
        of = [row for row in gathered if row["group"] == group]
        if group == "camera" and not any(row["name"] == LAST for row in of):
            text += f"## {title}\n\n{UNTRIED}\n\n"
        if of:
            head = "" if group == "camera" and UNTRIED in text else f"## {title}\n\n"
            text += f"{head}{NOTES[group]}\n| {first} | in | {second} | s | code | log |\n|---|---|---|---|---|---|\n"
            text += "".join(row_of(row) for row in of) + "\n"
    # The rows of the other machines would go.
    if where == "event" and not is_known:
        print(f"{page} is left alone: run systemd.sh first, whose rows it holds")
    else:
        with open(page, "w") as file:
            file.write(text.rstrip("\n") + "\n")
    return 0 if done and all(row["ok"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
