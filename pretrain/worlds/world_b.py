"""World B: sequences of living scanned heads with small movements, and their truth.

    pip install -r requirements.txt
    python3 pretrain/worlds/world_b.py OUT --assets DIR --sequences 24 --fps 30 --seed 1 --content mixed

Writes OUT/ID.avi (MJPEG, 640x480) and OUT/ID.json, as `glint-pretrain evaluate spotting --data OUT` reads them. World B
exists to judge what was trained in world A (`glint-pretrain corpus`, `src/synth`) and the reverse: it shares no code
and no parameters with it; README.md lists what the two have in common all the same.

Contents: `mixed` (micro-expressions in a living face, 12 s), `distractors` (everything but micro-expressions, 15 s),
`still` (what never stops, nothing else, 10 s). One sequence is one person; person K of a seed is the same one at every
rate and in every content. DIR holds `ict/ict_face_pack.bin` and `priors/me_priors.json`.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

import cv2
import numpy as np

import b_micro
from b_head import Person, Scan
from b_life import Life
from b_render import FAST_GRID, HEIGHT, WIDTH, Scene

SECONDS = {"mixed": 12.0, "distractors": 15.0, "still": 10.0}


def occasions(life, priors, rng, items, first, gap, last):
    """Lets things happen one after the other; returns their spans."""
    acts = {
        "macro": lambda t: life.macro(t, priors.expression(rng)), "talk": life.talk, "laugh": life.laugh, "posture": life.posture,
        "nod": life.nod, "turn": life.turn, "swallow": life.swallow, "moisten": life.moisten, "light": life.exposure_step,
        "hand": life.show_hand, "glare": life.show_glare,
    }
    spans, t = [], first
    for item in items:
        # The longest lasts about 3.6 s.
        if t > last - (3.7 if item in ("talk", "macro", "laugh", "hand") else 1.8):
            continue
        end = acts[item](t)
        # Light disturbs no face; it may coincide with anything.
        if item not in ("light", "glare"):
            spans.append((t, end))
        t = end + rng.uniform(*gap)
    return spans


def plan(life, scene, priors, content, rng):
    """Fills a sequence; returns its micro-expressions."""
    seconds, glasses = life.seconds, life.person.traits["glasses"]
    life.tension()
    life.rest_of_head(0.5 if content == "still" else 1.0)
    life.eyes(0.25 if content == "still" else rng.uniform(0.6, 1.2))
    events = []
    if content == "mixed":
        chance = {"talk": 0.45, "macro": 0.25, "laugh": 0.12, "posture": 0.35, "nod": 0.35, "turn": 0.3, "swallow": 0.25, "moisten": 0.25,
                  "light": 0.45, "hand": 0.1, "glare": 0.4 if glasses else 0}
        items = [k for k, p in chance.items() if rng.random() < p]
        rng.shuffle(items)
        busy = occasions(life, priors, rng, items[:3], rng.uniform(0.5, 4.0), (1.2, 3.0), seconds - 0.3)
        if rng.random() < 0.6:
            life.held(rng.uniform(0.5, 6), rng.uniform(2, 6), priors.expression(rng), rng.uniform(0.08, 0.45), "held expression")
        t, taken = rng.uniform(0.8, 2.0), []
        while t < seconds - 0.8:
            clear = [b + 0.25 for a, b in busy if a - 0.75 < t < b + 0.25]
            if clear:
                t = clear[0] + rng.uniform(0.02, 0.4)
                continue
            event = b_micro.add(life, priors, scene, t, rng)
            events.append(event)
            taken.append((event["onset_ms"] / 1e3, event["offset_ms"] / 1e3))
            t = taken[-1][1] + rng.uniform(1.6, 3.6)
        # Some blinks come beside a micro-expression; those are noted.
        kept = [span for span in taken if rng.random() > 0.07]
        for blink in life.blinks(kept, rng.uniform(17, 32)):
            if any(blink[0] < b + 0.25 and a < blink[1] + 0.25 for a, b in taken):
                life.note("blink beside a micro-expression", *blink)
    elif content == "distractors":
        kinds = ["talk", "talk", "macro", "macro", "laugh", "posture", "nod", "nod", "turn", "turn", "swallow", "moisten", "light", "light", "hand"]
        items = [str(k) for k in rng.choice(kinds + ["glare"] * 2 * glasses, 12)]
        occasions(life, priors, rng, items, rng.uniform(0.5, 1.5), (0.3, 1.6), seconds)
        if rng.random() < 0.5:
            life.held(rng.uniform(0.5, 8), rng.uniform(2, 6), priors.expression(rng), rng.uniform(0.08, 0.5), "held expression")
        life.blinks([], rng.uniform(14, 30))
    life.close()
    return sorted(events, key=lambda e: e["onset_ms"])


class Codec:
    """What the camera sends its pictures through, and the file that they end in."""

    def __init__(self, path, fps, rng, folder):
        self.path, self.fps = path, fps
        kind = str(rng.choice(["h264", "mpeg4", "mjpeg", "none"], p=[0.4, 0.15, 0.3, 0.15]))
        self.quality, self.middle = None, None
        options = []
        rate = (fps / 30) ** 0.5
        if kind == "h264":
            kbit = int(np.exp(rng.uniform(np.log(350), np.log(2500))) * rate)
            options = ["-c:v", "libx264", "-preset", "veryfast", "-b:v", f"{kbit}k", "-maxrate", f"{int(1.5 * kbit)}k", "-bufsize", f"{kbit}k", "-g", str(int(2 * fps))]
            options += ["-tune", "zerolatency"] * int(rng.random() < 0.5)
            self.name = f"h264 {kbit} kbit/s"
        elif kind == "mpeg4":
            kbit = int(np.exp(rng.uniform(np.log(900), np.log(4000))) * rate)
            options = ["-c:v", "mpeg4", "-b:v", f"{kbit}k", "-g", str(int(fps))]
            self.name = f"mpeg4 {kbit} kbit/s"
        elif kind == "mjpeg":
            self.quality = int(rng.integers(60, 91))
            self.name = f"mjpeg quality {self.quality}"
        else:
            self.name = "none"
        raw = ["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{WIDTH}x{HEIGHT}", "-r", f"{fps}", "-i", "-", "-threads", "1"]
        # Full range all the way: MJPEG is stored so.
        if options:
            self.middle = pathlib.Path(folder) / "middle.mkv"
            command = raw + options + ["-pix_fmt", "yuv420p", str(self.middle)]
        else:
            command = raw + self.last() + [str(path)]
        self.pipe = subprocess.Popen(command, stdin=subprocess.PIPE)

    @staticmethod
    def last():
        return ["-c:v", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj420p", "-threads", "1"]

    def write(self, picture):
        if self.quality is not None:
            picture = cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, self.quality])[1], cv2.IMREAD_GRAYSCALE)
        self.pipe.stdin.write(picture.tobytes())

    def close(self):
        self.pipe.stdin.close()
        if self.pipe.wait():
            raise SystemExit(f"{self.path}: ffmpeg failed")
        if self.middle is not None:
            command = ["ffmpeg", "-v", "error", "-y", "-i", str(self.middle), "-fps_mode", "passthrough", *self.last(), str(self.path)]
            if subprocess.run(command).returncode:
                raise SystemExit(f"{self.path}: ffmpeg failed")


def flicker(scene, at, depth, mains, phase):
    """Gain of every line: a lamp at twice the mains frequency, averaged over the shutter, read line by line."""
    if depth == 0:
        return np.ones(HEIGHT, np.float32)
    f = 2 * mains
    t = at + scene.readout * (np.arange(HEIGHT) / HEIGHT - 0.5)
    return (1 + depth * np.sinc(f * scene.shutter) * np.cos(2 * np.pi * f * t + phase)).astype(np.float32)


def film(scan, priors, out, index, args):
    """Writes a sequence; returns its number of frames."""
    identifier = f"b{args.seed}-{args.content[0]}{index:03d}"
    contents = list(SECONDS)
    person = Person(scan, np.random.default_rng([0xB0B, args.seed, index]))
    rng = np.random.default_rng([0xB1B, args.seed, index, contents.index(args.content), int(args.fps)])
    seconds = args.seconds or SECONDS[args.content]
    scene = Scene(person, rng, seconds)
    shutter = rng.choice([1 / 60, 1 / 60, 1 / 100, 1 / 45])
    scene.shutter = float(min(shutter, 0.85 / args.fps))
    if args.fps > 60:
        scene.grid = FAST_GRID
    life = Life(person, scene, rng, seconds)
    events = plan(life, scene, priors, args.content, rng)
    mains = float(rng.choice([50.0, 60.0]))
    depth = float(rng.uniform(0.01, 0.06)) if rng.random() < 0.4 else 0.0
    phase = rng.uniform(0, 2 * np.pi)
    repeats = bool(args.fps <= 60 and rng.random() < 0.12)
    with tempfile.TemporaryDirectory() as folder:
        codec = Codec(out / f"{identifier}.avi", args.fps, rng, folder)
        frames, last, picture = round(seconds * args.fps), -1, None
        for k in range(frames):
            # A sensor of 25 frames in a stream of 30 shows some frames twice.
            slot = int(k * 25 / 30) if repeats else k
            if slot != last:
                at = slot / args.fps * (30 / 25 if repeats else 1)
                gains = flicker(scene, at, depth, mains, phase) * np.float32(life.gain(at))
                picture = scene.develop(scene.frame(life, at), gains)
                last = slot
            codec.write(picture)
        codec.close()
    kinds = {"blink", "macro", "speech", "turn", "light", "hand", "glare"}
    truth = {
        "person": f"b{args.seed}-{index:03d}",
        "source": "scan",
        "held_out": True,
        "fps": args.fps,
        "events": events,
        "distractors": [{"what": w, "from_ms": round(1e3 * a, 1), "to_ms": round(1e3 * b, 1)} for w, a, b in sorted(life.spans, key=lambda s: s[1]) if w in kinds],
        "traits": person.traits,
        "notes": sorted(life.notes, key=lambda n: n["from_ms"]),
        "camera": {"eye_distance_px": round(scene.eye_px, 1), "distance_cm": round(scene.distance, 1), "codec": codec.name, "shutter_ms": round(1e3 * scene.shutter, 2),
                   "readout_ms": round(1e3 * scene.readout, 2), "flicker": round(depth, 3), "mains_hz": mains, "repeated_frames": repeats},
    }
    (out / f"{identifier}.json").write_text(json.dumps(truth, indent=1) + "\n")
    return frames


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--assets", type=pathlib.Path, required=True)
    parser.add_argument("--sequences", type=int, default=24)
    parser.add_argument("--first", type=int, default=0, help="number of the first sequence, to share the work")
    parser.add_argument("--fps", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--content", choices=list(SECONDS), default="mixed")
    parser.add_argument("--seconds", type=float, help="length instead of the content's own")
    args = parser.parse_args()
    if not 1 <= args.fps <= 500:
        parser.error(f"--fps: {args.fps}; allowed: 1 to 500")
    cv2.setNumThreads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    scan, priors = Scan(args.assets / "ict"), b_micro.Priors(args.assets / "priors/me_priors.json")
    for index in range(args.first, args.first + args.sequences):
        print(index, film(scan, priors, args.out, index, args), flush=True)


if __name__ == "__main__":
    main()
