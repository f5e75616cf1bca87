"""Whether routing became slower: frames a second in memory, beside a simple loop over the same frames.

    python -m benchmarks.guard

Both are measured in turns, in processor time, and the best of each counts; so what else the machine does, and how
fast it is, shows little in the ratio. Prints the ratios as JSON.
"""

from __future__ import annotations

import gc
import json
import struct
import time
from collections.abc import Callable
from typing import Final

import msgpack

from benchmarks.relay import chunks, commands, events, frame
from gandalf.wire.body import pack_body

RECORDED: Final = {"events": 1.1, "commands": 0.35}
"""Frames that the router carries while the loop carries one. To be measured anew, with this program, when routing
becomes faster or a rule costs more on purpose."""

ALLOWED: Final = 0.7
"""The part of what is recorded that must be reached: 30 % are what noise and other machines may take."""

FRAMES: Final = 20_000
REPETITIONS: Final = 7
_MEASURED: Final[dict[str, Callable[[int], float]]] = {"events": events, "commands": commands}


def reference(count: int) -> float:
    """Frames a second of a loop that reads each envelope, remembers its uuid, and gathers the bytes."""
    body = pack_body({"topic": "a.b", "event": "X", "payload": "x" * 60})
    stream = chunks([frame("evt", body) for _ in range(count)])
    seen: set[bytes] = set()
    length_at, sent, spent = struct.Struct(">I").unpack_from, 0, 0.0
    for chunk in stream:
        began = time.process_time()
        out, position, size = [], 0, len(chunk)
        while position < size:
            end = position + 4 + length_at(chunk, position)[0]
            raw = chunk[position:end]
            kind, uuid, tenant, _, _, _, _, _ = msgpack.unpackb(raw[4:])
            if kind == "evt" and tenant == "tenant1" and uuid not in seen:
                seen.add(uuid)
                out.append(raw)
            position = end
        sent += len(b"".join(out))
        spent += time.process_time() - began
    if sent != sum(map(len, stream)):
        raise AssertionError(f"{sent} bytes are not all")
    return count / spent


def ratios() -> dict[str, float]:
    """What the router carries for each frame of the loop, by what is measured."""
    gc.collect()
    gc.disable()
    best = dict.fromkeys(("loop", *_MEASURED), 0.0)
    for _ in range(REPETITIONS):
        best["loop"] = max(best["loop"], reference(FRAMES))
        for name, measure in _MEASURED.items():
            best[name] = max(best[name], measure(FRAMES))
        gc.collect()
    return {name: best[name] / best["loop"] for name in _MEASURED}


def main() -> None:
    """Print them."""
    print(json.dumps(ratios()))


if __name__ == "__main__":
    main()
