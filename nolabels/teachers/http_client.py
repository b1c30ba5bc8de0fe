"""Asking a server over HTTP: retries, a rate, a key, several questions at a time."""

import email.utils
import os
import re
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any

import requests

from nolabels.core.params import Served
from nolabels.core.stage import UserError

FIRST_WAIT = 0.5  # seconds before the second try; each further wait is twice as long
LONGEST_WAIT = 60.0
LONGEST_RETRY_AFTER = 600.0  # a server that wants more is taken for one that does not answer

Check = Callable[[int, str], None]  # gets the status and the message of an answer


class Stopped(Exception):
    """Another question has failed for good, so this one is not asked."""


class HttpClient:
    """Sends requests and returns the JSON of their answers.

    Connections that fail, 429 and 5xx are tried again, after twice the time at each try or what Retry-After says. What
    cannot get better (401, 403, 404, other 4xx) ends the run at once. The key is read from the environment, sent in
    the header, and taken out of every message.

    Parameters
    ----------
    served : Served
        `runtime.endpoint`.
    model : str
        The model's name at the server, for messages.

    Raises
    ------
    UserError
        Where the key is not there.
    """

    def __init__(self, served: Served, model: str):
        self.served, self.model = served, model
        self.key = os.environ.get(served.key_env, "").strip() if served.key_env else None
        if served.key_env and not (self.key and self.key.isascii() and self.key.isprintable()):
            instead = "something that no header can hold" if self.key else "nothing"
            raise UserError(
                f"params.yaml: runtime.endpoint.key_env: the environment variable {served.key_env} must hold the key, "
                f"found {instead}"
            )
        self.pace = Pace(served.requests_per_minute)
        self.local = threading.local()
        self.stopped = threading.Event()

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        """function(item) for each item, as many at a time as runtime.endpoint.concurrency says; results in order."""

        def guarded(item):
            try:
                return function(item)
            except Exception:
                self.stopped.set()
                raise

        with ThreadPoolExecutor(self.served.concurrency) as pool:
            waiting = [pool.submit(guarded, item) for item in items]
            try:
                wait(waiting, return_when=FIRST_EXCEPTION)
            finally:  # also when a person interrupts: what is under way is not tried again
                if not all(future.done() for future in waiting):
                    self.stopped.set()
                    pool.shutdown(wait=True, cancel_futures=True)
        errors = [
            error
            for future in waiting
            if not future.cancelled() and (error := future.exception()) is not None
        ]
        for error in sorted(errors, key=lambda error: isinstance(error, Stopped)):
            raise error
        return [future.result() for future in waiting]

    def request(self, url: str, body: dict | None = None, check: Check = lambda *_: None) -> Any:
        """The server's answer to POST, or to GET without a body.

        Parameters
        ----------
        url : str
            The whole address.
        body : dict or None
            JSON to send.
        check : callable
            Gets the status and the message of an answer that is not 200. It may raise, before the request is tried
            again or refused.

        Returns
        -------
        object
            The answer's JSON.

        Raises
        ------
        UserError
            Where there is no answer.
        """
        pause, wanted_pause, reason = FIRST_WAIT, None, ""
        for attempt in range(self.served.retries + 1):
            if attempt:
                self.pace.hold(pause if wanted_pause is None else wanted_pause)
                pause = min(2 * pause, LONGEST_WAIT)
            self.pace.wait(self.stopped)
            if self.stopped.is_set():
                raise Stopped
            wanted_pause = None
            try:
                answer = self._send(url, body)
                if answer.status_code == 200:
                    return answer.json()
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
                reason = "no connection, or it broke or took too long"
                continue
            except requests.JSONDecodeError:
                reason = "an answer that is not JSON"
                continue
            except requests.RequestException as error:
                raise UserError(f"{url}: cannot be asked ({type(error).__name__})") from None
            self._raise_if_final(url, answer, check)
            reason = f"status {answer.status_code}"
            wanted_pause = retry_after(answer.headers.get("Retry-After"))
            if wanted_pause is not None and wanted_pause > LONGEST_RETRY_AFTER:
                break
        raise UserError(f"{url}: must answer, found {reason} (tried {attempt + 1} times)")

    def _send(self, url: str, body: dict | None) -> requests.Response:
        """One request, by the session of this thread, which keeps its connection open."""
        if not hasattr(self.local, "session"):
            self.local.session = requests.Session()
            # set as `auth`, the header wins over a .netrc file's
            self.local.session.auth = self._authorize
        return self.local.session.request(
            "GET" if body is None else "POST",
            url,
            json=body,
            timeout=self.served.timeout_seconds,
            allow_redirects=False,
        )

    def _raise_if_final(self, url: str, answer: requests.Response, check: Check) -> None:
        """Raises where an answer will not get better by asking again."""
        status = answer.status_code
        message = " ".join(answer.text.split())
        message = (message.replace(self.key, "***") if self.key else message)[:200]
        if status in (401, 403):
            name = self.served.key_env
            how = f"the key in {name}" if name else "being asked without a key (runtime.endpoint.key_env)"
            raise UserError(f"{url}: refused {how} (status {status})")
        if status == 404:
            raise UserError(f"{url}: knows no such address, or no model {self.model!r} (status 404)")
        check(status, message)
        if status != 429 and status < 500:
            raise UserError(f"{url}: refused the question (status {status}): {message}")

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self.key:
            request.headers["Authorization"] = f"Bearer {self.key}"
        return request


class Pace:
    """When the next request may go: at most `per_minute` of them, evenly spaced, and after each hold."""

    def __init__(self, per_minute: float | None):
        self.gap = 60 / per_minute if per_minute else 0.0
        self.next = 0.0
        self.lock = threading.Lock()

    def wait(self, stopped: threading.Event) -> None:
        """Waits until the next request may go, or until all is stopped."""
        with self.lock:
            now = time.monotonic()
            at = max(now, self.next)
            self.next = at + self.gap if self.gap else self.next
        stopped.wait(at - now)

    def hold(self, seconds: float) -> None:
        """Nobody asks for so long: a server that is overloaded is left alone by all."""
        with self.lock:
            self.next = max(self.next, time.monotonic() + seconds)


def retry_after(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks for (a number or a date), or None."""
    if value is None:
        return None
    if re.fullmatch(r"\d+", value.strip()):
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
