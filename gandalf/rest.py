"""Asking an aggregator's REST interface from a program that does one thing and ends; it blocks."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

import attrs

ANSWER_WITHIN_S: Final = 5.0


class RestError(Exception):
    """There is no usable answer. `status` is HTTP's, 0 when nobody answered; `body` the JSON that came with it."""

    def __init__(self, message: str, status: int = 0, body: Any = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = body


@attrs.define
class RestClient:
    """Speaks to the interface at `address` ("host:port"); logs in with the first request that needs it."""

    address: str
    login: str = ""
    password: str = attrs.field(default="", repr=False)
    _token: str = attrs.field(default="", repr=False, init=False)

    def get(self, path: str, *, open: bool = False) -> Any:
        """The JSON at `path`; `open` asks without a log-in.

        :raises RestError: it cannot be had.
        """
        return self._ask("GET", path, None, "" if open else self._logged_in())

    def _logged_in(self) -> str:
        if not self._token:
            answer = self._ask("POST", "/api/v1/login", {"login": self.login, "password": self.password}, "")
            self._token = answer["token"]
        return self._token

    def _ask(self, method: str, path: str, body: object, token: str) -> Any:
        url = f"http://{self.address}{path}"
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_WITHIN_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            told = _json(error)
            error.close()
            raise RestError(f"{url}: {_detail(told) or f'HTTP status {error.code}'}", error.code, told) from None
        except urllib.error.URLError as error:
            reason = getattr(error.reason, "strerror", None) or error.reason
            raise RestError(f"{url}: {reason}") from None
        except (OSError, http.client.HTTPException) as error:
            raise RestError(f"{url}: {error or type(error).__name__}") from None
        except ValueError:
            raise RestError(f"{url}: the answer is not JSON") from None


def log_in_of(path: Path) -> tuple[str, str]:
    """The first log-in in a file as `make run` writes it: JSON with the lists `login` and `password`.

    :raises OSError: it cannot be read.
    :raises ValueError: it is of another form.
    """
    content = json.loads(path.read_text("utf-8"))
    try:
        login, password = content["login"][0], content["password"][0]
    except (KeyError, IndexError, TypeError):
        raise ValueError(f"{path}: must hold the lists login and password") from None
    if not isinstance(login, str) or not isinstance(password, str):
        raise ValueError(f"{path}: login and password must be lists of texts")
    return login, password


def _json(error: urllib.error.HTTPError) -> Any:
    try:
        return json.load(error)
    except (OSError, ValueError, http.client.HTTPException):
        return None


def _detail(told: Any) -> str:
    return str(told.get("detail") or told.get("message") or "") if isinstance(told, dict) else ""
