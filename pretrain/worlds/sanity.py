"""Does a daemon see what world B shows? Faces, AU intensities at true movements, movements found.

    python3 pretrain/worlds/sanity.py FOLDER --glintd target/release/glintd [--limit 12]

For every FOLDER/NAME.avi with NAME.json it runs `glintd inspect` and `glintd replay --purpose research`, keeps their output
in --work, and prints: the share of frames with a face and with an open gate; for each true AU whether its measured intensity
at the apex lies above that just outside the movement, and by what share of the true one; precision, recall and F1 at IoU 0.5.
A world whose movements do not show in the AU intensities is a fault of that world, not of the spotter.
"""

import argparse
import collections
import csv
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np


def output(command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout


def matched(true, found):
    """Pairs with an IoU of at least 0.5, greedily from the highest."""
    pairs = sorted(((max(0.0, min(b, d) - max(a, c)) / (max(b, d) - min(a, c)), i, j)
                    for i, (a, b) in enumerate(true) for j, (c, d) in enumerate(found)), reverse=True)
    left, right = set(), set()
    for value, i, j in pairs:
        if value >= 0.5 and i not in left and j not in right:
            left.add(i)
            right.add(j)
    return len(left)


def rise(times, values, event):
    """Mean intensity around the apex less that within 50 ms outside the movement; None where not measured."""
    frame = 1e3 / (len(times) / (times[-1] / 1e3)) if times[-1] > 0 else 10.0
    reach = max(15.0, 0.6 * frame)
    top = values[np.abs(times - event["apex_ms"]) <= reach]
    before = (times >= event["onset_ms"] - 50 - reach) & (times <= event["onset_ms"])
    after = (times >= event["offset_ms"]) & (times <= event["offset_ms"] + 50 + reach)
    rest = values[before | after]
    if not np.isfinite(top).any() or not np.isfinite(rest).any():
        return None
    return float(np.nanmean(top) - np.nanmean(rest))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--glintd", type=pathlib.Path, required=True)
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--work", type=pathlib.Path, help="where tables and events are kept")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        report(args, args.work or pathlib.Path(scratch))


def report(args, work):
    work.mkdir(parents=True, exist_ok=True)
    counts, pairs, faces, gates, minutes = np.zeros(3, int), [], [], [], 0.0
    for clip in sorted(args.folder.glob("*.avi"))[: args.limit]:
        truth = json.loads(clip.with_suffix(".json").read_text())
        table = work / f"{clip.stem}.csv"
        output([args.glintd, "inspect", clip, "--csv", table])
        lines = output([args.glintd, "replay", clip, "--purpose", "research"]).splitlines()
        (work / f"{clip.stem}.jsonl").write_text("\n".join(lines) + "\n")
        found = [json.loads(line)["data"] for line in lines if line.strip()]
        found = [(e["onset_ns"] / 1e6, e["offset_ns"] / 1e6) for e in found]
        true = [(e["onset_ms"], e["offset_ms"]) for e in truth["events"]]
        hits = matched(true, found)
        counts += [hits, len(found) - hits, len(true) - hits]
        with open(table, newline="") as f:
            rows = list(csv.DictReader(f))
        times = np.array([float(r["t_ms"]) for r in rows])
        minutes += times[-1] / 6e4
        faces.append(np.mean([r["face"] == "1" for r in rows]))
        gates.append(np.mean([r["gate"] == "1" for r in rows]))
        for event in truth["events"]:
            for part in event["aus"]:
                values = np.array([float(r["au%02d" % part["au"]] or "nan") for r in rows])
                up = rise(times, values, event)
                if up is not None:
                    pairs.append((part["au"], part["intensity"], up))
        print(f"{clip.stem}: face {faces[-1]:.2f}, gate open {gates[-1]:.2f}, {len(true)} true, {len(found)} found, {hits} hit", flush=True)
    tp, fp, fn = counts
    f1 = 2 * tp / max(1, 2 * tp + fp + fn)
    print(f"{len(faces)} clips, {minutes:.2f} min: face {np.mean(faces):.3f}, gate open {np.mean(gates):.2f}")
    print(f"TP {tp} FP {fp} FN {fn}: precision {tp / max(1, tp + fp):.2f}, recall {tp / max(1, tp + fn):.2f}, F1 {f1:.2f}")
    if not pairs:
        return
    aus, size, up = (np.array(c) for c in zip(*pairs))
    print(f"AUs measured at {len(up)} true movements: {np.mean(up > 0):.2f} rise, median gain {np.median(up / size):.2f}, correlation {np.corrcoef(size, up)[0, 1]:.2f}")
    groups = collections.defaultdict(list)
    for au, s, u in zip(aus, size, up):
        groups[au].append((u > 0, u / s))
    print("AU: movements, share that rise, median gain")
    for au, rows in sorted(groups.items()):
        print(f"{au:3d}: {len(rows):3d} {np.mean([r[0] for r in rows]):.2f} {np.median([r[1] for r in rows]):.2f}")


if __name__ == "__main__":
    main()
