"""
A service, and its tests: C{trial test_thumbnails} or C{pytest
test_thumbnails.py}.
"""

from twisted.trial.unittest import SynchronousTestCase

from jobroute.agent import Refuse
from jobroute.testing import cluster, context


def thumbnail(payload, context):
    """
    Every second byte of a picture.
    """
    if not payload:
        raise Refuse("There is no picture.")
    context.progress(0.5)
    return payload[::2]


class ThumbnailTests(SynchronousTestCase):
    """
    Jobs get done whatever happens to the machines.
    """

    def test_by_itself(self):
        """
        The function alone needs no broker.
        """
        given = context(b"abcd")
        self.assertEqual(thumbnail(b"abcd", given), b"ac")
        self.assertEqual(given.progresses, [0.5])
        self.assertRaises(Refuse, thumbnail, b"", context(b""))

    def test_whatever_happens(self):
        """
        One machine is cut off for hours, another dies, and so does the
        broker.
        """
        with cluster(agents=50, services={"thumbnail": thumbnail}) as c:
            jobs = [c.submit("thumbnail", b"abcd", attempts=2) for _ in range(100)]
            c.partition("a7")
            c.kill("a3")
            c.crash_broker()
            c.restart_broker()
            c.advance(hours=3)
            c.heal("a7")
            for job in jobs:
                self.assertEqual(job.outcome().data, b"ac")
            c.check()

    def test_nobody_is_free(self):
        """
        A job for a machine that died waits for its return, until its deadline.
        """
        with cluster(agents=["gpu", "cpu"], services={"thumbnail": thumbnail}) as c:
            c.kill("gpu")
            job = c.submit("thumbnail", b"abcd", target=["gpu"], attempts=2, deadline=3600)
            c.advance(minutes=59)
            self.assertEqual(job.why()[0]["why"], "Agent gpu is not connected.")
            c.advance(minutes=2)
            self.assertEqual(job.outcome().parts[0].verdict, "expired")


def test_refused():
    """
    pytest finds functions as well.
    """
    with cluster(services={"thumbnail": thumbnail}) as c:
        part = c.call("thumbnail", b"").parts[0]
        assert part.verdict == "refused"
        assert part.reason == "There is no picture."
