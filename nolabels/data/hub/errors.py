"""Requests to the hub: the access token, further attempts, and one line for what went wrong.

The hub is huggingface.co or what HF_ENDPOINT names. A token comes from HF_TOKEN alone.
"""

import os
import time
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

from nolabels.core.params import HubDataset, HubModel
from nolabels.core.stage import UserError, say

PAUSES = (1, 2, 4)  # seconds before each further attempt
Answer = TypeVar("Answer")
Asset = HubModel | HubDataset


def token() -> str | bool:
    """HF_TOKEN, or False: then no token is sent, not even one that a login left on this machine."""
    return os.environ.get("HF_TOKEN") or False


def address() -> str:
    """The hub's address as a message may show it: no user, no password."""
    from huggingface_hub import constants

    parts = urlsplit(constants.ENDPOINT)
    return (parts.hostname or "HF_ENDPOINT (which names no host)") + (f":{parts.port}" if parts.port else "")


def attempt(asset: Asset, kind: str, name: str, request: Callable[[], Answer]) -> Answer:
    """Makes a request to the hub, again after a pause where the network may be better in a moment.

    Parameters
    ----------
    asset : HubModel or HubDataset
        What is requested.
    kind : str
        model or dataset.
    name : str
        The asset's key in params.yaml, for messages.
    request : callable
        The request, without arguments.

    Returns
    -------
    object
        What the request returns.

    Raises
    ------
    UserError
        Where the hub refuses, or fails after the last pause too.
    """
    pauses = iter(PAUSES)
    while True:
        pause = next(pauses, None)
        try:
            return request()
        except UserError:
            raise
        except Exception as error:
            again, message = explain(error, asset, kind)
            if message is None:
                raise
            if not again or pause is None:
                # from None: what the library says may hold an address that lets one in
                raise UserError(f"{name}: {message}") from None
        say(f"fetch: {name}: {message}; asking again in {pause} s")
        time.sleep(pause)


def explain(error: BaseException, asset: Asset, kind: str) -> tuple[bool, str | None]:
    """What an error of a request means.

    Parameters
    ----------
    error : BaseException
        What the request raised.
    asset : HubModel or HubDataset
        What was requested.
    kind : str
        model or dataset.

    Returns
    -------
    tuple of (bool, str or None)
        Whether another attempt may help, and the message; None where the error does not come from the hub.
    """
    from huggingface_hub import errors

    access = "with the token of HF_TOKEN" if token() else "without a token (HF_TOKEN is not set)"
    while isinstance(error, (errors.LocalEntryNotFoundError, errors.FileMetadataError)) and error.__cause__:
        error = error.__cause__
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if isinstance(error, errors.GatedRepoError):
        return False, f"{asset.hub} is gated and refused {access}; ask for access on its page"
    if isinstance(error, errors.RevisionNotFoundError):
        return False, f"revision must be a branch, tag or commit of {asset.hub}, found {asset.revision!r}"
    if isinstance(error, errors.RepositoryNotFoundError):
        return False, f"hub must name a {kind} of {address()}, found none called {asset.hub} {access}"
    if isinstance(error, errors.EntryNotFoundError) and status == 404:
        path = urlsplit(str(getattr(response, "url", ""))).path.split("/resolve/")[-1].split("/", 1)[-1]
        return False, f"{asset.hub} must have {path} at the revision, found none"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return False, f"{address()} must be asked, found HF_HUB_OFFLINE set"
    if status in (401, 403):
        return False, f"{asset.hub} refused access {access} (status {status})"
    if status is not None:
        return status >= 500 or status in (408, 429), f"{address()} answered with status {status}"
    if isinstance(error, (errors.HTTPError, ConnectionError, errors.LocalEntryNotFoundError)):
        return True, f"{address()} cannot be reached, or the connection broke ({type(error).__name__})"
    if isinstance(error, OSError) and "Consistency check failed" in str(error):
        return True, f"{address()} sent a file of another size than promised"
    return False, None
