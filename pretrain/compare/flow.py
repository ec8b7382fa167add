"""Compares glint's optical flow with OpenCV's on rendered pairs with exact truth, in one run.

    glint-pretrain preview --pairs pairs --count 200
    python3 pretrain/compare/flow.py pairs [PROGRAM]

PROGRAM is glint-pretrain, target/debug/glint-pretrain by default; it and OpenCV use one thread each. Compared are the
middle 128x128 pixels: mean end-point error over all pixels, over those that move by 0.5 px or more, and its median; the
same under another light (apex image times 0.75, a slope of +-10 gray levels and a bump added); median time of a pair.
Flow of less than full resolution is enlarged bilinearly, as OpenCV does inside. Prints a Markdown table. Exit code 1 when
the error of `quick-steady` is above DIS medium's or its time above a third of it, or when `coarse-steady` is worse or
slower than DIS fast.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time

import cv2
import numpy as np

SIDE = 128


def middle(image):
    top, left = (image.shape[-2] - SIDE) // 2, (image.shape[-1] - SIDE) // 2
    return np.ascontiguousarray(image[..., top : top + SIDE, left : left + SIDE])


def relit(image):
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    light = 10 * (x / 64 - 1) + 7 * np.sin(x / 40) * np.cos(y / 40)
    return np.clip(np.round(0.75 * image + 20 + light), 0, 255).astype(np.uint8)


def enlarge(flow):
    factor = SIDE // flow.shape[-1]
    if factor == 1:
        return flow
    return np.stack([factor * cv2.resize(p, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR) for p in flow])


def ours(program, names, pairs):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name, (onset, apex) in zip(names, pairs):
            cv2.imwrite(str(folder / f"{name}.onset.png"), onset)
            cv2.imwrite(str(folder / f"{name}.apex.png"), apex)
        done = subprocess.run([program, "flow", folder, "--out", folder], check=True, stdout=subprocess.PIPE)
        report = json.loads(done.stdout)
        return {
            setting: ([enlarge(np.load(folder / f"{name}.{setting}.npy")) for name in names], r["us"])
            for setting, r in report.items()
        }


def theirs(pairs):
    methods = {}
    for name, preset in (("fast", cv2.DISOPTICAL_FLOW_PRESET_FAST), ("medium", cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)):
        dis = cv2.DISOpticalFlow_create(preset)
        methods[f"DIS {name}"] = lambda a, b, dis=dis: dis.calc(a, b, None)
    methods["Farneback"] = lambda a, b: cv2.calcOpticalFlowFarneback(a, b, None, 0.5, 3, 15, 3, 5, 1.2, 0)
    out = {}
    for name, method in methods.items():
        times, flows = [], []
        for onset, apex in pairs:
            for _ in range(5):
                start = time.perf_counter()
                flow = method(onset, apex)
                times.append(1e6 * (time.perf_counter() - start))
            flows.append(flow.transpose(2, 0, 1))
        out[name] = (flows, float(np.median(times)))
    return out


def main(folder, program="target/debug/glint-pretrain"):
    cv2.setNumThreads(1)
    folder = pathlib.Path(folder)
    names = sorted(p.name.removesuffix(".flow.npy") for p in folder.glob("*.flow.npy"))
    if not names:
        sys.exit(f"{folder}: no *.flow.npy")
    read = lambda name, part: middle(cv2.imread(str(folder / f"{name}.{part}.png"), cv2.IMREAD_GRAYSCALE))
    pairs = [(read(name, "onset"), read(name, "apex")) for name in names]
    truth = np.stack([middle(np.load(folder / f"{name}.flow.npy").astype(np.float32)) for name in names])
    other = [(onset, relit(apex)) for onset, apex in pairs]
    plain = theirs(pairs) | ours(program, names, pairs)
    light = theirs(other) | ours(program, names, other)
    moving = np.hypot(truth[:, 0], truth[:, 1]) >= 0.5
    print(f"{len(names)} pairs, {100 * moving.mean():.0f} % of the pixels move by 0.5 px or more\n")
    print("| method | mean EPE px | moving px | median px | other light px | time us |\n|---|---|---|---|---|---|")
    means = {}
    for name, (flows, us) in plain.items():
        error = np.hypot(*(np.stack(flows) - truth).swapaxes(0, 1))
        relight = np.hypot(*(np.stack(light[name][0]) - truth).swapaxes(0, 1))
        means[name] = error.mean()
        print(
            f"| {name} | {error.mean():.4f} | {error[moving].mean():.3f} | {np.median(error):.4f} "
            f"| {relight.mean():.3f} | {us:.0f} |"
        )
    quick = means["quick-steady"] <= means["DIS medium"] and plain["quick-steady"][1] <= plain["DIS medium"][1] / 3
    coarse = means["coarse-steady"] <= means["DIS fast"] and plain["coarse-steady"][1] <= plain["DIS fast"][1]
    sys.exit(int(not (quick and coarse)))


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])
