"""Texts, their ids, and the order in which they are drawn."""

import hashlib
import unicodedata


def normal_form(text: str) -> str:
    """NFC, case folded, runs of white space as one space: equal forms are the same text."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def text_id(text: str) -> str:
    """First 32 hex digits of SHA-256 of the text's normal form (UTF-8)."""
    return hashlib.sha256(normal_form(text).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def draw_key(seed: int, identifier: str) -> bytes:
    """The key by which texts are ordered at random: the start of SHA-256 of seed and id.

    The order depends on nothing but the seed and the text itself, so a draw of 1,000 is a part of a
    draw of 5,000, and rows that are added to the source move no other row.

    Parameters
    ----------
    seed : int
        params: sample.seed.
    identifier : str
        The id of a text, 32 hex digits.

    Returns
    -------
    bytes
        8 bytes.
    """
    return hashlib.sha256(f"{seed}:{identifier}".encode()).digest()[:8]


def hash_position(identifier: str) -> float:
    """The position of a text in the hash range that `sample.zones` divides: a number in [0, 1).

    It depends on the id alone, so neither rows that are added nor a seed or a size moves a text from one zone to
    another. The range is cut in the order test, dev, pool.
    """
    digest = hashlib.sha256(f"zone:{identifier}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32


def answer_key(text: str) -> bytes:
    """16 bytes that name the exact text in the answer store (a teacher sees case and spaces)."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16]
