"""Asking a server over HTTP: retries, a rate, a key, several questions at a time."""

import email.utils
import re
import threading
import time

FIRST_WAIT = 0.5  # seconds before the second try; each further wait is twice as long
LONGEST_WAIT = 60.0
LONGEST_RETRY_AFTER = 600.0  # a server that wants more is taken for one that does not answer


class Stopped(Exception):
    """Another question has failed for good, so this one is not asked."""


class NoEcho(Exception):
    """The server does not tell the log-probabilities of a prompt."""


class Pace:
    """When the next request may go: at most `per_minute` of them, evenly spaced, and after each hold."""

    def __init__(self, per_minute):
        self.gap = 60 / per_minute if per_minute else 0.0
        self.next = 0.0
        self.lock = threading.Lock()

    def wait(self, stopped):
        with self.lock:
            now = time.monotonic()
            at = max(now, self.next)
            self.next = at + self.gap if self.gap else self.next
        stopped.wait(at - now)

    def hold(self, seconds):
        """Nobody asks for so long: a server that is overloaded is left alone by all."""
        with self.lock:
            self.next = max(self.next, time.monotonic() + seconds)


def retry_after(value):
    """Seconds that a Retry-After header asks for (a number or a date), or None."""
    if value is None:
        return None
    if re.fullmatch(r"\d+", value.strip()):
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
