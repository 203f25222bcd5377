"""
Tests of L{jobroute.broker.services}.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from jobroute.broker.parts import Job, Part
from jobroute.broker.routing import LeastLoaded
from jobroute.broker.services import Line, Service, Services
from jobroute.model import Target


def part(
    number: int, client: str = "c", priority: int = 0, names: tuple[str, ...] | None = None
) -> Part:
    """
    A part that can wait.
    """
    job = Job(
        number, "default", str(number), client, "s", Target(), b"null", priority, 1, None, None,
        0.0, 0.0, 0.0, False, (),
    )  # fmt: skip
    return Part(number, job, 0, names)


class NaiveLine:
    """
    A line as one would write it who had time: clients in turn, in a list.
    """

    def __init__(self) -> None:
        self.levels: dict[int, list[tuple[str, list[Part]]]] = {}

    def _own(self, p: Part) -> list[Part]:
        level = self.levels.setdefault(p.job.priority, [])
        for client, own in level:
            if client == p.job.client:
                return own
        level.append((p.job.client, []))
        return level[-1][1]

    def push(self, p: Part, first: bool) -> None:
        """
        See L{Line.push}.
        """
        self._own(p).insert(0 if first else len(self._own(p)), p)

    def pop(self) -> Part:
        """
        See L{Line.pop}.
        """
        level = self.levels[max(self.levels)]
        client, own = level.pop(0)
        taken = own.pop(0)
        if own:
            level.append((client, own))
        self._clean()
        return taken

    def remove(self, p: Part) -> None:
        """
        See L{Line.remove}.
        """
        self._own(p).remove(p)
        self._clean()

    def _clean(self) -> None:
        self.levels = {
            priority: kept
            for priority, level in self.levels.items()
            if (kept := [(client, own) for client, own in level if own])
        }

    def all(self) -> list[Part]:
        """
        Who waits.
        """
        return [p for level in self.levels.values() for _, own in level for p in own]


class LineTests(SynchronousTestCase):
    """
    Priority first, then clients in turn, then the oldest.
    """

    def test_order(self) -> None:
        """
        The order of a line with all three.
        """
        line = Line(None, 0)
        for number, client, priority in (
            (1, "greedy", 0),
            (2, "greedy", 0),
            (3, "greedy", 0),
            (4, "modest", 0),
            (5, "modest", 0),
            (6, "late", -1),
            (7, "modest", 5),
        ):
            line.push(part(number, client, priority))
        order = []
        while line.size:
            head = line.head()
            self.assertIs(line.pop(), head)
            order.append(head.number)
        self.assertEqual(order, [7, 1, 4, 2, 5, 3, 6])

    def test_first(self) -> None:
        """
        A part that comes back is its client's first.
        """
        line = Line(None, 0)
        line.push(part(2))
        line.push(part(1), first=True)
        self.assertEqual([p.number for p in line], [1, 2])

    @settings(max_examples=100, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["push", "first", "pop", "remove"]),
                st.sampled_from("abc"),
                st.integers(-1, 1),
            ),
            max_size=60,
        )
    )
    def test_naive(self, steps: list[tuple[str, str, int]]) -> None:
        """
        A list does the same.
        """
        line, naive = Line(None, 0), NaiveLine()
        for number, (step, client, priority) in enumerate(steps):
            waiting = naive.all()
            if step in ("push", "first"):
                new = part(number, client, priority)
                line.push(new, step == "first")
                naive.push(new, step == "first")
            elif step == "pop" and waiting:
                self.assertIs(line.pop(), naive.pop())
            elif step == "remove" and waiting:
                gone = waiting[(number * 7) % len(waiting)]
                line.remove(gone)
                naive.remove(gone)
            self.assertEqual(line.size, len(naive.all()))
            self.assertEqual(set(line), set(naive.all()))
        if not line.size:
            self.assertEqual((line._levels, line._order), ({}, []))


class ServiceTests(SynchronousTestCase):
    """
    Lines beside each other.
    """

    def pop(self, service: Service, name: str) -> int | None:
        """
        What an agent is given next, taken out.
        """
        line = service.line(name)
        return None if line is None else service.pop(line).number

    def test_names(self) -> None:
        """
        Parts for others are not in the way.
        """
        service = Service("s", LeastLoaded())
        service.push(part(1, names=("b",)))
        service.push(part(2, names=("a", "b")))
        service.push(part(3))
        self.assertEqual(
            [self.pop(service, "a"), self.pop(service, "a"), self.pop(service, "a")], [2, 3, None]
        )
        self.assertEqual((self.pop(service, "b"), service.queued), (1, 0))
        self.assertEqual((service._lines, service._by_name), ({}, {}))

    def test_turns(self) -> None:
        """
        Lines take turns, so that the named one is not behind all of the
        common one, nor the other way round.
        """
        service = Service("s", LeastLoaded())
        for number in (1, 2, 3):
            service.push(part(number, "greedy"))
        for number in (4, 5, 6):
            service.push(part(number, "modest", names=("a",)))
        order = [self.pop(service, "a") for _ in range(6)]
        self.assertEqual(order, [1, 4, 2, 5, 3, 6])

    def test_renewed_line(self) -> None:
        """
        A line that is empty and filled again and again starves no other.
        """
        service = Service("s", LeastLoaded())
        for number in (1, 2, 3):
            service.push(part(number))
        order = []
        for number in (11, 12, 13):
            service.push(part(number, names=("a",)))
            order += [self.pop(service, "a"), self.pop(service, "a")]
        self.assertEqual(sorted(order), [1, 2, 3, 11, 12, 13])

    def test_priority_between_lines(self) -> None:
        """
        Priority counts more than turns.
        """
        service = Service("s", LeastLoaded())
        service.push(part(1))
        service.push(part(2, priority=1, names=("a",)))
        service.push(part(3, priority=1, names=("a",)))
        self.assertEqual([self.pop(service, "a") for _ in range(3)], [2, 3, 1])

    def test_remove(self) -> None:
        """
        A part can be taken out of the middle, and an empty line is gone.
        """
        service = Service("s", LeastLoaded())
        parts = [part(number, names=("a",)) for number in (1, 2, 3)]
        for p in parts:
            service.push(p)
        service.remove(parts[1])
        self.assertEqual([p.number for p in service], [1, 3])
        service.remove(parts[0])
        service.remove(parts[2])
        self.assertEqual((service.queued, service._lines, service._by_name), (0, {}, {}))

    def test_tidy(self) -> None:
        """
        A service is forgotten when nobody offers it and nobody waits for it.
        """
        services = Services(LeastLoaded)
        service = services.need("s")
        self.assertIs(services.need("s"), service)
        waiting = part(1)
        service.push(waiting)
        services.tidy(service)
        self.assertEqual(len(services), 1)
        service.remove(waiting)
        services.tidy(service)
        self.assertEqual((len(services), services.get("s"), list(services)), (0, None, []))
