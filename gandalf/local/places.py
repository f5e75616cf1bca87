"""Where the local network keeps what it needs: all of it under `var/` of one directory."""

from __future__ import annotations

import os
from pathlib import Path

import attrs


@attrs.frozen
class Places:
    """The files of the local network in the directory `root`, which holds `conf/`. All paths are absolute."""

    root: Path

    @property
    def configuration(self) -> Path:
        """The configuration files that are run."""
        return self.root / "conf"

    @property
    def var(self) -> Path:
        """All state."""
        return self.root / "var"

    @property
    def log(self) -> Path:
        """One log for each program, and supervisord's."""
        return self.var / "log"

    @property
    def secrets(self) -> Path:
        """Secrets of components, and the address of the database; for the owner only."""
        return self.var / "secrets"

    @property
    def database(self) -> Path:
        """The file with the control database's URI."""
        return self.secrets / "database"

    @property
    def postgres(self) -> Path:
        """The data directory of the embedded PostgreSQL."""
        return self.var / "postgres"

    @property
    def credentials(self) -> Path:
        """The log-in to the API that was made."""
        return self.var / "credentials.json"

    @property
    def operator(self) -> Path:
        """The settings of the command `gandalf`."""
        return self.var / "operator.toml"

    @property
    def socket(self) -> Path:
        """Where supervisord is told what to do; conf/supervisord.conf says the same."""
        return self.var / "supervisor.sock"

    @property
    def lock(self) -> Path:
        """Held while the network is started or stopped."""
        return self.var / "lock"

    def secret(self, tenant: str, logical_name: str, address: str) -> Path:
        """The file with a component's secret. A secret is bound to an address, so each address has its own."""
        return self.secrets / tenant / (f"{logical_name}@{address}" if address else logical_name)


def write_private(path: Path, text: str) -> None:
    """Make or replace a file that only its owner may read; it is there whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    unfinished.rename(path)
