"""Compares the frames and times that glintd reads with ffprobe's, on files that ffmpeg makes.

    python3 tests/media/matrix.py [GLINTD] [--every N] [--keep DIR]

GLINTD is target/debug/glintd by default. One file for each container, codec, rate and rotation; with --every N each
N-th alone. Times are relative to the first frame. Prints a Markdown table; exit code 1 where a count differs, or a time
by more than a microsecond (the last digit of ffprobe's and of the CSV's). Files that this ffmpeg cannot make are
counted and left out. Needs ffmpeg and ffprobe.
"""

import argparse
import csv
import io
import pathlib
import subprocess
import sys
import tempfile

# Name, suffix, arguments of the encoder. AVI has one time a chunk and no order of its own: without B-frames.
CODECS = [
    ("H.264", ["mp4", "mov", "mkv", "ts"], ["-c:v", "libx264", "-preset", "veryfast", "-bf", "2"]),
    ("H.264 intra", ["avi"], ["-c:v", "libx264", "-preset", "veryfast", "-bf", "0"]),
    ("HEVC", ["mp4", "mkv"], ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none"]),
    ("MPEG-4", ["mp4", "avi"], ["-c:v", "mpeg4", "-bf", "0"]),
    ("VP8", ["webm"], ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"]),
    ("VP9", ["webm"], ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"]),
    ("MJPEG", ["avi", "mov", "mkv"], ["-c:v", "mjpeg", "-pix_fmt", "yuvj420p"]),
    ("FFV1, 10 bits", ["mkv"], ["-c:v", "ffv1", "-pix_fmt", "yuv420p10le"]),
    ("raw", ["avi", "y4m"], ["-pix_fmt", "yuv420p"]),
]
RATES = ["25", "30000/1001", "100", "variable"]
# ffprobe and the CSV write microseconds: two roundings of a difference, and what is lost on the way to text.
TOLERANCE_S = 1.1e-6


def cases():
    for codec, containers, arguments in CODECS:
        for container in containers:
            for rate in RATES:
                # No times of their own in raw Y4M, one per chunk in AVI, none between the ticks of MPEG-4 Visual.
                if rate == "variable" and (container in ("y4m", "avi") or codec == "MPEG-4"):
                    continue
                turns = (0, 90, 180, 270) if container in ("mp4", "mov") and rate in ("25", "variable") else (0,)
                for turn in turns:
                    yield codec, container, arguments, rate, turn


def run(command):
    return subprocess.run(command, capture_output=True, text=True)


def make(path, container, arguments, rate, turn):
    constant = "30" if rate == "variable" else rate
    source = ["-f", "lavfi", "-i", f"testsrc2=size=320x240:rate={constant}:duration=1.2"]
    sound = ["-f", "lavfi", "-i", "sine=duration=1.5"] if container in ("mp4", "mov", "mkv") else []
    video = ["-map", "0:v", *(["-map", "1:a", "-c:a", "aac"] if sound else [])]
    if rate == "variable":
        # Phones: up to 8 ms early or late, and every ninth picture missing.
        jitter = "settb=1/90000,setpts='PTS+if(gt(N,0),0.008*sin(N*2.4)/TB,0)',select='mod(n+1,9)'"
        video += ["-vf", jitter, "-vsync", "passthrough", "-enc_time_base", "1/90000"]
    made = run(["ffmpeg", "-v", "error", "-y", *source, *sound, *video, *arguments, str(path)])
    if made.returncode:
        return made.stderr
    if turn:
        plain = path.with_name("plain." + container)
        path.rename(plain)
        made = run(["ffmpeg", "-v", "error", "-y", "-display_rotation:v:0", str(turn), "-i", str(plain), "-c", "copy", str(path)])
        if made.returncode:
            # Before version 6.
            tag = f"rotate={turn}"
            made = run(["ffmpeg", "-v", "error", "-y", "-i", str(plain), "-c", "copy", "-metadata:s:v:0", tag, str(path)])
        if made.returncode:
            return made.stderr
    return None


def relative(times):
    return [t - times[0] for t in times]


def theirs(path):
    out = run(["ffprobe", "-v", "error", "-select_streams", "V:0", "-show_entries",
               "frame=best_effort_timestamp_time", "-of", "csv=p=0", str(path)]).stdout
    times = [line.strip(",") for line in out.split()]
    return relative([float(t) for t in times])


def ours(glintd, path):
    done = run([glintd, "inspect", str(path), "--csv", "-"])
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    if done.returncode or not rows:
        return [], done.stderr.strip()
    return relative([float(row["t_ms"]) / 1e3 for row in rows if row["state"] != "gap"]), ""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("glintd", nargs="?", default="target/debug/glintd")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--keep")
    arguments = parser.parse_args()
    bad, left_out, count = 0, 0, 0
    print("| codec | container | rate | turned | frames | ffprobe's | largest difference |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(arguments.keep or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for n, (codec, container, encoder, rate, turn) in enumerate(cases()):
            if n % arguments.every:
                continue
            path = folder / f"{n:03}.{container}"
            error = make(path, container, encoder, rate, turn)
            if error:
                print(f"{codec} in {container}: {error.strip().splitlines()[-1]}", file=sys.stderr)
                left_out += 1
                continue
            expected = theirs(path)
            found, said = ours(arguments.glintd, path)
            most = max((abs(a - b) for a, b in zip(found, expected)), default=0.0)
            good = len(found) == len(expected) > 0 and most <= TOLERANCE_S
            count, bad = count + 1, bad + (not good)
            mark = "" if good else f" **differs** {said}"
            print(f"| {codec} | {container} | {rate} | {turn} | {len(found)} | {len(expected)} | {most * 1e6:.2f} us{mark} |", flush=True)
    print(f"{count} files, {bad} differ, {left_out} could not be made", file=sys.stderr)
    sys.exit(bad > 0 or count == 0)


if __name__ == "__main__":
    main()
