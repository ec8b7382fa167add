"""Time of a followed face: glintd beside MediaPipe's FaceMesh, in alternating rounds on one core.

    python3 pretrain/compare/mediapipe_speed.py target/release/glintd CLIP --rounds 7

Both see the frames of CLIP, decoded beforehand for MediaPipe and not counted by `glintd bench`. A round of MediaPipe is the median
of `FaceMesh.process` over the frames of a clip after a warm-up; a round of glintd is the median of the whole tracked frame.
Needs a mediapipe that carries the face mesh: `pip install mediapipe==0.10.14`. FaceMesh runs without iris refinement.
"""

import argparse
import json
import os
import statistics
import subprocess
import time

import cv2
import mediapipe

WARM_UP = 20


def by_mediapipe(frames):
    """Median milliseconds of a frame, each seen as the next one of a video."""
    mesh = mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=False, max_num_faces=1, refine_landmarks=False)
    times, missed = [], 0
    for k, frame in enumerate(frames):
        begin = time.perf_counter()
        faces = mesh.process(frame).multi_face_landmarks
        if k >= WARM_UP:
            times.append(1e3 * (time.perf_counter() - begin))
            missed += not faces
    mesh.close()
    if missed:
        raise SystemExit(f"FaceMesh lost the face in {missed} of {len(times)} frames: take a clip in which it does not")
    return statistics.median(times)


def by_glintd(program, clip):
    """Median milliseconds of a tracked frame."""
    answer = subprocess.run([program, "bench", clip, "--json"], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(answer.stdout)["tracked_frame"]["p50_us"] / 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("glintd")
    parser.add_argument("clip")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--frames", type=int, default=300, help="so many frames of the clip for MediaPipe")
    parser.add_argument("--core", type=int, default=0)
    args = parser.parse_args()
    os.sched_setaffinity(0, {args.core})
    cv2.setNumThreads(1)
    video, frames = cv2.VideoCapture(args.clip), []
    while len(frames) < args.frames:
        ok, frame = video.read()
        if not ok:
            break
        frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
    if len(frames) <= 2 * WARM_UP:
        raise SystemExit(f"{args.clip}: {len(frames)} frames; more than {2 * WARM_UP} are needed")
    ratios = []
    for k in range(args.rounds):
        ours, theirs = by_glintd(args.glintd, args.clip), by_mediapipe(frames)
        ratios.append(ours / theirs)
        print(f"round {k + 1}: glintd {ours:.2f} ms, FaceMesh {theirs:.2f} ms, ratio {ratios[-1]:.3f}", flush=True)
    print(f"ratio: median {statistics.median(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f}, {len(frames)} frames, MediaPipe {mediapipe.__version__}")


if __name__ == "__main__":
    main()
