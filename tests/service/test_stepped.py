"""
A broker whose wall clock is set while it runs.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.threads import deferToThread

from jobroute.client import Client
from tests.service.kit import INTERVAL, Process, ServiceCase, wait_until_served

YEAR = 365 * 86400


class SteppedTests(ServiceCase):
    """
    Ahead by a year and back by two.
    """

    def step(self, seconds: float) -> None:
        """
        Set the broker's clock.
        """
        with open(self.offset + ".new", "w", encoding="ascii") as file:
            file.write(str(seconds))
        os.rename(self.offset + ".new", self.offset)

    async def stepped(self) -> str:
        """
        Start the broker.
        """
        folder = self.folder()
        self.offset = os.path.join(folder, "offset")
        self.step(0)
        config = os.path.join(folder, "broker.toml")
        with open(config, "w", encoding="ascii") as file:
            file.write(f"heartbeat_interval = {INTERVAL}\nliveness = 4\n")
        data = os.path.join(folder, "data")
        process = Process("tests.service.stepped", self.offset, "-c", config, "-d", data)
        self.addCleanup(process.kill)
        url = f"ipc://{data}/frontend.ipc"
        await deferToThread(wait_until_served, url)
        return url

    async def test_steps(self) -> None:
        """
        Its timers come due, its agents stay, no job expires before its
        limits, and what has ended is kept.
        """
        url = await self.stepped()
        await self.agent(url)
        with Client(url, timeout=20) as client:

            def ask(method: str, *arguments: Any, **named: Any) -> Any:
                return deferToThread(getattr(client, method), *arguments, **named)

            await ask("submit", "echo", b"x", job="ended")
            await ask("wait", "ended")
            for number, offset in enumerate((YEAR, -YEAR, 0)):
                patient, hasty = f"patient-{number}", f"hasty-{number}"
                await ask("submit", "nobody", b"x", job=patient, queue_limit=3600)
                self.step(offset)
                await ask("submit", "nobody", b"x", job=hasty, queue_limit=0.3)
                outcome = await ask("wait", hasty)
                self.assertEqual(outcome.verdicts, {"expired": 1})
                self.assertEqual((await ask("call", "echo", b"y")).frames, (b"y",))
                self.assertEqual((await ask("job", patient))["state"], "open")
            self.assertEqual((await ask("job", "ended"))["state"], "ended")
            stats = await ask("stats")
            self.assertEqual(stats["counters"]["agents_lost"], 0)
