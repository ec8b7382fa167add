"""freeze.py TID: stops one thread and leaves the others of its process running, as an endless loop in it would; ends with it."""
import ctypes
import os
import sys

SEIZE, INTERRUPT, WALL = 0x4206, 0x4207, 0x40000000

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
tid = int(sys.argv[1])
for request in (SEIZE, INTERRUPT):
    if libc.ptrace(request, tid, None, None):
        sys.exit(f"ptrace {request:#x}: {os.strerror(ctypes.get_errno())}")
# Whoever stops a thread has to hear of its end, or its process stays a zombie.
while True:
    try:
        _, status = os.waitpid(tid, WALL)
    except ChildProcessError:
        break
    if os.WIFEXITED(status) or os.WIFSIGNALED(status):
        break
