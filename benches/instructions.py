#!/usr/bin/env python3
"""Instructions of the pipeline a frame, by stage: they do not depend on what else the machine does.

    cargo build --features demo && cargo run --features demo --example film -- subject.avi
    benches/instructions.py target/debug/glintd subject.avi            compares with instructions.json, 1 where it costs more
    benches/instructions.py target/debug/glintd subject.avi --write    writes instructions.json anew

Needs valgrind, which shows programs a processor with AVX2. Two seconds of the film of the synthetic subject are counted, in the
dev profile: frames of a face that is followed, one search for faces a second, and one micro-expression.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

STORED = pathlib.Path(__file__).with_name("instructions.json")
SECONDS = 2
# Part of the program: the functions that are all of it.
STAGES = {
    "whole": ["glint::pipeline::Pipeline::push_timed"],
    "follow": ["glint::face::track::Track::follow"],
    "landmarks": ["glint::face::landmarks::Landmarker::locate"],
    "detect": ["glint::face::detector::Detector::detect"],
    "flow": ["glint::flow::FlowEngine::run"],
    "AU network": ["glint::intensity::features::features", "glint::intensity::AuNet::run"],
    "gate": ["glint::gate::Gate::update"],
}
# A stage that costs more than this, and more than so many instructions, has got worse.
WORSE, LEAST = 1.10, 20_000


def count(glintd, film):
    """Instructions of each stage and of the rest, a frame."""
    with tempfile.TemporaryDirectory(prefix="glint-count-") as folder:
        out = os.path.join(folder, "callgrind.out")
        run = subprocess.run(
            ["valgrind", "--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*Pipeline*push_timed*",
             f"--callgrind-out-file={out}", glintd, "bench", film, "--to", str(SECONDS), "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if run.returncode != 0:
            sys.exit(f"instructions: {run.stderr[-2000:]}")
        frames = json.loads(run.stdout)["frames"]
        lines = subprocess.run(["callgrind_annotate", "--inclusive=yes", "--threshold=99.99", out], check=True,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.splitlines()
    counted = {}
    for line in lines:
        found = re.match(r"\s*([\d,]+) \(.*?\)\s+\S+?:(\S.*?)(?: \[.*\])?$", line)
        if found:
            number, name = int(found[1].replace(",", "")), found[2]
            counted[name] = max(counted.get(name, 0), number)
    stages = {}
    for stage, functions in STAGES.items():
        missing = [f for f in functions if f not in counted]
        if missing:
            sys.exit(f"instructions: {missing[0]} was not seen: has it another name?")
        stages[stage] = round(sum(counted[f] for f in functions) / frames)
    stages["other"] = 2 * stages["whole"] - sum(stages.values())
    return stages


def main():
    if len(sys.argv) not in (3, 4) or sys.argv[3:] not in ([], ["--write"]):
        sys.exit(__doc__)
    if " avx2 " not in pathlib.Path("/proc/cpuinfo").read_text():
        print("skipped: the stored counts are those of a processor with AVX2")
        return
    now = count(sys.argv[1], sys.argv[2])
    if sys.argv[3:]:
        STORED.write_text(json.dumps(now, indent=2) + "\n")
    before = json.loads(STORED.read_text())
    print(f"{'instructions a frame':<22}{'stored':>12}{'now':>12}{'ratio':>8}")
    worse = []
    for stage, number in now.items():
        stored = before.get(stage, 0)
        print(f"{stage:<22}{stored:>12,}{number:>12,}{number / max(stored, 1):>8.3f}")
        if number > WORSE * stored and number - stored > LEAST:
            worse.append(stage)
    if worse:
        sys.exit(f"instructions: {', '.join(worse)}: more than {WORSE} times what is stored")


main()
