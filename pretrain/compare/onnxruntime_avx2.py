"""A copy of onnxruntime that knows AVX2 and nothing newer, for comparisons of AVX2 kernels.

    python3 pretrain/compare/onnxruntime_avx2.py DIR

onnxruntime has no setting for it: MLAS asks the CPU. So the copy in DIR has two branches of that
question (MLAS_PLATFORM's constructor, x86-64) turned into jumps: past AVX-VNNI and past AVX-512. Use it
with PYTHONPATH=DIR, or as third argument of int8_speed.py. Fails where the code is not found once.
"""

import pathlib
import re
import shutil
import sys

import onnxruntime

# mov eax, 7; mov ecx, 1; cpuid; test al, 0x10 (AVX-VNNI); je
VNNI = re.compile(rb"\xb8\x07\x00\x00\x00\xb9\x01\x00\x00\x00\x0f\xa2\xa8\x10\x74")
# test r10d, 0x10000 (AVX512F); je ...; mov rax, r8; not rax; test al, 0xe0 (state of AVX-512)
AVX512 = re.compile(rb"\x41\xf7\xc2\x00\x00\x01\x00\x74(?=.\x4c\x89\xc0\x48\xf7\xd0\xa8\xe0)", re.DOTALL)


def main(folder):
    copy = pathlib.Path(folder) / "onnxruntime"
    shutil.copytree(pathlib.Path(onnxruntime.__file__).parent, copy)
    (library,) = (copy / "capi").glob("onnxruntime_pybind11_state*.so")
    code = bytearray(library.read_bytes())
    for name, pattern in (("AVX-VNNI", VNNI), ("AVX-512", AVX512)):
        found = [m.end() for m in pattern.finditer(code)]
        if len(found) != 1:
            raise SystemExit(f"{library}: the question for {name} stands there {len(found)} times, not once")
        code[found[0] - 1] = 0xEB  # je to jmp
    library.write_bytes(code)
    print(copy)


if __name__ == "__main__":
    main(sys.argv[1])
