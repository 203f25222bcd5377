"""
Tests of what Python does not offer of the kernel.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from jobroute.agent import kernel

MIB = 1024 * 1024


def told(code: str) -> str:
    """
    What a Python program prints.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", f"from jobroute.agent import kernel\n{code}"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


class KernelTests(SynchronousTestCase):
    """
    Each of them.
    """

    def test_memory(self) -> None:
        """
        What asks for too much memory gets an exception.
        """
        code = (
            f"kernel.limit_memory(200 * {MIB})\n"
            f"a = bytearray(50 * {MIB})\n"
            "print(kernel.data_size())\n"
            "try:\n"
            f"    bytearray(200 * {MIB})\n"
            "except MemoryError:\n"
            "    print('too much')\n"
        )
        size, said = told(code).split("\n")
        self.assertTrue(50 * MIB < int(size) < 200 * MIB, size)
        self.assertEqual(said, "too much")

    def test_die_with(self) -> None:
        """
        A process whose parent is another one already ends at once.
        """
        code = (
            "import os\n"
            "pid = os.fork()\n"
            "if pid:\n"
            "    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
            "else:\n"
            "    kernel.die_with(os.getpid())\n"
            "    os._exit(7)\n"
        )
        self.assertEqual(told(code), str(-signal.SIGKILL))

    def test_exits(self) -> None:
        """
        How a process ended is told in words.
        """
        for status, number, words in (
            (3, None, "ended with status 3"),
            (None, 11, "was ended by SIGSEGV"),
            (None, 250, "was ended by signal 250"),
        ):
            self.assertEqual(kernel.describe_exit(status, number), words)

    def test_nobody(self) -> None:
        """
        A process that is over can be signalled by nobody, and that is no
        error.
        """
        process = subprocess.Popen([sys.executable, "-c", ""], start_new_session=True)
        process.wait()
        kernel.signal_group(process.pid, signal.SIGTERM)
        kernel.sweep_group(process.pid)
