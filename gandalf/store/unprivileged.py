"""Ceasing to be root without a system user of one's own, for PostgreSQL, which refuses to run as root.

Nothing outside the data directory is made or changed, and the path to it may be closed to everyone but root.
"""

from __future__ import annotations

import ctypes
import os
import pwd
from pathlib import Path

_CLONE_NEWUSER = 0x10000000
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522


def cease_to_be_root(data: Path) -> None:
    """Make this process one that is not root in its own eyes, and the owner of the tree `data`.

    It does nothing for an ordinary user. First choice is a user namespace in which root bears the number of
    another existing user: the files stay root's own, and the process has no privilege left. Where
    namespaces are forbidden (containers), the process becomes `nobody`, who then owns `data`, and keeps the
    one capability it needs to reach it. Raises `OSError` when neither is allowed.
    """
    if os.geteuid() != 0:
        return
    _give(data, os.geteuid(), os.getegid())
    libc = ctypes.CDLL(None, use_errno=True)
    # Numbers without an entry in the user database will not do: initdb asks for its user's name.
    other = next(user for user in pwd.getpwall() if user.pw_uid != 0)
    try:
        _enter_namespace(libc, other.pw_uid, other.pw_gid)
    except OSError:
        nobody = pwd.getpwnam("nobody")
        _give(data, nobody.pw_uid, nobody.pw_gid)
        _become(libc, nobody.pw_uid, nobody.pw_gid)


def _enter_namespace(libc: ctypes.CDLL, uid: int, gid: int) -> None:
    """Raises `OSError`, having changed nothing, when the system forbids it."""
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    _probe_namespace(libc, uid, gid, outer_uid, outer_gid)
    _unshare(libc, uid, gid, outer_uid, outer_gid)


def _probe_namespace(libc: ctypes.CDLL, *numbers: int) -> None:
    # In a child, since a process whose numbers could not be mapped after all has no way back.
    child = os.fork()
    if child == 0:
        try:
            _unshare(libc, *numbers)
        except OSError as error:
            os._exit(error.errno or 1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status:
        raise OSError(os.waitstatus_to_exitcode(status), "user namespaces are not allowed here")


def _unshare(libc: ctypes.CDLL, uid: int, gid: int, outer_uid: int, outer_gid: int) -> None:
    _checked(libc.unshare(_CLONE_NEWUSER))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {outer_uid} 1\n")
    Path("/proc/self/gid_map").write_text(f"{gid} {outer_gid} 1\n")


def _become(libc: ctypes.CDLL, uid: int, gid: int) -> None:
    _checked(libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0))
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    mask = 1 << _CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)  # effective, permitted, inheritable; high halves
    _checked(libc.capset(header, sets))
    # Ambient: the only set that programs without file capabilities keep across exec.
    _checked(libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0))


def _give(tree: Path, uid: int, gid: int) -> None:
    if tree.stat().st_uid == uid:
        return
    for directory, _, files in os.walk(tree):
        for path in (directory, *(os.path.join(directory, name) for name in files)):  # noqa: PTH118
            os.chown(path, uid, gid, follow_symlinks=False)


def _checked(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
