"""
A broker for the tests of clients: frames in, frames out, no I/O.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from attrs import define, field

Frames = list[bytes]


@define(eq=False)
class FakeBroker:
    """
    Does jobs itself, as their service says: C{echo} succeeds with its payload,
    C{fail} fails, C{hold} is done by L{release}, C{story} tells of progress
    and partial results, C{tale} does too but is held, C{mute} is never answered, C{busy} is refused
    C{refusals} times, C{large} has its results left out.

    @ivar send: sends an answer, envelope included.
    @ivar retry_after: when whoever is refused since it is busy is to come back.
    @ivar seen: every request but C{PING} without agents.
    """

    send: Callable[[Frames], None]
    epoch: int = 1
    refusals: int = 2
    retry_after: float | None = None
    seen: list[dict[str, Any]] = field(factory=list)
    jobs: dict[str, dict[str, Any]] = field(factory=dict)
    tokens: dict[str, str] = field(factory=dict)
    waiting: dict[str, list[tuple[Frames, int]]] = field(factory=dict)
    number: int = 0

    def received(self, frames: Frames) -> None:
        """
        A request as a ROUTER receives it.
        """
        envelope, body, payload = frames[:2], json.loads(frames[2]), frames[3:]
        command = body.pop("command")
        id = body.pop("id")
        assert body.pop("version") == 1
        if command != "PING" or body.get("agents", True):
            self.seen.append({"command": command, **body})
        try:
            getattr(self, f"_do_{command}")((envelope, id), body, payload)
        except KeyError as e:
            self.refuse((envelope, id), "no-such-job", f"No job {e}.")

    def restart(self) -> None:
        """
        Forget everything but the jobs.
        """
        self.epoch += 1
        self.waiting.clear()
        self.tokens.clear()

    def release(self, job: str, verdict: str = "succeeded") -> None:
        """
        A job is done.
        """
        record = self.jobs[job]
        if record["verdict"] is None:
            record["verdict"] = verdict
            for where in self.waiting.pop(job, []):
                self.outcome(where, job)

    def of(self, command: str) -> list[dict[str, Any]]:
        """
        The requests of this command that were seen.
        """
        return [each for each in self.seen if each["command"] == command]

    def answer(self, where: tuple[Frames, int], value: Any, frames: Frames | None = None) -> None:
        """
        The final answer.
        """
        self._send(where, {"result": value}, frames or [])

    def stream(self, where: tuple[Frames, int], kind: str, value: Any, frames: Frames) -> None:
        """
        An answer that is not.
        """
        self._send(where, {kind: value, "final": False}, frames)

    def refuse(self, where: tuple[Frames, int], code: str, text: str) -> None:
        """
        An error.
        """
        said: dict[str, Any] = {"error": text, "code": code}
        if code == "busy" and self.retry_after is not None:
            said["retry_after"] = self.retry_after
        self._send(where, said, [])

    def outcome(self, where: tuple[Frames, int], job: str) -> None:
        """
        What became of a job.
        """
        record = self.jobs[job]
        parts = [self._part(record, index) for index in range(record["parts"])]
        frames = list(record["payload"]) * len(parts)
        if record["service"] == "large":
            frames = []
            parts = [{**part, "frames": 0, "omitted": True} for part in parts]
        verdicts = {record["verdict"]: len(parts)}
        value = {"job": job, "number": record["number"], "state": "done"}
        self.answer(where, {**value, "verdicts": verdicts, "parts": parts}, frames)

    def _send(self, where: tuple[Frames, int], body: dict[str, Any], frames: Frames) -> None:
        envelope, id = where
        self.send([*envelope, json.dumps({"id": id, **body}).encode(), *frames])

    def _part(self, record: dict[str, Any], index: int) -> dict[str, Any]:
        part = {"index": index, "verdict": record["verdict"], "agent": f"a{index}"}
        if record["verdict"] == "failed":
            part["reason"] = "It broke."
        return {**part, "attempts": 1, "frames": len(record["payload"])}

    def _accept(self, body: dict[str, Any], payload: Frames) -> str:
        self.number += 1
        job = str(body.get("job", self.number))
        target = body.get("target", "any")
        verdicts = {"hold": None, "tale": None, "fail": "failed", "poison": "quarantined"}
        self.jobs[job] = {
            "number": self.number,
            "service": body["service"],
            "payload": payload,
            "verdict": verdicts.get(body["service"], "succeeded"),
            "parts": len(target["agents"]) if isinstance(target, dict) else 1,
        }
        return job

    def _busy(self, where: tuple[Frames, int], body: dict[str, Any]) -> bool:
        if body["service"] == "busy" and self.refusals:
            self.refusals -= 1
            self.refuse(where, "busy", "The queue is full.")
            return True
        return False

    def _do_PING(self, where: Any, body: dict[str, Any], payload: Frames) -> None:
        self.answer(where, {"pid": 1, "protocol": 1, "epoch": self.epoch})

    def _do_LIST(self, where: Any, body: dict[str, Any], payload: Frames) -> None:
        self.answer(where, {"a1": {"slots": 1}})

    def _do_STATS(self, where: Any, body: dict[str, Any], payload: Frames) -> None:
        self.answer(where, {"jobs": len(self.jobs)})

    def _do_SUBMIT(self, where: Any, body: dict[str, Any], payload: Frames) -> None:
        if body["service"] == "mute" or self._busy(where, body):
            return
        existing = body["job"] in self.jobs
        job = body["job"] if existing else self._accept(body, payload)
        number, parts = self.jobs[job]["number"], self.jobs[job]["parts"]
        said = {"job": job, "number": number, "parts": parts, "existing": existing}
        self.answer(where, said)

    def _do_SUBMIT_MANY(self, where: Any, body: dict[str, Any], payload: Frames) -> None:
        said: list[dict[str, Any]] = []
        at = 0
        for each in body["jobs"]:
            frames = []
            for size in each.get("frames", []):
                frames.append(payload[0][at : at + size])
                at += size
            if each["service"] == "none":
                said.append({"error": "No.", "code": "not-enough-agents"})
                continue
            job = self._accept(each, frames)
            said.append({"job": job, "number": self.jobs[job]["number"], "parts": 1})
        self.answer(where, {"jobs": said})

    def _do_CALL(self, where: Any, body: dict[str, Any], payload: Frames) -> None:
        if body["service"] == "mute" or self._busy(where, body):
            return
        job = self._accept(body, payload)
        self.tokens[body["token"]] = job
        self._tell(where, job, body.get("stream", []))

    def _do_WAIT(self, where: Any, body: dict[str, Any], payload: Frames) -> None:
        if "token" in body and body["token"] not in self.tokens:
            self.refuse(where, "unknown-outcome", "No such call.")
            return
        job = self._job(body)
        self.jobs[job]
        self._tell(where, job, body.get("stream", []))

    def _tell(self, where: Any, job: str, stream: list[str]) -> None:
        record = self.jobs[job]
        about = {"job": job, "index": 0, "attempt": 1}
        if record["service"] in ("story", "tale"):
            for step in (1, 2):
                if "progress" in stream:
                    self.stream(where, "progress", {**about, "value": step / 2}, [])
                if "partial" in stream:
                    self.stream(where, "partial", {**about, "sequence": step}, [b"%d" % step])
        if record["verdict"] is None:
            self.waiting.setdefault(job, []).append(where)
            return
        if "part" in stream:
            for index in range(record["parts"]):
                self.stream(where, "part", self._part(record, index), record["payload"])
        self.outcome(where, job)

    def _job(self, body: dict[str, Any]) -> str:
        return self.tokens[body["token"]] if "token" in body else str(body["job"])

    def _do_RESULT(self, where: Any, body: dict[str, Any], payload: Frames) -> None:
        record = self.jobs[body["job"]]
        if record["verdict"] is None:
            self.refuse(where, "not-done", "It is not done.")
        else:
            self.answer(where, self._part(record, body["index"]), record["payload"])

    def _do_CANCEL(self, where: Any, body: dict[str, Any], payload: Frames) -> None:
        job = self._job(body)
        open = self.jobs[job]["verdict"] is None
        self.release(job, "cancelled")
        self.answer(where, {"job": job, "cancelling": int(open)})

    def _do_DRAIN(self, where: Any, body: dict[str, Any], payload: Frames) -> None:
        self.answer(where, {"agent": body["agent"], "drained": True, "outstanding": 2})

    def _do_PAUSE(self, where: Any, body: dict[str, Any], payload: Frames) -> None:
        self.answer(where, {"service": body["service"], "paused": True, "queued": 2})

    def _do_RESUME(self, where: Any, body: dict[str, Any], payload: Frames) -> None:
        what = {key: body[key] for key in ("agent", "service") if key in body}
        self.answer(where, what)

    def _do_INPUT(self, where: Any, body: dict[str, Any], payload: Frames) -> None:
        self.jobs[body["job"]]["payload"] = payload
        self.answer(where, {"job": body["job"]})

    def _do_RETRY(self, where: Any, body: dict[str, Any], payload: Frames) -> None:
        record = self.jobs[body["job"]]
        if record["verdict"] == "quarantined" and "force" not in body:
            self.refuse(where, "quarantined", "It has cost 3 agents their lives.")
            return
        new = self._accept({"job": body["new"], "service": record["service"]}, record["payload"])
        number = self.jobs[new]["number"]
        said = {"job": new, "number": number, "parts": 1, "existing": False}
        self.answer(where, {**said, "origin": record["number"]})

    _do_QUARANTINE_RETRY = _do_RETRY

    def _do_QUARANTINE(self, where: Any, body: dict[str, Any], payload: Frames) -> None:
        poison = [job for job, record in self.jobs.items() if record["verdict"] == "quarantined"]
        parts = [{"job": job, "index": 0} for job in poison[: body["limit"]]]
        self.answer(where, {"parts": parts, "next": None})

    def _do_QUARANTINE_DROP(self, where: Any, body: dict[str, Any], payload: Frames) -> None:
        self.answer(where, {"job": body["job"], "dropped": 1})

    def _do_JOBS(self, where: Any, body: dict[str, Any], payload: Frames) -> None:
        rows = [
            {
                "job": job,
                "number": record["number"],
                "namespace": "default",
                "service": record["service"],
                "client": "",
                "submitted": 1.5,
                "ended": None,
                "state": "open",
                "parts": 1,
                "verdicts": {},
            }
            for job, record in self.jobs.items()
        ]
        self.answer(where, {"jobs": rows[: body["limit"]], "next": len(rows)})

    def _do_JOB(self, where: Any, body: dict[str, Any], payload: Frames) -> None:
        self.jobs[body["job"]]
        self.answer(where, {"job": body["job"], "events": []})

    def _do_WHY(self, where: Any, body: dict[str, Any], payload: Frames) -> None:
        self.jobs[body["job"]]
        self.answer(where, {"job": body["job"], "parts": [{"index": 0, "why": "All are full."}]})
