"""The program `mlapi predict` as a child process: Arrow record batches in, Arrow record batches out.

This file is all that a worker of an engine needs: it uses the standard library and pyarrow alone.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

# What a pipe holds while large tables go through it, and what it holds at least where nobody says.
WIDE_PIPE_BYTES = 1024 * 1024
LEAST_PIPE_BYTES = 4096

# How long to poll for an answer before sleeping: waking up takes as long as predicting a row.
POLL_SECONDS = 200e-6

# Beside a busy thread each poll waits for its turn, milliseconds; so many answers are then waited for asleep.
ASLEEP_SECONDS = 1e-3
ASLEEP_ANSWERS = 100


class MlapiError(ValueError):
    """The program failed: its message, and its exit status (1 the work failed, 2 wrong usage, negative a signal)."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (str(self), self.status))


def find_program() -> str:
    """The path of the program: MLAPI_PROGRAM, or the one installed with this package, or the first in PATH.

    Raises MlapiError if there is none.
    """
    named = os.environ.get("MLAPI_PROGRAM")
    if named:
        return named
    name = "mlapi.exe" if os.name == "nt" else "mlapi"
    user_scheme = sysconfig.get_preferred_scheme("user")
    folders = [
        sysconfig.get_path("scripts"),
        sysconfig.get_path("scripts", user_scheme),
        os.path.dirname(sys.executable),
        # pip install --target and --prefix: the program lies beside the packages or above them.
        os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "bin"),
        os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 4, "bin")),
    ]
    for folder in folders:
        path = os.path.join(folder, name)
        if os.access(path, os.X_OK):
            return path
    found = shutil.which(name)
    if found is None:
        raise MlapiError("the program mlapi is not installed; pip install mlapi, or set MLAPI_PROGRAM to its path")
    return found


def run(arguments: Sequence[str], program: str | None = None, folder: str | None = None) -> bytes:
    """Runs the program to its end, in a folder, and returns its output. Raises MlapiError with its message."""
    program = program or find_program()
    if os.path.dirname(program):
        program = os.path.abspath(program)
    done = subprocess.run([program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, check=False, cwd=folder)
    if done.returncode != 0:
        raise MlapiError(message_of(done.stderr, done.returncode), done.returncode)
    return done.stdout


def message_of(stderr: bytes, status: int) -> str:
    text = stderr.decode("utf-8", "replace").strip().removeprefix("error: ")
    if text:
        return text
    return f"mlapi was ended by signal {-status}" if status < 0 else f"mlapi ended with status {status}"


def options(
    model: str,
    *,
    keep: str = "none",
    probabilities: bool = True,
    lenient: bool = False,
    threshold: float | None = None,
    threads: int | None = None,
) -> list[str]:
    """The arguments of `mlapi predict` for streams of record batches."""
    arguments = ["predict", "--model", model, "--input", "-", "--input-format", "arrow", "--format", "arrow"]
    arguments += ["--quiet", "--color", "never", "--keep", keep]
    if probabilities:
        arguments.append("--probabilities")
    if lenient:
        arguments.append("--lenient")
    if threshold is not None:
        arguments += ["--threshold", repr(threshold)]
    if threads is not None:
        arguments += ["--threads", str(threads)]
    return arguments


def _room(pipe: Any) -> int:
    """The bytes that a pipe holds."""
    try:
        import fcntl

        return fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)
    except (ImportError, AttributeError, OSError):
        return LEAST_PIPE_BYTES  # Only Linux tells.


def _widen(pipe: Any) -> None:
    """Makes a pipe hold more, so that large batches go through it with fewer waits."""
    try:
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, WIDE_PIPE_BYTES)
    except (ImportError, AttributeError, OSError):
        pass  # No Linux, or all pipes of this user hold too much together.


def _is_plain(kind: pa.DataType) -> bool:
    """Whether columns of this type have neither dictionaries nor columns inside."""
    import pyarrow.types as types

    return any(of(kind) for of in (types.is_primitive, types.is_string, types.is_large_string))


class Child:
    """A running program, which answers each record batch with one. All batches have the schema of the first."""

    def __init__(self, arguments: Sequence[str], program: str | None = None) -> None:
        # A file, not a pipe: nobody reads it while the program runs.
        self._stderr = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [program or find_program(), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
        )
        # A batch of so few bytes is written without a second thread; its schema, if it is the first, needs some of the room.
        self._small = _room(self._process.stdin) // 2
        self._wide = False
        self._writer: Any = None
        self._reader: Any = None
        self._is_one_message = False
        self._poller: Any = None
        self._asleep = 0
        if hasattr(select, "poll") and hasattr(os, "sched_yield"):
            self._poller = select.poll()
            self._poller.register(self._process.stdout, select.POLLIN)
        self._fed = threading.Event()
        self._n_written = 0
        self._failure: BaseException | None = None

    @property
    def pid(self) -> int:
        return self._process.pid

    def write(self, batch: pa.RecordBatch, *, small: bool = False) -> None:
        """Sends a batch. Raises OSError if the program has ended."""
        stdin = self._process.stdin
        assert stdin is not None
        if small and self._is_one_message:
            # The same bytes. The writer calls Python for each column, and once more for each padding.
            stdin.write(batch.serialize())
        else:
            if self._writer is None:
                import pyarrow as pa

                self._writer = pa.ipc.new_stream(stdin, batch.schema)
                # A dictionary is a message before the batch's own.
                self._is_one_message = all(map(_is_plain, batch.schema.types))
            self._writer.write_batch(batch)
        stdin.flush()
        self._n_written += batch.num_rows

    def read(self) -> pa.RecordBatch:
        """The next answer. Raises StopIteration at the end, OSError or ArrowInvalid in the middle."""
        if self._reader is None:
            import pyarrow as pa

            self._reader = pa.ipc.open_stream(self._process.stdout)
        return self._reader.read_next_batch()

    def exchange(self, batches: Sequence[pa.RecordBatch]) -> list[pa.RecordBatch]:
        """The answers to some batches; the program goes on running. Raises MlapiError if it ends."""
        try:
            return self._exchange(batches)
        except BaseException:
            # Also after Ctrl-C: the answers that are still to come belong to no question.
            self.kill()
            raise

    def _exchange(self, batches: Sequence[pa.RecordBatch]) -> list[pa.RecordBatch]:
        import pyarrow as pa

        self._n_written = 0
        # Its size as it is written is found much faster than nbytes.
        small = len(batches) == 1 and pa.ipc.get_record_batch_size(batches[0]) <= self._small
        if small:
            try:
                self.write(batches[0], small=True)
            except OSError:
                raise self.error() from None
            self._poll()
        else:
            self._feed_apart(batches, close=False)
        try:
            answers = [self.read() for _ in range(len(batches))]
        except (StopIteration, OSError, ValueError):
            raise self._failure or self.error() from None
        if not small:
            self._fed.wait()
        if self._n_written != sum(answer.num_rows for answer in answers):
            # The program stopped at a row that does not fit: later rows have no answer.
            raise self.error()
        return answers

    def _poll(self) -> None:
        """Waits for the beginning of an answer awake, but not for long, and lets others have this core."""
        if self._poller is None:
            return
        if self._asleep:
            self._asleep -= 1
            return
        now = time.perf_counter()
        end = now + POLL_SECONDS
        while now < end and not self._poller.poll(0):
            os.sched_yield()
            before, now = now, time.perf_counter()
            if now - before > ASLEEP_SECONDS:
                self._asleep = ASLEEP_ANSWERS

    def answers(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The answers to all batches, as they come; then the program ends. Raises MlapiError if it fails."""
        self._feed_apart(batches, close=True)
        try:
            while True:
                try:
                    answer = self.read()
                except (StopIteration, OSError, ValueError):
                    break
                yield answer
            if self._failure is not None:
                raise self._failure
            if self._process.wait() != 0:
                raise self.error()
        finally:
            self.kill()

    def _feed_apart(self, batches: Iterable[pa.RecordBatch], *, close: bool) -> None:
        """Writes in a second thread, so that neither pipe can fill up while the other one waits."""
        self._fed.clear()
        if not self._wide:
            self._wide = True
            _widen(self._process.stdin)
            _widen(self._process.stdout)

        def feed() -> None:
            try:
                for batch in batches:
                    # An error of the batches is none of the program, whatever its type.
                    try:
                        self.write(batch)
                    except OSError:
                        return  # The program has ended; the reader learns why.
                if close:
                    with contextlib.suppress(OSError):
                        self.close_input()
            except BaseException as failure:
                # What the batches come from has failed: no answer is to look complete.
                self._failure = failure
                self._process.kill()
            finally:
                self._fed.set()

        threading.Thread(target=feed, name="mlapi-feeder", daemon=True).start()

    def close_input(self) -> None:
        """Ends the stream of rows."""
        stdin = self._process.stdin
        assert stdin is not None
        if self._writer is not None:
            self._writer.close()
        stdin.close()

    def error(self) -> MlapiError:
        """Why the program has ended, or was ended because its answers made no sense."""
        try:
            status = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._stderr.seek(0)
        error = MlapiError(message_of(self._stderr.read(), status), status)
        self.kill()
        return error

    def kill(self) -> None:
        """Ends the program and closes the pipes."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._stderr):
            try:
                if pipe is not None:
                    pipe.close()
            except OSError:
                pass  # What was left in a buffer has no reader any more.
