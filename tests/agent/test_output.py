"""
Tests of what a program prints and says.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from jobroute.agent.output import CHUNK, Lines, Output


class OutputTests(SynchronousTestCase):
    """
    What it prints.
    """

    def test_chunks(self) -> None:
        """
        What was gathered is handed on, each stream by its name, and no more at
        once than a chunk.
        """
        output = Output()
        output.put("stdout", b"a")
        output.put("stderr", b"b")
        output.put("stdout", b"c")
        self.assertEqual(output.pending, 3)
        self.assertEqual(output.chunk(), (b"stdout", b"ac", b"stderr", b"b"))
        self.assertEqual((output.chunk(), output.pending), ((), 0))
        output.put("records", b"x" * (CHUNK + 1))
        self.assertEqual([len(frame) for frame in output.chunk()], [7, CHUNK])
        self.assertEqual(output.chunk(), (b"records", b"x"))

    def test_limit(self) -> None:
        """
        At the limit nothing is missing; past it a note says that something
        is, and nothing more is handed on.
        """
        for size, frames in (
            (9, (b"stdout", b"x" * 9)),
            (
                11,
                (
                    b"stdout",
                    b"x" * 10,
                    b"note",
                    b"More than 10 bytes are not streamed; the last are in the result.",
                ),
            ),
        ):
            output = Output(most=10)
            output.put("stdout", b"x" * size)
            self.assertEqual(output.chunk(), frames)
            output.put("stdout", b"x" * size)
        self.assertEqual((output.chunk(), output.pending), ((), 0))
        self.assertEqual((output.streamed, output.total("stdout")), (10, 22))

    def test_kept(self) -> None:
        """
        The last part is kept, whatever happens to the rest.
        """
        output = Output(streaming=False, kept=5)
        for i in range(100):
            output.put("stdout", b"%02d" % i)
        self.assertEqual(output.last("stdout"), b"79899"[-5:])
        self.assertEqual((output.total("stdout"), output.pending), (200, 0))
        output.put("stderr", b"abc")
        self.assertEqual(output.last("stderr"), b"abc")

    def test_last_line(self) -> None:
        """
        The last line that is not empty, rather of what was complained.
        """
        output = Output()
        self.assertEqual(output.last_line(), "")
        output.put("stdout", b"one\ntwo\n\n")
        self.assertEqual(output.last_line(), "two")
        output.put("stderr", b" oh no \xff\r\n \n")
        self.assertEqual(output.last_line(), "oh no \ufffd")
        output.put("stderr", b"x" * 1000)
        self.assertEqual(len(output.last_line()), 200)

    def test_pause(self) -> None:
        """
        The longer it runs, the longer is gathered: there are less than 10,000
        chunks a year.
        """
        output, seconds, chunks = Output(), 0.0, 0
        while seconds < 365 * 86400:
            seconds += output.pause(seconds)
            chunks += 1
        self.assertTrue(1_000 < chunks < 8_500, chunks)


class LinesTests(SynchronousTestCase):
    """
    What it says.
    """

    def said(self, lines: Lines, *pieces: bytes) -> list[Any]:
        """
        All that was understood.
        """
        return [each for each in map(lines.feed, pieces) if each != (None, [])]

    def test_all(self) -> None:
        """
        Progress, records and a result, also in one line, in any pieces.
        """
        lines = Lines()
        found = self.said(lines, b'{"progress":1}\n{"progress": [2', b']}\n\n{"record":{"a":1}}\n')
        self.assertEqual(found, [(b"1", []), (b"[2]", [b'{"a":1}'])])
        found = self.said(lines, b'{"result":"r","progress":null,"record":0}\n')
        self.assertEqual(found, [(b"null", [b"0"])])
        self.assertEqual(lines.result, b'"r"')
        self.assertEqual(lines.describe(), {"records": 2, "bad_lines": 0})

    def test_bad(self) -> None:
        """
        What is none of it is counted, and nothing else is lost.
        """
        lines = Lines()
        bad = [b"x", b"[]", b"1", b'{"progres":1}', b'{"record":}', b"\xff", b"[" * 100_000]
        found = self.said(lines, b"\n".join(bad) + b'\n{"progress":1}\n')
        self.assertEqual(found, [(b"1", [])])
        told = lines.describe()
        self.assertEqual(told["bad_lines"], len(bad))
        self.assertIn("JSON is malformed", told["bad_line"])

    def test_long(self) -> None:
        """
        A line may be as long as the limit, and no longer; it is not kept.
        """
        line = b'{"progress":1}'
        lines = Lines(most=len(line))
        self.assertEqual(self.said(lines, line, b"\n"), [(b"1", [])])
        self.assertEqual(self.said(lines, line, b" ", line, b"\n"), [])
        self.assertEqual(lines.bad, 1)
        self.assertEqual(self.said(lines, line, b"\n"), [(b"1", [])])

    @given(st.lists(st.binary(max_size=40), max_size=10))
    def test_anything(self, pieces: list[bytes]) -> None:
        """
        Nothing is fatal.
        """
        lines = Lines(most=20)
        self.said(lines, *pieces)
        self.assertEqual(self.said(lines, b'\n{"progress":1}\n'), [(b"1", [])])
