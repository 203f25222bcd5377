"""
Tests of L{jobroute.storage.rows} and L{jobroute.storage.failures}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from jobroute.errors import StorageDamaged
from jobroute.model import Event
from jobroute.storage.failures import explain
from jobroute.storage.rows import event_record, event_row, free_text, pack_frames, unpack_frames


class RowTests(SynchronousTestCase):
    """
    What is put into rows comes out of them.
    """

    @given(st.lists(st.binary(max_size=20), max_size=5).map(tuple))
    def test_frames(self, frames: tuple[bytes, ...]) -> None:
        """
        Frames come back.
        """
        self.assertEqual(unpack_frames(bytes(pack_frames(frames))), frames)

    @given(st.lists(st.binary(max_size=20), min_size=1, max_size=3).map(tuple), st.data())
    def test_damaged(self, frames: tuple[bytes, ...], data: st.DataObject) -> None:
        """
        A changed byte is noticed, wherever it is.
        """
        packed = pack_frames(frames)
        packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
        self.assertRaises(StorageDamaged, unpack_frames, bytes(packed))

    def test_short(self) -> None:
        """
        What is too short is damaged as well.
        """
        for packed in (b"", b"\x00\x00\x00", b"\x00\x00\x00\x00"):
            with self.assertRaises(Exception) as caught:
                unpack_frames(packed)
            self.assertIsInstance(explain(caught.exception, "file", reading=True), StorageDamaged)

    def test_texts(self) -> None:
        """
        A text that is none does not stop the storage.
        """
        self.assertEqual(free_text("a\ud800é"), "a?é")
        self.assertEqual(free_text("é"), "é")
        self.assertIsNone(free_text(None))

    def test_data(self) -> None:
        """
        Nor does something that is no JSON.
        """
        for data in ({"a": "\ud800"}, {"a": object()}):
            event = event_record(event_row(Event(1, 0.0, "kind", data=data)))
            assert event.data is not None
            self.assertEqual(list(event.data), ["unreadable"])
