"""The other side of `sandbox.py`: run one program under limits and say on a pipe that it came to its end. A script of its own: `python -I -S cage.py`.

Before the program's first line: limits on time, memory and files; then a filter in the kernel (seccomp, Linux on x86-64 and arm64) under which every
call that opens a file for writing, starts a process, reaches a network, signals or removes anything fails; and hooks in the interpreter that
refuse the same elsewhere. The word that proves the end is read from the standard input before the program begins.
"""
import os
import resource
import runpy
import sys

LIMITS = {"RLIMIT_CORE": 0, "RLIMIT_FSIZE": 0, "RLIMIT_NOFILE": 32, "RLIMIT_NPROC": 0}
ALLOW, DENY, KILL = 0x7FFF0000, 0x00050001, 0x80000000
LOAD, EQUAL, ANY, RETURN = 0x20, 0x15, 0x45, 0x06
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
MACHINES = {
    # architecture of the kernel; calls that are refused; calls that open a file, with the place of their flags
    "x86_64": (0xC000003E, (41, 42, 43, 44, 49, 50, 53, 56, 57, 58, 59, 62, 76, 82, 83, 84, 85, 86, 87, 88, 90, 91, 92, 94, 101, 133, 161, 165, 188, 200, 234, 250, 258, 259, 260, 263, 264, 265, 266, 268, 280,
                            298, 302, 310, 311, 316, 319, 321, 322, 323, 424, 425, 434, 435, 437), ((2, 1), (257, 2))),
    "aarch64": (0xC00000B7, (5, 33, 34, 35, 36, 37, 38, 40, 45, 51, 52, 53, 54, 55, 88, 117, 129, 130, 131, 198, 199, 200, 201, 202, 203, 206, 219, 220, 221, 241, 261, 270, 271, 276, 279, 280, 281, 282,
                             424, 425, 434, 435, 437), ((56, 2),)),
}  # fmt: skip
REFUSED = ("socket.", "subprocess.", "ctypes.", "shutil.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.startfile", "os.kill", "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link",
           "os.symlink", "os.truncate", "os.chmod", "os.chown", "os.utime", "os.putenv", "pty.", "webbrowser.", "ftplib.", "smtplib.", "urllib.", "http.")  # fmt: skip


def main() -> None:
    place, seconds, memory, pipe = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    word = sys.stdin.buffer.read()
    for name, most in {**LIMITS, "RLIMIT_CPU": seconds, "RLIMIT_AS": memory}.items():
        limit = getattr(resource, name)
        resource.setrlimit(limit, (most, most))
    filtered = kernel_filter()
    sys.addaudithook(refuse)
    sys.argv = ["program"]
    runpy.run_path(place, run_name="program")
    os.write(pipe, word + (b" kernel" if filtered else b" interpreter"))


def refuse(event: str, given: tuple) -> None:
    """What the interpreter is about to do, unless this raises."""
    writes = event == "open" and isinstance(given[2], int) and bool(given[2] & WRITING)
    if writes or event.startswith(REFUSED):
        raise PermissionError(f"a program under test may not do this: {event}")


def kernel_filter() -> bool:
    """Ask the kernel to refuse what a program under test has no business with; False where it has no such filter."""
    machine = os.uname().machine
    if sys.platform != "linux" or machine not in MACHINES:
        return False
    import ctypes

    class Line(ctypes.Structure):
        _fields_ = [("code", ctypes.c_ushort), ("yes", ctypes.c_ubyte), ("no", ctypes.c_ubyte), ("value", ctypes.c_uint)]

    class Filter(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("lines", ctypes.POINTER(Line))]

    architecture, refused, opening = MACHINES[machine]
    lines = [(LOAD, 0, 0, 4), (EQUAL, 1, 0, architecture), (RETURN, 0, 0, KILL), (LOAD, 0, 0, 0)]
    for call in refused:
        lines += [(EQUAL, 0, 1, call), (RETURN, 0, 0, DENY)]
    for call, place in opening:
        lines += [(EQUAL, 0, 4, call), (LOAD, 0, 0, 16 + 8 * place), (ANY, 0, 1, WRITING), (RETURN, 0, 0, DENY), (RETURN, 0, 0, ALLOW)]
    lines.append((RETURN, 0, 0, ALLOW))
    program = Filter(len(lines), (Line * len(lines))(*(Line(*line) for line in lines)))
    library = ctypes.CDLL(None, use_errno=True)
    return library.prctl(38, 1, 0, 0, 0) == 0 and library.prctl(22, 2, ctypes.byref(program), 0, 0) == 0


if __name__ == "__main__":
    main()
