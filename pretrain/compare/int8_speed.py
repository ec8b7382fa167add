"""Time of quantized networks: onnxruntime against glintd's kernels, in one run, one thread.

    glint-pretrain quantize --fixture out/int8
    python3 pretrain/compare/int8_speed.py out/int8/student-like target/release/glintd [DIR]

The first argument names a network without its extension: NAME.onnx in QOperator form and NAME.f32.onnx.
glintd is asked for `bench --models --json` with each fast kernel that this CPU has; its row is the one
called NAME. Rounds alternate between the programs; a figure is the median over all rounds. DIR holds a
copy of onnxruntime held to AVX2, as onnxruntime_avx2.py makes it.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import numpy as np
import onnxruntime

KERNELS = ["avx2", "avx-vnni", "avx512-vnni", "neon", "neon-dot"]
ROUNDS = 3


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])


def median_us(run, seconds=0.4):
    for _ in range(30):
        run()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1e6 * statistics.median(times)


def glintd(program, kernel, name):
    """One row of the bench; None where the CPU does not have the kernel."""
    environment = dict(os.environ, GLINT_INT8_KERNEL=kernel)
    done = subprocess.run([program, "bench", "--models", "--json"], env=environment, capture_output=True, text=True)
    return json.loads(done.stdout)["models"][name] if done.returncode == 0 else None


def feed_of(s):
    info = s.get_inputs()[0]
    values = np.arange(np.prod(info.shape)) * 31 % 128 / 32 - 2
    return {info.name: values.astype(np.float32).reshape(info.shape)}


def held(folder, file):
    """The time with another copy of onnxruntime, in a process of its own."""
    environment = dict(os.environ, PYTHONPATH=folder)
    done = subprocess.run([sys.executable, __file__, "--time", file], env=environment, capture_output=True, text=True)
    return float(done.stdout)


def main(network, program, held_to_avx2=None):
    path = pathlib.Path(network)
    rows = {}
    runs = {}
    for label, file in (("f32", f"{path}.f32.onnx"), ("u8", f"{path}.onnx")):
        if not os.path.exists(file):
            continue
        s = session(file)
        # The output buffer and the feed stay the same, as the bench's do.
        runs[f"onnxruntime {label}"] = lambda s=s, feed=feed_of(s): s.run(None, feed)
    for _ in range(ROUNDS):
        for label, run in runs.items():
            rows.setdefault(label, []).append(median_us(run))
        if held_to_avx2:
            rows.setdefault("onnxruntime u8, AVX2", []).append(held(held_to_avx2, f"{path}.onnx"))
        for kernel in KERNELS:
            times = glintd(program, kernel, path.name)
            if times is None:
                continue
            rows.setdefault(f"glint int8, {kernel}", []).append(times["int8_us"])
            rows.setdefault("tract f32", []).append(times["f32_us"])
            rows.setdefault("tract int8", []).append(times["int8_plain_us"])
    reference = statistics.median(rows["onnxruntime u8"])
    print(f"{path.name}: median of {ROUNDS} rounds, one thread")
    for label, times in rows.items():
        us = statistics.median(times)
        print(f"  {label:<24} {us:9.1f} us  {us / reference:6.2f} of onnxruntime u8")


if __name__ == "__main__":
    if sys.argv[1] == "--time":
        s = session(sys.argv[2])
        feed = feed_of(s)
        print(median_us(lambda: s.run(None, feed)))
    else:
        main(*sys.argv[1:4])
