# -*- test-case-name: tests.torture.test_report -*-
"""
The one page at the end of a torture, for people and for programs.
"""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import Any

import attrs
from attrs import frozen

from jobroute.cli.screen import Column, Screen, span
from jobroute.testing.checker import Breach
from jobroute.testing.evidence import Evidence
from jobroute.testing.torture.judgement import Judgement, bodies, hits, outstanding, starts

#: So many entries of the history are shown of a broken promise, and so many
#: breaches of one promise are told.
SHOWN = 80
BREACHES = 3

#: In the order of the columns.
SIGNALS = ("SIGKILL", "SIGSTOP", "SIGTERM")


@frozen
class Report:
    """
    What there is to say.

    @ivar seconds: of the trouble.
    """

    judgement: Judgement

    @property
    def _evidence(self) -> Evidence:
        return self.judgement.evidence

    @property
    def seconds(self) -> float:
        """
        For how long there was trouble.
        """
        evidence = self._evidence
        began = evidence.history.of("trouble")
        until = evidence.end if evidence.calm is None else evidence.calm
        return until - began[0].at if began else 0.0

    def verdicts(self) -> dict[str, int]:
        """
        How many parts have each verdict.
        """
        counted = Counter(
            "none" if part.verdict is None else part.verdict.value
            for _, part, _ in self._evidence.parts()
        )
        return dict(counted.most_common())

    def value(self) -> dict[str, Any]:
        """
        All of it, for programs.
        """
        evidence, judgement = self._evidence, self.judgement
        answered = list(evidence.history.of("answered", "refused"))
        open_jobs = outstanding(evidence)
        began = starts(evidence)
        return {
            "kept": judgement.kept,
            "seed": judgement.about.seed,
            "seconds": round(self.seconds, 3),
            "finished": evidence.finished,
            "jobs": len(evidence.stored),
            "parts": sum(1 for _ in evidence.parts()),
            "questions": len(evidence.asked),
            "answers": len(answered),
            "calls": sum(e.said["command"] == "CALL" for e in answered),
            "verdicts": self.verdicts(),
            "hits": hits(evidence),
            "outstanding": None if open_jobs is None else attrs.asdict(open_jobs),
            "starts": {"middle": median(began), "most": began[-1]} if began else None,
            "broker": bodies(evidence),
            "entries": len(evidence.history),
            "promises": judgement.held,
            "breaches": [
                {
                    "promise": breach.promise,
                    "how": breach.broken.text,
                    "jobs": list(breach.broken.jobs),
                    "parts": list(breach.broken.parts),
                }
                for breach in judgement.breaches
            ],
        }

    def show(self, screen: Screen) -> None:
        """
        One page, and what was broken.
        """
        if screen.json:
            screen.value(self.value())
            return
        value = self.value()
        self._breaches(screen)
        screen.heading("Verdicts of the parts")
        columns = [Column("verdict"), Column("parts", number=True)]
        screen.table(columns, [(name, f"{n:,}") for name, n in value["verdicts"].items()])
        screen.heading("Who was hit, and how often")
        columns = [Column("victim"), *(Column(name, number=True) for name in SIGNALS)]
        screen.table(
            columns,
            [(who, *(n.get(name, 0) for name in SIGNALS)) for who, n in value["hits"].items()],
        )
        screen.heading("Promises")
        columns = [Column("broken", number=True), Column("promise")]
        screen.table(columns, [(n or "", name) for name, n in value["promises"].items()])
        screen.line()
        for sentence in self._sentences(value):
            screen.prose(sentence)

    def _sentences(self, value: dict[str, Any]) -> list[str]:
        said = [
            f"{value['jobs']:,} jobs with {value['parts']:,} parts were accepted and stored in "
            f"{span(value['seconds'])} of trouble, and {value['calls']:,} calls answered; of "
            f"{value['questions']:,} questions {value['answers']:,} lived to have their answer."
        ]
        jobs, began, body = value["outstanding"], value["starts"], value["broker"]
        if jobs is not None:
            said.append(
                f"Whenever somebody was hit, jobs were outstanding: {jobs['least']:,} at least, "
                f"{jobs['middle']:,.0f} in the middle, {jobs['most']:,} at most."
            )
        if began is not None:
            said.append(
                f"The broker served {span(began['middle'])} after it was started, "
                f"{span(began['most'])} at most."
            )
        if body is not None:
            said.append(
                f"A life of it needed {body['rss_most'] / 2**20:.0f} MiB and "
                f"{body['files_most']} open files at most, and grew by "
                f"{body['rss_grown_middle'] / 2**20:.1f} MiB in the middle."
            )
        broken = sum(1 for n in value["promises"].values() if n)
        said.append(
            f"Seed {value['seed']}, {value['entries']:,} entries of history: "
            + (
                f"{broken} of {len(value['promises'])} promises broken."
                if broken
                else f"every one of {len(value['promises'])} promises kept."
            )
        )
        if not value["finished"]:
            said.append("It was ended before all jobs were; what was open was not judged.")
        return said

    def _breaches(self, screen: Screen) -> None:
        by_promise: dict[str, list[Breach]] = {}
        for breach in self.judgement.breaches:
            by_promise.setdefault(breach.promise, []).append(breach)
        for promise, breaches in by_promise.items():
            screen.heading(f"Broken: {promise}")
            for breach in breaches[:BREACHES]:
                screen.prose(breach.broken.text)
            if len(breaches) > BREACHES:
                screen.prose(f"… and {len(breaches) - BREACHES} times more.")
            entries = breaches[0].relevant(self._evidence)
            if len(entries) > SHOWN:
                screen.line(f"… {len(entries) - SHOWN} entries before …")
            for entry in entries[-SHOWN:]:
                screen.line(str(entry))
