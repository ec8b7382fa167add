"""Compares the true displacement of rendered pairs with OpenCV's DIS optical flow.

    glint-pretrain preview --pairs pairs --count 200
    glint-pretrain corpus --assets DIR --out corpus --samples 2000
    python3 pretrain/compare/truth_by_dis.py pairs
    python3 pretrain/compare/truth_by_dis.py corpus [--samples 2000]

Reads a folder of pairs (ID.onset.png, ID.apex.png, ID.flow.npy), or the shards of a corpus; samples of a corpus in which a
hand, a lamp or a blink covers the skin are left out, for truth is that of the face behind them. Prints, for each group (AU,
or source and strongest AU) and over all, the median length of the difference in pixels where there is texture (gradient
magnitude of the blurred image at least 4 gray levels a pixel) on the face, and where something moves. Exit code 1 when the
median over all is above 0.25 px.
"""

import argparse
import collections
import io
import json
import pathlib
import sys
import tarfile

import cv2
import numpy as np

HIDDEN = {"hand", "glare", "blink", "light"}


def difference(onset, apex, truth):
    """Lengths of the difference and of the true displacement at the pixels with texture on the face."""
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(0)
    flow = dis.calc(onset, apex, None)
    smooth = cv2.GaussianBlur(onset.astype(np.float32), (0, 0), 1.0)
    gradient = np.hypot(*np.gradient(smooth))
    texture = gradient >= 4.0
    texture[:4], texture[-4:], texture[:, :4], texture[:, -4:] = False, False, False, False
    # Exactly zero: no face there. Its rim is not looked at, where texture belongs to what lies behind.
    face = cv2.erode((np.hypot(*truth) > 0).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    if face.any():
        texture &= face
    error = np.hypot(flow[..., 0] - truth[0], flow[..., 1] - truth[1])
    return error[texture], np.hypot(*truth)[texture]


def pairs(folder):
    """Group, onset, apex, truth of each pair in a folder."""
    for path in sorted(folder.glob("*.flow.npy")):
        name = path.name.removesuffix(".flow.npy")
        images = [cv2.imread(str(path.with_name(f"{name}.{k}.png")), cv2.IMREAD_GRAYSCALE) for k in ("onset", "apex")]
        yield name.rsplit("-", 1)[1], *images, np.load(path)


def shards(folder, limit):
    """The same of each sample in the shards of a corpus."""
    count = 0
    for path in sorted(folder.glob("shard-*.tar")):
        files = {}
        with tarfile.open(path) as archive:
            for member in archive:
                name, kind = member.name.split(".", 1)
                files[kind] = archive.extractfile(member).read()
                if kind != "json":
                    continue
                if count == limit:
                    return
                count += 1
                truth = json.loads(files["json"])
                if not HIDDEN & set(truth["distractors"]):
                    images = [
                        cv2.imdecode(np.frombuffer(files[f"{k}.png"], np.uint8), cv2.IMREAD_GRAYSCALE)
                        for k in ("onset", "apex")
                    ]
                    flow = np.load(io.BytesIO(files["flow.npy"])).astype(np.float32)
                    strongest = max(truth["aus"], key=lambda a: a["intensity"])["au"]
                    yield f"{truth['source']} au{strongest:02}", *images, flow
                files = {}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--samples", type=int, default=2000, help="samples of a corpus, at most")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    errors = collections.defaultdict(list)
    moving = []
    source = shards(args.folder, args.samples) if any(args.folder.glob("shard-*.tar")) else pairs(args.folder)
    for group, onset, apex, truth in source:
        error, length = difference(onset, apex, truth)
        errors[group].append(error)
        moving.append(np.stack([error, length])[:, length >= 0.5])
    if not errors:
        sys.exit(f"{args.folder}: neither *.flow.npy nor shard-*.tar")
    for group, values in sorted(errors.items()):
        values = np.concatenate(values)
        print(f"{group}  median {np.median(values):.3f} px  p90 {np.quantile(values, 0.9):.3f} px  {len(values)} pixels")
    everything = np.concatenate([v for values in errors.values() for v in values])
    error, length = np.concatenate(moving, axis=1)
    print(f"all   median {np.median(everything):.3f} px  p90 {np.quantile(everything, 0.9):.3f} px")
    print(f"moving by 0.5 px or more: median {np.median(error):.3f} px of {np.median(length):.2f} px")
    sys.exit(int(np.median(everything) > 0.25 or np.median(error) > 0.25))


if __name__ == "__main__":
    main()
