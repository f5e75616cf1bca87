"""Names of repositories and branches: what is allowed, checked before git or the file system sees them."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator

_REPOSITORY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_REPOSITORY_RULE: Final = (
    "must be 1 to 100 letters, digits, '.', '_' and '-', the first a letter or digit, "
    "without '..', not ending in '.', '.git' or '.lock'"
)
_FORBIDDEN_IN_BRANCH: Final = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//")
_BRANCH_RULE: Final = (
    "must be 1 to 200 bytes as git check-ref-format allows: words separated by single '/', without control "
    "characters, space, '..', '@{', or any of ~^:?*[\\, no word starting with '.' or ending in '.lock', "
    "not ending in '.', not starting with '-', and neither '@' nor 'HEAD'"
)
MAX_BRANCH: Final = 200
"""Bytes of a branch's name; a loose ref is a file, and file systems stop at 255."""


def check_repository_name(name: str) -> str:
    """`name` when it is the name of a repository; ValueError with the rule when it is not."""
    if not _REPOSITORY.fullmatch(name) or ".." in name or name.lower().endswith((".", ".git", ".lock")):
        raise ValueError(_REPOSITORY_RULE)
    return name


def check_branch_name(name: str) -> str:
    """`name` when git takes it for a branch's and it is not too long; ValueError with the rule when not."""
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        length = 0
    if (
        not 1 <= length <= MAX_BRANCH
        or name in ("@", "HEAD")
        or name.startswith(("-", "/"))
        or name.endswith(("/", "."))
        or _FORBIDDEN_IN_BRANCH.search(name)
        or any(word.startswith(".") or word.endswith(".lock") for word in name.split("/"))
    ):
        raise ValueError(_BRANCH_RULE)
    return name


RepositoryName = Annotated[str, AfterValidator(check_repository_name)]
BranchName = Annotated[str, AfterValidator(check_branch_name)]
