# -*- test-case-name: tests.torture.test_command -*-
"""
C{jobroute torture}.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from random import SystemRandom

import click

from jobroute.cli.demo import ended_in_order
from jobroute.cli.session import Session, pass_session
from jobroute.testing.torture.judgement import judged
from jobroute.testing.torture.orders import Place
from jobroute.testing.torture.report import Report
from jobroute.testing.torture.settings import About
from jobroute.testing.torture.torture import Torture, prepare


@click.command()
@click.option(
    "--minutes",
    type=click.FloatRange(0.05, 10_000),
    default=1.0,
    metavar="N",
    help="For how long there is trouble; 1 if not given.",
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False),
    metavar="EMPTY",
    help="Do it in this empty folder, and leave everything there.",
)
@click.option(
    "--seed", type=int, metavar="N", help="What is done, in which order; random if not given."
)
@click.option(
    "--tcp",
    metavar="HOST[:PORT]",
    help="Let the sockets be there, on consecutive ports, and not in the folder.",
)
@click.option(
    "--judge",
    type=click.Path(file_okay=False, exists=True),
    metavar="DIR",
    help="Judge again what was left in this folder.",
)
@pass_session
def torture(
    session: Session,
    /,
    minutes: float,
    data_dir: str | None,
    seed: int | None,
    tcp: str | None,
    judge: str | None,
) -> None:
    """
    Kill a broker, agents and clients, and see that every promise is kept.

    They are real processes with real work, in a folder of their own; they are killed with SIGKILL
    and stopped with SIGSTOP in turn, always with jobs outstanding.  At the end all is mended and
    waited for, and judged by what each of them saw.  Ctrl-C ends the trouble; once more, and it is
    judged at once.

    Exit status: 1 if a promise was broken; the folder is left then.
    """
    screen = session.screen
    if judge is not None:
        report = Report(judged(Place(Path(judge).absolute())))
        report.show(screen)
    else:
        place = prepare(data_dir, tcp)
        chosen = SystemRandom().randrange(1_000_000) if seed is None else seed
        about = About(chosen, minutes, screen.clock.wall())
        kept = data_dir is not None
        with ended_in_order():
            try:
                Torture(place, about, screen, screen.clock).run()
                report = Report(judged(place))
                report.show(screen)
                kept = kept or not report.judgement.kept
            finally:
                if not kept:
                    shutil.rmtree(place.folder, ignore_errors=True)
        if kept:
            screen.say(
                f"Everything is in {place.folder}; jobroute torture --judge {place.folder} judges "
                "it again."
            )
    if not report.judgement.kept:
        click.get_current_context().exit(1)
