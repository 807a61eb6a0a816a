"""Runs a command under the system call filter of a systemd unit, without systemd: UNIT COMMAND [ARGUMENT…].

SystemCallFilter= and SystemCallErrorNumber= become the same seccomp filter that systemd installs. The names of a set
come from systemd-analyze, the numbers of calls from the C compiler. Called by deploy/check.sh.
"""

import ctypes
import errno
import os
import re
import struct
import subprocess
import sys


def output(*command, stdin=""):
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=True).stdout


def numbers():
    """The number of each system call of this machine."""
    macros = output("cc", "-dM", "-E", "-", stdin="#include <sys/syscall.h>\n")
    return {name: int(number) for name, number in re.findall(r"^#define __NR_(\w+) (\d+)$", macros, re.M)}


def expanded(name):
    """The calls of a set such as @resources, or the call itself."""
    if not name.startswith("@"):
        return {name}
    lines = (line.strip() for line in output("systemd-analyze", "syscall-filter", name).splitlines()[1:])
    return set().union(*(expanded(line) for line in lines if line and not line.startswith("#")))


def settings(unit, key):
    return re.findall(rf"^{key}=(.*)$", open(unit).read(), re.M)


def allowed(unit):
    """The calls that the unit allows; its first line names what is allowed, later ones may take away."""
    calls = set()
    for line in settings(unit, "SystemCallFilter"):
        names = set().union(*map(expanded, line.removeprefix("~").split()))
        calls = calls - names if line.startswith("~") else calls | names
    assert "execve" in calls, f"{unit} has no SystemCallFilter= that lists what is allowed"
    return calls


def refusal(unit):
    """What seccomp does with all other calls: fail with an error number, or end the process."""
    names = settings(unit, "SystemCallErrorNumber")
    return 0x0005_0000 | getattr(errno, names[-1]) if names else 0x8000_0000


def install(calls, refused):
    step = struct.Struct("<HBBI").pack
    known = numbers()
    program = step(0x20, 0, 0, 0)
    for call in sorted(calls & known.keys()):
        # Equal: the next instruction, which allows it; else the one behind.
        program += step(0x15, 0, 1, known[call]) + step(0x06, 0, 0, 0x7FFF_0000)
    program += step(0x06, 0, 0, refused)

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_void_p)]

    steps = ctypes.create_string_buffer(program)
    libc = ctypes.CDLL(None, use_errno=True)
    no_new_privileges, set_seccomp, by_filter = 38, 22, 2
    whole = Program(len(program) // 8, ctypes.addressof(steps))
    for call in [(no_new_privileges, 1, 0, 0, 0), (set_seccomp, by_filter, ctypes.byref(whole), 0, 0)]:
        assert libc.prctl(*call) == 0, os.strerror(ctypes.get_errno())


if __name__ == "__main__":
    install(allowed(sys.argv[1]), refusal(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
