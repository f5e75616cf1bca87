"""The connector `vcs`/`git`: bare repositories under a directory, through the git program.

The program, not a library: whoever clones and pushes has it anyway; it alone keeps up with git's own formats,
locks and checks, also against other processes at work in the same repository; a run of it that hangs is ended
without harm to the connector; and one run takes a few milliseconds. pygit2 and dulwich, both maintained,
would save those and bring a second reading of the same files.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from gandalf.connector.declare import Connector, Program
from gandalf.connector.git.announcer import Announcer, inotify
from gandalf.connector.git.names import BranchName, RepositoryName
from gandalf.connector.git.process import Git, clean_environment
from gandalf.connector.git.repositories import Repositories
from gandalf.connector.git.spool import Spool
from gandalf.connector.job import Job
from gandalf.connector.network import Host, Network
from gandalf.connector.programs import check_options


class Settings(BaseModel):
    """What an operator sets. `directory` is made when it is missing; a relative one counts from the working
    directory.

    `url` is what clients find the directory under (`ssh://git@host/srv/git`), by default its path. `timeout`
    is the seconds that one run of git may take, `poll` those between looks for pushes where the system does
    not tell of them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    directory: Path
    url: str = ""
    git: str = "git"
    timeout: float = Field(default=10.0, gt=0, le=3600)
    poll: float = Field(default=1.0, ge=0.05, le=3600)


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CreateRepository(_Request):
    """Make an empty repository."""

    name: RepositoryName


class DeleteRepository(_Request):
    """Delete a repository."""

    name: RepositoryName


class ListRepositories(_Request):
    """List all repositories."""


class CreateBranch(_Request):
    """Make a branch where the branch `from` is; by default the repository's default branch."""

    repository: RepositoryName
    name: BranchName
    source: BranchName | None = Field(default=None, alias="from")


def declare(repositories: Repositories) -> Connector:
    """The commands, carried out on `repositories`. All run in the thread pool."""
    connector = Connector(type="vcs", product="git", versions=[(1, 0)])

    @connector.command("CREATE_REPOSITORY", CreateRepository)
    def create_repository(request: CreateRepository, job: Job) -> dict[str, object]:
        job.progress("initialising")
        return repositories.create(request.name, job.uuid)

    @connector.command("LIST_REPOSITORIES", ListRepositories)
    def list_repositories(request: ListRepositories, job: Job) -> dict[str, object]:
        return repositories.list_all()

    @connector.command("CREATE_BRANCH", CreateBranch)
    def create_branch(request: CreateBranch, job: Job) -> dict[str, object]:
        return repositories.create_branch(request.repository, request.name, request.source, job.uuid, job.progress)

    @connector.command("DELETE_REPOSITORY", DeleteRepository)
    def delete_repository(request: DeleteRepository, job: Job) -> dict[str, object]:
        return repositories.delete(request.name, job.uuid)

    return connector


def program(options: Mapping[str, object]) -> Program:
    """The connector, its directory made ready. ValueError naming key and value when the options cannot be
    used."""
    settings = check_options(Settings, options)
    directory = settings.directory.absolute()
    support = directory / ".gandalf"
    spool = Spool(support / "spool", settings.url.rstrip("/") or str(directory))
    environment = clean_environment(support / "home", os.environ.get("PATH", os.defpath))
    repositories = Repositories(directory, Git(settings.git, environment, settings.timeout), spool)
    try:
        repositories.prepare(time.time())
    except OSError as error:
        raise ValueError(f"options.directory is {str(directory)!r}: cannot be used ({error.strerror})") from error

    def beside(reactor: Any, network: Network, host: Host) -> Announcer:
        return Announcer(reactor, spool, network, host, interval=settings.poll, watch=inotify(reactor))

    return Program(declare(repositories), beside)
