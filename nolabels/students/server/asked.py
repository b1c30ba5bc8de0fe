"""What a request holds, checked by hand so that an error names place, rule and value and no text; and its answer."""

import argparse
import asyncio
import json
from typing import Any

import numpy as np
from fastapi import Request
from pydantic import BaseModel, ConfigDict

from .batches import Model, Refused


class Given(BaseModel):
    """What /predict is asked: text or texts, one of the two."""

    model_config = ConfigDict(extra="forbid")
    text: str = ""
    texts: list[str] = []
    all: bool = False
    threshold: float | None = None


class Answer(BaseModel):
    """Of one text; lists where it may have several labels. probabilities: of every class, where asked for."""

    label: str | list[str] | None
    probability: float | list[float]
    probabilities: dict[str, float] | None = None


class Answers(BaseModel):
    answers: list[Answer]


class Error(BaseModel):
    error: str


def kind_of(value: object) -> str:
    """What a JSON value is, in a few words and without any text of it."""
    if isinstance(value, str):
        return f"text of {len(value)} characters"
    if isinstance(value, (list, dict)):
        return f"an {'array' if isinstance(value, list) else 'object'} of {len(value)}"
    return json.dumps(value)[:20]


def parse(body: bytes, limits: argparse.Namespace) -> tuple[list[str], bool, bool, float | None]:
    """(texts, whether one was given, all, threshold) of a request's bytes. Raises Refused for anything else."""
    try:
        given = json.loads(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Refused(
            400, f"body: must be UTF-8, found byte {body[error.start]:#04x} at {error.start}"
        ) from None
    except json.JSONDecodeError as error:
        what = f"{error.msg[0].lower()}{error.msg[1:].removesuffix(' at')}"
        message = f"body: must be JSON, found {what} at line {error.lineno} column {error.colno}"
        raise Refused(400, message) from None
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"body: must be JSON that can be read, found {type(error).__name__}") from None
    if not isinstance(given, dict):
        raise Refused(422, f"body: must be an object, found {kind_of(given)}")
    for name in set(given) - set(Given.model_fields):
        raise Refused(422, f"body: must hold text or texts, all, threshold; found {name[:20]!r}")
    if ("text" in given) == ("texts" in given):
        raise Refused(422, f"body: must hold text or texts, found {'both' if 'text' in given else 'neither'}")
    texts = [given["text"]] if "text" in given else given["texts"]
    if not isinstance(texts, list) or not 1 <= len(texts) <= limits.max_texts:
        raise Refused(
            422, f"texts: must be an array of 1 to {limits.max_texts} texts, found {kind_of(texts)}"
        )
    for number, text in enumerate(texts):
        where = "text" if "text" in given else f"texts[{number}]"
        if not isinstance(text, str):
            raise Refused(422, f"{where}: must be text, found {kind_of(text)}")
        if len(text) > limits.max_length:
            raise Refused(
                422, f"{where}: must have at most {limits.max_length} characters, found {len(text)}"
            )
        if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
            raise Refused(422, f"{where}: must be Unicode, found half of a surrogate pair")
    threshold, everything = given.get("threshold"), given.get("all", False)
    if not isinstance(everything, bool):
        raise Refused(422, f"all: must be true or false, found {kind_of(everything)}")
    if threshold is not None and (isinstance(threshold, bool) or not isinstance(threshold, (int, float))):
        raise Refused(422, f"threshold: must be a number, found {kind_of(threshold)}")
    if threshold is not None and not 0 <= threshold <= 1:
        raise Refused(422, f"threshold: must be 0 to 1, found {kind_of(threshold)}")
    return texts, "text" in given, everything, threshold


async def read(request: Request, limits: argparse.Namespace) -> bytes:
    """The bytes of a request. Raises Refused where they are too many or too slow."""
    body, size = [], 0
    try:
        async with asyncio.timeout(limits.timeout):
            async for chunk in request.stream():
                size += len(chunk)
                if size <= limits.max_bytes:
                    body.append(chunk)
                elif (
                    size > 8 * limits.max_bytes
                ):  # up to there it is taken: few clients read before they have sent
                    break
    except TimeoutError:
        message = f"body: must be sent in {limits.timeout:g} s, found {size} bytes by then"
        raise Refused(408, message) from None
    if size > limits.max_bytes:
        raise Refused(413, f"body: must have at most {limits.max_bytes} bytes, found more")
    return b"".join(body)


def answer_of(model: Model, row: np.ndarray, threshold: float | None, everything: bool) -> dict:
    """An Answer as JSON. row: K probabilities."""
    names, limit = model.classes_.tolist(), model.threshold if threshold is None else threshold
    some = np.flatnonzero(row >= limit).tolist() if model.multi_label else [int(row.argmax())]
    rounded = [round(float(share), 4) for share in row]
    answer: dict[str, Any] = {"label": [names[n] for n in some], "probability": [rounded[n] for n in some]}
    if not model.multi_label:
        answer = {name: one[0] for name, one in answer.items()}
        answer["label"] = answer["label"] if limit is None or row.max() >= limit else None
    return answer | ({"probabilities": dict(zip(names, rounded, strict=True))} if everything else {})
