"""`python -m mlapi` runs the program."""

from __future__ import annotations

import os
import subprocess
import sys

from ._child import find_program


def main() -> int:
    command = [find_program(), *sys.argv[1:]]
    if os.name == "posix":
        os.execv(command[0], command)
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
