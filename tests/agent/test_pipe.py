"""
Tests of what an agent and its children say to each other.
"""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from jobroute.agent import pipe
from jobroute.errors import BadMessage

SAID: list[pipe.FromChild] = [
    pipe.Ready(),
    pipe.Cannot("why"),
    pipe.Progress(b"0.5"),
    pipe.Partial(1, [b"a", b""]),
    pipe.Want(),
    pipe.Log("info", "text"),
    pipe.Done("result", [b"x" * 1000]),
]


class PipeTests(SynchronousTestCase):
    """
    What is written is read.
    """

    @given(st.lists(st.integers(1, 700), max_size=9))
    def test_pieces(self, sizes: list[int]) -> None:
        """
        Messages are found in whatever pieces they come.
        """
        data = b"".join(map(pipe.encode, SAID))
        reader, found = pipe.Reader.in_agent(10_000), []
        for size in sizes:
            found += reader.feed(data[:size])
            data = data[size:]
        self.assertEqual(found + reader.feed(data), SAID)

    def test_told(self) -> None:
        """
        A child is told what it is to do.
        """
        told: list[pipe.ToChild] = [
            pipe.Setup({"a": "b:c"}, ["x"], {"P": None}, 1, 2, 3, 4, "info", 5),
            pipe.Work(1, 2, "j", 0, "s", b"{}", 1.5, [b"p"]),
            pipe.Took(1, "busy", "Wait."),
            pipe.Input([b"i"]),
            pipe.Retire(),
        ]
        reader = pipe.Reader.in_child()
        self.assertEqual(reader.feed(b"".join(map(pipe.encode, told))), told)

    def test_too_large(self) -> None:
        """
        A message that is over the limit is refused before it is read.
        """
        data = pipe.encode(pipe.Done("result", [b"x" * 1000]))
        self.assertEqual(len(pipe.Reader.in_agent(len(data)).feed(data)), 1)
        self.assertRaises(BadMessage, pipe.Reader.in_agent(len(data) - 9).feed, data[:8])

    @given(st.binary(max_size=100))
    def test_anything(self, body: bytes) -> None:
        """
        Anything else is refused, whatever it is.
        """
        reader = pipe.Reader.in_agent(1000)
        try:
            found = reader.feed(len(body).to_bytes(8, "big") + body)
        except BadMessage:
            return
        self.assertEqual([type(m).__mro__[1] for m in found], [msgspec.Struct])
