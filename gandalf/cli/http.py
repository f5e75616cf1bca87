"""Asking an aggregator's REST interface."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import Any

from gandalf.cli.errors import REFUSED, CommandEnd

ANSWER_WITHIN = 5.0
"""Seconds."""


def get(address: str, path: str) -> Any:
    """The JSON at `path`. Raises `CommandEnd` when it cannot be had."""
    url = f"http://{address}{path}"
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_WITHIN) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        trouble = f"HTTP status {error.code}"
        error.close()
    except urllib.error.URLError as error:
        trouble = str(getattr(error.reason, "strerror", None) or error.reason)
    except (OSError, http.client.HTTPException) as error:
        trouble = str(error) or type(error).__name__
    except ValueError:
        trouble = "the answer is not JSON"
    raise CommandEnd(f"no answer from {url}: {trouble}; is the aggregator running (`make run`)?", REFUSED)
