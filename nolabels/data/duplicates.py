"""Near-duplicates of test texts among other texts.

A test text that stands in the pool with one word changed makes a model look better than it is.
"""

from collections.abc import Iterable
from zlib import crc32

from nolabels.data.texts import normal_form

LETTERS = 5  # of a shingle; letters and not words, so that scripts without spaces have them too
PERMUTATIONS = 128


def shingles(text: str) -> set[bytes]:
    """All runs of LETTERS letters of the normal form, as a set of bytes; a shorter text is one of its own."""
    text = normal_form(text)
    return {
        text[start : start + LETTERS].encode("utf-8", "surrogatepass")
        for start in range(max(len(text) - LETTERS, 0) + 1)
    }


def jaccard(left: set[bytes], right: set[bytes]) -> float:
    """Resemblance of two texts by their shingles: common ones over all, 0..1.

    Broder 1997, "On the resemblance and containment of documents".
    """
    return len(left & right) / len(left | right)


class NearDuplicates:
    """Finds texts that resemble one of the given texts.

    Candidates come from MinHash signatures in a locality-sensitive index (Broder 1997; datasketch), and
    each is then compared exactly. So every text that resembles says True about is a near-duplicate, and few are
    missed, since the index is tuned to miss little.

    Parameters
    ----------
    texts : iterable of str
        The given texts; they are kept in memory as shingles.
    similarity : float
        Jaccard similarity of shingles from which on two texts are near-duplicates, in (0, 1].
    """

    def __init__(self, texts: Iterable[str], similarity: float) -> None:
        from datasketch import MinHash, MinHashLSH

        # the same permutations in every run; crc32 takes a fifth of the time of the usual SHA-1
        self.empty = MinHash(num_perm=PERMUTATIONS, seed=1, hashfunc=crc32)
        self.similarity = similarity
        self.texts = [shingles(text) for text in texts]
        self.known = set().union(*self.texts)
        # a false candidate costs a comparison, a missed one a leak
        self.index = MinHashLSH(threshold=similarity, num_perm=PERMUTATIONS, weights=(0.1, 0.9))
        with self.index.insertion_session() as session:
            for number, members in enumerate(self.texts):
                session.insert(number, self._signature(members), check_duplication=False)

    def resembles(self, text: str) -> bool:
        """Whether a text is a near-duplicate of one of the given ones."""
        members = shingles(text)
        # at least this share of its shingles must stand in the other text, hence in any of them
        if len(members & self.known) < self.similarity * len(members):
            return False
        candidates = self.index.query(self._signature(members))
        return any(jaccard(members, self.texts[number]) >= self.similarity for number in candidates)

    def _signature(self, members):
        """MinHash of a set of shingles."""
        signature = self.empty.copy()
        signature.update_batch(list(members))
        return signature
