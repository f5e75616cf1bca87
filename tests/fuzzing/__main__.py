"""Tests the API of a running aggregator against its own description, with schemathesis and all its checks.

    python -m tests.fuzzing http://127.0.0.1:9203 var/credentials.json            at least 5,000 cases
    python -m tests.fuzzing http://127.0.0.1:9203 var/credentials.json --examples 50 --face /api/v1

It writes rows of all kinds: give it a network that nobody needs. The credentials are of an administrator of the
tenant, as `make run` keeps them: {"login": [...], "password": [...]}.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.fuzzing.run import FACES, Account, fuzz


def main(arguments: list[str]) -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing", description="Test the API against OpenAPI.")
    parser.add_argument("url", help="of the aggregator's API, without a path")
    parser.add_argument("credentials", type=Path, help="file of an administrator's log-in")
    parser.add_argument("--face", action="append", choices=FACES, help="both by default")
    parser.add_argument("--examples", type=int, default=30, help="at most, for each operation and phase")
    parser.add_argument("--seed", type=int, help="to repeat a run")
    asked = parser.parse_args(arguments)
    told = json.loads(asked.credentials.read_text())
    account = Account(asked.url, told["login"][0], told["password"][0])
    cases, failures = 0, 0
    for face in asked.face or FACES:
        found = fuzz(account, face, examples=asked.examples, seed=asked.seed)
        print(found.output)
        cases, failures = cases + found.cases, failures + found.failures
    print(f"{cases} cases, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
