"""A directory with the files of conf/, as a local network starts from."""

from __future__ import annotations

import shutil
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from gandalf.local.places import Places
from gandalf.local.plan import Plan, make_plan

CONF = Path(__file__).parents[3] / "conf"


class LocalCase(SynchronousTestCase):
    """`self.places` is a directory of its own, with a copy of conf/."""

    def setUp(self) -> None:
        """Copy conf/."""
        root = Path(self.mktemp()).absolute()
        shutil.copytree(CONF, root / "conf")
        self.places = Places(root)

    def plan(self, **environment: str) -> Plan:
        """The plan with these variables."""
        return make_plan(self.places, {"PATH": "/usr/bin", **environment})

    def edit(self, file: str, old: str, new: str) -> None:
        """Change a text of a file in conf/."""
        path = self.places.configuration / file
        text = path.read_text("utf-8")
        self.assertIn(old, text)
        path.write_text(text.replace(old, new), "utf-8")
