"""A peer for the spotter: dense optical flow in regions of the face, filtered, peaks picked. Offline, no training.

    python3 pretrain/compare/spotting_dis.py FOLDER --out PRED [--boxes DIR] [--json FILE]
    python3 pretrain/compare/spotting_dis.py FOLDER --out PRED --glintd target/release/glintd

What a practitioner would build in an afternoon: OpenCV's DIS flow between a running reference and each frame, the mean
motion of each region less that of the whole face, a zero-phase band-pass, peaks by prominence over the clip's own noise, onset and
offset where the peak has fallen to a share of its height. It looks at whole clips, forwards and backwards; nothing here is causal.

FOLDER holds NAME.avi with NAME.json each (`glint-pretrain corpus --video`, `world_b.py`) or one truth.json for all
(`data/real/apply.py`). Where the face is comes from a table of `glintd inspect` (columns x, y, w, h): from --boxes
DIR/NAME.csv, or made with --glintd. A frame without a face keeps the last box. Writes PRED/NAME.jsonl, one movement a line,
as `data/real/score.py` reads them, and prints precision, recall and F1 at IoU 0.5.

The limits below were chosen on world A alone: `glint-pretrain corpus --video --split train --fps 30 --samples 40 --seed 3`, then
`--tune`. Never on world B and never on real footage.
"""

import argparse
import csv
import itertools
import json
import pathlib
import subprocess
import sys
import tempfile

import cv2
import numpy as np
import scipy.signal

# Faces are cut to this size before flow is computed: eyes about 64 px apart, at 0.38 of the height.
SIZE = 160
# Side of the cut, and how far it reaches above the face box, in widths of the box (1.74 eye distances in glintd).
CUT, ABOVE = 1.44, 0.244
# Regions in shares of the cut: name, x, y, width, height (seen from the camera).
REGIONS = {
    "brow outer right": (0.14, 0.20, 0.17, 0.12), "brow inner right": (0.31, 0.20, 0.17, 0.12),
    "brow inner left": (0.52, 0.20, 0.17, 0.12), "brow outer left": (0.69, 0.20, 0.17, 0.12),
    "lid right": (0.20, 0.33, 0.22, 0.10), "lid left": (0.58, 0.33, 0.22, 0.10),
    "cheek right": (0.16, 0.50, 0.20, 0.16), "cheek left": (0.64, 0.50, 0.20, 0.16),
    "nose": (0.40, 0.48, 0.20, 0.18),
    "mouth corner right": (0.25, 0.70, 0.15, 0.16), "mouth corner left": (0.60, 0.70, 0.15, 0.16),
    "upper lip": (0.40, 0.68, 0.20, 0.10), "lower lip": (0.40, 0.79, 0.20, 0.09), "chin": (0.38, 0.88, 0.24, 0.10),
}
EYES = {"lid right", "lid left"}
# Seconds between the reference and the frame that it is compared with, at most.
REFERENCE_S = 0.5

# Limits, the best of 108 on world A (F1 .788 on 40 sequences at 30 frames/s, seed 3; of people who train).
LIMITS = {
    "low_hz": 1.0, "high_hz": 4.0,  # of the band-pass
    "prominence": 5.0,  # of a peak, in median absolute deviations of its signal
    "least_px": 0.2,  # of a peak, for eyes 64 px apart
    "share": 0.2,  # of its height: onset and offset
    "blink": 3.0,  # a lid that moves more than this many times the strongest other region is a blink
    "global_px": 2.5,  # of the whole face within a movement: a turn
    "busy": 4,  # more peaks than this within 1.5 s: talk
}
SHORTEST_S, LONGEST_S = 0.08, 0.6


def boxes(path, frames, name):
    """[frames, 4] face boxes, smoothed: x, y, width, height in pixels."""
    out = np.full((frames, 4), np.nan)
    with open(path, newline="") as f:
        for row in csv.DictReader(f):
            k = int(row["frame"])
            if k < frames and row["x"] and row["face"] == "1":
                out[k] = [float(row[c]) for c in "xywh"]
    seen = np.flatnonzero(np.isfinite(out[:, 0]))
    if not len(seen):
        return None
    for c in range(4):
        out[:, c] = np.interp(np.arange(frames), seen, out[seen, c])
    return out


def cut_of(box):
    """Affine map from the frame to the cut around a face box."""
    side = CUT * box[2]
    x, y = box[0] + box[2] / 2 - side / 2, box[1] - ABOVE * box[2]
    return np.float32([[SIZE / side, 0, -x * SIZE / side], [0, SIZE / side, -y * SIZE / side]])


def signals(path, table):
    """Motion of every region against the face's own, [frames, regions, 2] px at 64 px between the eyes; of the face; fps."""
    video = cv2.VideoCapture(str(path))
    fps = video.get(cv2.CAP_PROP_FPS)
    frames = []
    while True:
        ok, picture = video.read()
        if not ok:
            break
        frames.append(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY) if picture.ndim == 3 else picture)
    box = boxes(table, len(frames), path.name)
    if box is None or not frames:
        return None
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    dis.setFinestScale(1)
    step = max(1, round(REFERENCE_S * fps))
    cells = [tuple(int(round(SIZE * v)) for v in r) for r in REGIONS.values()]
    total = np.zeros((len(frames), len(cells), 2))
    whole = np.zeros((len(frames), 2))
    reference, base, face_base, fixed = None, np.zeros((len(cells), 2)), np.zeros(2), None
    for k, frame in enumerate(frames):
        if k % step == 0:
            if reference is not None:
                base, face_base = total[k - 1].copy(), whole[k - 1].copy()
            # The cut stays fixed for as long as the reference is: the box's own jitter is no motion.
            fixed = cut_of(box[k])
            previous = cv2.warpAffine(frames[max(0, k - 1)], fixed, (SIZE, SIZE))
            reference = previous
        cut = cv2.warpAffine(frame, fixed, (SIZE, SIZE))
        flow = dis.calc(reference, cut, None)
        # An affine motion of the whole face is head motion.
        grid = flow[12:-12:6, 12:-12:6].reshape(-1, 2)
        yy, xx = np.mgrid[12 : SIZE - 12 : 6, 12 : SIZE - 12 : 6]
        design = np.stack([np.ones(xx.size), (xx.ravel() - SIZE / 2) / SIZE, (yy.ravel() - SIZE / 2) / SIZE], 1)
        weight = np.ones(len(grid))
        for _ in range(3):
            fit = np.linalg.lstsq(design * weight[:, None], grid * weight[:, None], rcond=None)[0]
            away = np.linalg.norm(grid - design @ fit, axis=1)
            weight = 1 / (1 + away / (np.median(away) + 0.05))
        whole[k] = face_base + fit[0]
        for n, (x, y, w, h) in enumerate(cells):
            middle = np.array([1, (x + w / 2 - SIZE / 2) / SIZE, (y + h / 2 - SIZE / 2) / SIZE])
            total[k, n] = base[n] + flow[y : y + h, x : x + w].mean((0, 1)) - middle @ fit
    return total, whole, fps


def spot(total, whole, fps, limits):
    """Movements as (onset, apex, offset) in seconds."""
    n = len(total)
    high = min(limits["high_hz"], 0.45 * fps)
    sos = scipy.signal.butter(2, [limits["low_hz"], high], "bandpass", fs=fps, output="sos")
    if n < 3 * fps * 0.5 + 20:
        return []
    filtered = scipy.signal.sosfiltfilt(sos, total, axis=0)
    face = np.linalg.norm(scipy.signal.sosfiltfilt(sos, whole, axis=0), axis=1)
    length = np.linalg.norm(filtered, axis=2)
    spread = np.median(np.abs(length - np.median(length, 0)), 0) + 0.02
    names = list(REGIONS)
    lids = [k for k, name in enumerate(names) if name in EYES]
    others = [k for k in range(len(names)) if k not in lids]
    peaks = []
    for k in range(len(names)):
        least = max(limits["least_px"], limits["prominence"] * spread[k])
        found, about = scipy.signal.find_peaks(length[:, k], prominence=least, distance=max(1, round(0.1 * fps)))
        for at, height in zip(found, about["prominences"]):
            floor = limits["share"] * length[at, k]
            a = b = at
            while a > 0 and length[a, k] > floor:
                a -= 1
            while b < n - 1 and length[b, k] > floor:
                b += 1
            # The band-pass rings: each lobe is shorter than the movement, which its two neighbours show.
            peaks.append((height / least, a / fps, at / fps, b / fps, k))
    peaks.sort(reverse=True)
    out, counted = [], [p[2] for p in peaks if p[4] in others]
    for strength, a, at, b, k in peaks:
        if any(min(b, d) > max(a, c) - 0.1 for c, _, d in out):
            continue
        around = slice(int(a * fps), int(b * fps) + 1)
        moved = length[around].max(0)
        if moved[lids].max() > limits["blink"] * moved[others].max() or face[around].max() > limits["global_px"]:
            continue
        if len({round(t / 0.12) for t in counted if abs(t - at) < 0.75}) > limits["busy"]:
            continue
        if SHORTEST_S <= b - a <= LONGEST_S:
            out.append((a, at, b))
    return sorted(out)


def truths(folder):
    """{name: [(onset, offset)] in seconds} of micro-expressions, of either form of truth."""
    whole = folder / "truth.json"
    if whole.exists():
        sequences = {s["name"]: s for s in json.loads(whole.read_text())["sequences"]}
    else:
        sequences = {p.stem: json.loads(p.with_suffix(".json").read_text()) for p in sorted(folder.glob("*.avi")) if p.with_suffix(".json").exists()}
    if not sequences:
        sys.exit(f"{folder}: no truth.json and no NAME.avi with NAME.json")
    return {n: [(e["onset_ms"] / 1e3, e["offset_ms"] / 1e3) for e in s["events"] if e["kind"] == "micro"] for n, s in sequences.items()}


def hits(true, found, least=0.5):
    """Pairs of IoU of at least `least`, greedily from the highest."""
    pairs = []
    for i, (a, b) in enumerate(true):
        for j, (c, _, d) in enumerate(found):
            value = max(0.0, min(b, d) - max(a, c)) / (max(b, d) - min(a, c))
            if value >= least:
                pairs.append((value, i, j))
    used_true, used_found = set(), set()
    for _, i, j in sorted(pairs, reverse=True):
        if i not in used_true and j not in used_found:
            used_true.add(i)
            used_found.add(j)
    return len(used_true)


def figures(true, found):
    tp = sum(hits(true[n], found[n]) for n in true)
    fp, fn = sum(map(len, found.values())) - tp, sum(map(len, true.values())) - tp
    ratio = lambda a, b: a / b if b else 0.0
    return {"tp": tp, "fp": fp, "fn": fn, "precision": ratio(tp, tp + fp), "recall": ratio(tp, tp + fn), "f1": ratio(2 * tp, 2 * tp + fp + fn)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--boxes", type=pathlib.Path, help="tables of glintd inspect, NAME.csv")
    parser.add_argument("--glintd", type=pathlib.Path, help="makes the tables")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--tune", action="store_true", help="print F1 over a grid of limits instead (world A only)")
    args = parser.parse_args()
    if not args.boxes and not args.glintd:
        parser.error("one of --boxes and --glintd is needed")
    cv2.setNumThreads(1)
    true = truths(args.folder)
    args.out.mkdir(parents=True, exist_ok=True)
    cache, seconds = {}, 0.0
    with tempfile.TemporaryDirectory() as made:
        for name in true:
            clip = args.folder / f"{name}.avi"
            table = args.boxes / f"{name}.csv" if args.boxes else pathlib.Path(made) / "boxes.csv"
            if not args.boxes:
                done = subprocess.run([args.glintd, "inspect", clip, "--csv", table], capture_output=True, text=True)
                if done.returncode:
                    sys.exit(f"{clip}: glintd inspect: {done.stderr.strip()}")
            cache[name] = signals(clip, table)
            if cache[name] is None:
                print(f"{name}: no face", file=sys.stderr)
            else:
                seconds += len(cache[name][0]) / cache[name][2]

    def run(limits):
        return {n: spot(*c, limits) if c else [] for n, c in cache.items()}

    if args.tune:
        grid = {"low_hz": [0.5, 1.0], "high_hz": [4.0, 8.0], "prominence": [3.0, 5.0, 8.0], "least_px": [0.2, 0.35, 0.5], "share": [0.1, 0.2, 0.35]}
        rows = []
        for values in itertools.product(*grid.values()):
            limits = {**LIMITS, **dict(zip(grid, values))}
            f = figures(true, run(limits))
            rows.append((f["f1"], f["precision"], f["recall"], dict(zip(grid, values))))
        for row in sorted(rows, key=lambda r: -r[0])[:12]:
            print("F1 %.3f P %.3f R %.3f %s" % row)
        return
    found = run(LIMITS)
    for name, movements in found.items():
        lines = [json.dumps({"kind": "micro", "onset_ms": round(1e3 * a, 1), "apex_ms": round(1e3 * p, 1), "offset_ms": round(1e3 * b, 1)}) for a, p, b in movements]
        (args.out / f"{name}.jsonl").write_text("".join(line + "\n" for line in lines))
    f = figures(true, found)
    f["minutes"], f["clips"] = seconds / 60, len(true)
    f["false_alarms_per_min"] = f["fp"] / f["minutes"] if seconds else 0.0
    print("{clips} clips, {minutes:.2f} min: TP {tp} FP {fp} FN {fn}, precision {precision:.2f}, recall {recall:.2f}, F1 {f1:.2f}, false alarms a minute {false_alarms_per_min:.2f}".format(**f))
    if args.json:
        args.json.write_text(json.dumps(f, indent=1) + "\n")


if __name__ == "__main__":
    main()
