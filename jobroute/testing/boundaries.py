# -*- test-case-name: tests.simulation.test_boundaries -*-
"""
What is promised to those who ask, of strangers, and of limits; in the form of
L{jobroute.testing.promises}.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from jobroute.model import Verdict
from jobroute.testing.evidence import Evidence, Stored
from jobroute.testing.history import Entry
from jobroute.testing.promises import Broken, Promise

#: One clear sentence, or two: no list, no traceback, no name of an object.
_SENTENCE = re.compile(r"(?s)(?!.*(?:Traceback|object at 0x|\n)).{8,600}[.?!]\Z")


#: The events that keep a reply that is no verdict.
_NOTED = ("reply.refused", "part.failed", "part.refused", "part.timed_out")


def answers_to_who_asked(evidence: Evidence) -> Iterator[Broken]:
    """
    Nobody is answered who did not ask in this epoch.
    """
    asked: set[tuple[str, str, str]] = set()
    for entry in evidence.history.of("request", "answer"):
        key = (entry.who, entry.said["client"], str(entry.said["id"]))
        if entry.what == "request":
            asked.add(key)
        elif key not in asked:
            text = f"{entry.who} answered request {key[2]} of client {key[1]} at {entry.at:.3f}"
            yield Broken(f"{text}, which had not asked it in this epoch.")


def own_answers_only(evidence: Evidence) -> Iterator[Broken]:
    """
    Nobody gets another's answer.
    """
    jobs: dict[str, Entry] = {}
    for asked, answer in evidence.answers("CALL", "WAIT"):
        job = answer.get("job")
        if job is None:
            continue
        if asked.said["command"] == "WAIT":
            if job != asked.said["job"]:
                text = f"{asked.who} waited for job {asked.said['job']} and was told of {job}."
                yield Broken(text, (asked.said["job"], job))
            continue
        other = jobs.setdefault(job, asked)
        if other is not asked:
            text = f"Call {job} was answered to {other.who} and to {asked.who}."
            yield Broken(text, (job,))
        payload = evidence.plan(asked).payload
        for said in answer.said["outcome"]:
            if said.get("omitted"):
                # Too large for one answer; what came before it met a broken connection.
                continue
            if said["verdict"] == "succeeded" and said["frames"][1:] != payload:
                text = f"{asked.who} called with {payload!r} and was given {said['frames']!r}."
                yield Broken(text, (job,))
    own: dict[str, set[str]] = {}
    # Whoever knows another's secret identity is that other for this epoch.
    borrowed = {entry.who for entry in evidence.history.of("connected") if entry.said["borrowed"]}
    for entry in evidence.history.of("sent", "received"):
        if entry.who in borrowed:
            continue
        ids = own.setdefault(entry.who, {"None"})
        if entry.what == "sent":
            ids.add(entry.said["id"])
        elif entry.said["id"] not in ids:
            yield Broken(f"{entry.who} was given an answer to {entry.said['id']}.")


def answered_once(evidence: Evidence) -> Iterator[Broken]:
    """
    No request has two final answers, and when all is calm each has one.
    """
    calm = evidence.calm
    strangers = {entry.said["client"]: entry.who for entry in evidence.history.of("connected")}
    last = [entry.who for entry in evidence.history.of("ready")][-1:]
    requests: Counter[tuple[str, str, str]] = Counter()
    answers: Counter[tuple[str, str, str]] = Counter()
    owed: dict[tuple[str, str, str], int] = {}
    for entry in evidence.history.of("request", "answer"):
        key = (entry.who, entry.said["client"], str(entry.said["id"]))
        if entry.what == "answer":
            if entry.get("final") is not False:
                answers[key] += 1
            continue
        requests[key] += 1
        life = evidence.lives.get(strangers.get(key[1], ""))
        late = entry.at > evidence.end - evidence.times.slack / 2
        if calm is None or late or [entry.who] != last or life is None:
            continue
        if life.began >= calm:
            owed[key] = owed.get(key, 0) + 1
    for key, count in answers.items():
        if count > requests[key]:
            yield Broken(f"{key[0]} gave {count} final answers to request {key[2]} of {key[1]}.")
    for key, count in owed.items():
        if answers[key] < count:
            yield Broken(f"{key[0]} left request {key[2]} of {strangers[key[1]]} without answer.")


def refused_in_a_sentence(evidence: Evidence) -> Iterator[Broken]:
    """
    Every refusal is a code and one clear sentence.
    """
    seen: set[str] = set()
    for entry in evidence.history.of("answer"):
        code, text = entry.get("code"), entry.get("error")
        if (code is None) != (text is None):
            yield Broken(f"{entry.who} refused with the code {code} and the text {text!r}.")
        elif text is not None and text not in seen:
            seen.add(text)
            if not _SENTENCE.match(text):
                yield Broken(f"{entry.who} refused with {text!r}, which is no clear sentence.")


def told_at_once(evidence: Evidence) -> Iterator[Broken]:
    """
    Who asks for more than there is room for is told at once.
    """
    asked: dict[tuple[str, str, str], float] = {}
    for entry in evidence.history.of("request", "answer"):
        key = (entry.who, entry.said["client"], str(entry.said["id"]))
        if entry.what == "request":
            asked[key] = entry.at
        elif entry.get("code") in ("busy", "too-large") and key in asked:
            late = entry.at - asked[key] - evidence.frozen("broker", asked[key], entry.at)
            if late > evidence.times.slack + evidence.stalled():
                yield Broken(f"{entry.who} took {late:.3f} seconds to say {entry.said['error']}")


def full_means_full(evidence: Evidence) -> Iterator[Broken]:
    """
    No limit is passed by what is accepted.
    """
    limits = evidence.limits or {}
    most_jobs, most_parts = limits.get("client_jobs"), limits.get("queued_parts")
    if (most_jobs is None and most_parts is None) or evidence.stepped() > 60.0:
        return
    jobs: dict[int, set[int]] = {}
    queued: dict[int, str] = {}
    job_of = {part.number: stored for stored, part, _ in evidence.parts()}
    for entry in evidence.history.of("event", "ready"):
        kind = entry.get("kind")
        if entry.what == "ready":
            _forget_ended(evidence, entry.at, jobs, queued)
        elif kind == "job.accepted":
            stored = evidence.stored.get(entry.said["number_of_job"])
            if stored is None:
                continue
            yield from _room(evidence, stored, jobs, queued, most_jobs, most_parts)
            numbers = {part.number for part in stored.history.parts}
            jobs[stored.history.job.number] = numbers
            queued.update(dict.fromkeys(sorted(numbers), stored.history.job.service))
        elif entry.get("part") in job_of:
            part = entry.said["part"]
            if kind in ("part.delivered", "part.ended"):
                queued.pop(part, None)
            if kind == "part.ended":
                number = job_of[part].history.job.number
                jobs.get(number, set()).discard(part)
                if not jobs.get(number):
                    jobs.pop(number, None)


def _forget_ended(
    evidence: Evidence, now: float, jobs: dict[int, set[int]], queued: dict[int, str]
) -> None:
    """
    What ended and was not told since the broker died.
    """
    for number in list(jobs):
        for part in evidence.stored[number].history.parts:
            if part.ended is not None and evidence.virtual(part.ended) <= now:
                jobs[number].discard(part.number)
        if not jobs[number]:
            del jobs[number]
    # What was given to an agent and not told is not known; it is not counted.
    queued.clear()


def _room(
    evidence: Evidence,
    stored: Stored,
    jobs: dict[int, set[int]],
    queued: dict[int, str],
    most_jobs: int | None,
    most_parts: int | None,
) -> Iterator[Broken]:
    """
    Whether there was room for a job.
    """
    job = stored.history.job
    if most_jobs is not None:
        open_jobs = [n for n in jobs if evidence.stored[n].history.job.client == job.client]
        if len(open_jobs) >= most_jobs:
            text = f"Job {job.id} was accepted though {job.client} had {len(open_jobs)} jobs."
            yield Broken(text, (job.id,))
    if most_parts is not None:
        waiting = sum(service == job.service for service in queued.values())
        if waiting + len(stored.history.parts) > most_parts:
            text = f"Job {job.id} was accepted though {waiting} parts of {job.service} waited."
            yield Broken(text, (job.id,))


def events_without_gaps(evidence: Evidence) -> Iterator[Broken]:
    """
    What a subscriber missed it sees by the numbers of the events.
    """
    latest: dict[str, int] = {}
    greatest = 0
    for entry in evidence.history.of("event"):
        number = entry.said["number"]
        before = latest.get(entry.who)
        if (before is not None and number != before + 1) or number <= greatest:
            yield Broken(f"{entry.who} told event {number} after {before}, and {greatest} before.")
        latest[entry.who] = greatest = number
    if evidence.event_numbers and sorted(evidence.event_numbers) != list(
        range(1, len(evidence.event_numbers) + 1)
    ):
        yield Broken(
            f"The {len(evidence.event_numbers)} events in the store are not numbered in order."
        )


def stale_replies_kept(evidence: Evidence) -> Iterator[Broken]:
    """
    A reply that was acknowledged is the verdict, or is noted in the job's
    history.
    """
    acknowledged: set[tuple[str, int, int]] = set()
    for entry in evidence.history.of("said"):
        for key in entry.get("acknowledged") or ():
            if len(key) == 2:
                acknowledged.add((entry.said["agent"], key[0], key[1]))
    replied = {
        (entry.said["agent"], entry.said["part"], entry.said["attempt"])
        for entry in evidence.history.of("heard")
        if entry.said["message"] in ("result", "failure", "refused")
    }
    parts = {part.number: (stored, part) for stored, part, _ in evidence.parts()}
    final = (Verdict.SUCCEEDED, Verdict.FAILED, Verdict.REFUSED)
    for agent, number, attempt in sorted(acknowledged & replied):
        if number not in parts:
            continue
        stored, part = parts[number]
        counted = part.attempt == attempt and part.verdict in final
        noted = [
            event
            for event in stored.history.events
            if event.part == number and event.attempt == attempt and event.kind in _NOTED
        ]
        if not counted and not noted:
            who = evidence.incarnations.get(agent, agent)
            yield Broken(
                f"{who}'s reply to attempt {attempt} of part {part.index} of job {stored.id} was "
                "acknowledged, is not its verdict, and is not noted.",
                (stored.id,),
                (number,),
            )


#: All of them, with their numbers in the README.
ALL: dict[Promise, int] = {
    stale_replies_kept: 3,
    answers_to_who_asked: 8,
    own_answers_only: 8,
    answered_once: 9,
    refused_in_a_sentence: 9,
    told_at_once: 10,
    full_means_full: 10,
    events_without_gaps: 10,
}
