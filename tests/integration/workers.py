"""A connector for tests: carries out ``WORK`` and writes down that it did."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from gandalf.connector import Connector, Job, Program
from gandalf.connector.programs import check_options


class Options(BaseModel):
    """``acts``: the directory in which each process writes what it acted on."""

    acts: Path


class Work(BaseModel):
    """The payload of ``WORK``."""

    number: int


def program(options: Mapping[str, object]) -> Program:
    """A worker; two of them may be in one process."""
    acts = check_options(Options, options).acts
    connector = Connector(type="work", product="test", versions=[(1, 0)])

    @connector.command("WORK", Work)
    async def work(request: Work, job: Job) -> dict[str, object]:
        with (acts / f"{os.getpid()}-{id(connector)}").open("a") as log:
            log.write(f"{job.uuid.hex} {request.number}\n")
        return {"number": request.number, "pid": os.getpid()}

    return Program(connector)
