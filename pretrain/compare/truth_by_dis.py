"""Compares the true displacement of rendered pairs with OpenCV's DIS optical flow.

    glint-pretrain preview --pairs pairs --count 200
    python3 pretrain/compare/truth_by_dis.py pairs

Prints, for each AU and over all, the median length of the difference in pixels where there is
texture (gradient magnitude of the blurred image at least 4 gray levels a pixel) and where something
moves. Exit code 1 when the median over all is above 0.25 px.
"""

import collections
import pathlib
import sys

import cv2
import numpy as np


def difference(onset, apex, truth):
    """Lengths of the difference and of the true displacement at the pixels with texture."""
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(0)
    flow = dis.calc(onset, apex, None)
    smooth = cv2.GaussianBlur(onset.astype(np.float32), (0, 0), 1.0)
    gradient = np.hypot(*np.gradient(smooth))
    texture = gradient >= 4.0
    texture[:4], texture[-4:], texture[:, :4], texture[:, -4:] = False, False, False, False
    error = np.hypot(flow[..., 0] - truth[0], flow[..., 1] - truth[1])
    return error[texture], np.hypot(*truth)[texture]


def main(folder):
    errors = collections.defaultdict(list)
    moving = []
    for path in sorted(pathlib.Path(folder).glob("*.flow.npy")):
        name = path.name.removesuffix(".flow.npy")
        images = [cv2.imread(str(path.with_name(f"{name}.{k}.png")), cv2.IMREAD_GRAYSCALE) for k in ("onset", "apex")]
        error, length = difference(*images, np.load(path))
        errors[name.rsplit("-", 1)[1]].append(error)
        moving.append(np.stack([error, length])[:, length >= 0.5])
    if not errors:
        sys.exit(f"{folder}: no *.flow.npy")
    for au, values in sorted(errors.items()):
        values = np.concatenate(values)
        print(f"{au}  median {np.median(values):.3f} px  p90 {np.quantile(values, 0.9):.3f} px  {len(values)} pixels")
    everything = np.concatenate([v for values in errors.values() for v in values])
    error, length = np.concatenate(moving, axis=1)
    print(f"all   median {np.median(everything):.3f} px  p90 {np.quantile(everything, 0.9):.3f} px")
    print(f"moving by 0.5 px or more: median {np.median(error):.3f} px of {np.median(length):.2f} px")
    sys.exit(int(np.median(everything) > 0.25 or np.median(error) > 0.25))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
