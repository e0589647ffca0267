"""Scores of finding a person again in a gallery, by the Market-1501 protocol.

For each query, gallery crops of the same identity in the same camera are left out. Junk (identity -1) is left out for
all queries. Distractors (identity 0) stay in the gallery and match nobody. A query without a match is skipped.

Average precision is the mean of the precision at each match (as in the usual Python evaluations; the MATLAB code of
Market-1501 takes the area by trapezoids instead, which is slightly less).

Source:
    Protocol: Zheng et al., Scalable Person Re-identification: A Benchmark, ICCV 2015.
    mINP: Ye et al., Deep Learning for Person Re-identification: A Survey and Outlook, 2021, equation 9.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.datatypes import Embeddings
from reid_pipeline.pipeline.errors import InputError

JUNK = -1
DISTRACTOR = 0

# Query-gallery pairs in memory at once: some 70 bytes each.
_PAIRS_AT_ONCE = 4_000_000


@dataclass(frozen=True, slots=True, eq=False)
class LabelledEmbeddings:
    """Crops whose persons are known.

    Attributes:
        embeddings: ``(N, D) float32``, of norm 1.
        identities: ``(N,)`` integers; -1 is junk, 0 a distractor.
        cameras: ``(N,)`` integers.
    """

    embeddings: Embeddings
    identities: NDArray[np.int64]
    cameras: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.embeddings.ndim != 2 or self.embeddings.dtype != np.float32:
            raise ValueError(
                f"embeddings: expected (N, D) float32, got {self.embeddings.shape} {self.embeddings.dtype}"
            )
        if not self.identities.shape == self.cameras.shape == (len(self),):
            raise ValueError(
                f"identities and cameras: expected ({len(self)},), got {self.identities.shape} and {self.cameras.shape}"
            )

    def __len__(self) -> int:
        return len(self.embeddings)

    def __getitem__(self, rows: NDArray[np.bool_] | slice) -> LabelledEmbeddings:
        return LabelledEmbeddings(self.embeddings[rows], self.identities[rows], self.cameras[rows])


@dataclass(frozen=True, slots=True)
class RetrievalScores:
    """Means over the queries that have a match, in percent.

    Attributes:
        mean_ap: Mean average precision.
        rank1: Queries with a match in first place.
        rank5: Queries with a match in the first five places.
        rank10: Queries with a match in the first ten places.
        mean_inp: Mean inverse negative penalty: how much of the list up to the last match is matches.
    """

    mean_ap: float
    rank1: float
    rank5: float
    rank10: float
    mean_inp: float

    def as_dict(self) -> dict[str, float]:
        """Names the scores as the command prints them."""
        return {
            "mAP": self.mean_ap,
            "rank1": self.rank1,
            "rank5": self.rank5,
            "rank10": self.rank10,
            "mINP": self.mean_inp,
        }


def evaluate_retrieval(query: LabelledEmbeddings, gallery: LabelledEmbeddings) -> RetrievalScores:
    """Ranks the gallery for each query by inner product; of equals, the earlier gallery crop comes first.

    Raises:
        InputError: No query has a match in the gallery.
        ValueError: The embeddings are not of one length.
    """
    if query.embeddings.shape[1] != gallery.embeddings.shape[1]:
        raise ValueError(
            f"embeddings: expected one length, got {query.embeddings.shape[1]} and {gallery.embeddings.shape[1]}"
        )
    gallery = gallery[gallery.identities != JUNK]
    step = max(1, _PAIRS_AT_ONCE // max(1, len(gallery)))
    parts = [_score(query[start : start + step], gallery) for start in range(0, len(query), step)]
    scores = np.concatenate([np.empty((0, 5)), *parts])
    if not len(scores):
        raise InputError(
            f"none of {len(query)} queries has its identity under another camera in the gallery of {len(gallery)} "
            "crops; expected at least one"
        )
    return RetrievalScores(*(100 * scores.mean(axis=0)).tolist())


def _score(query: LabelledEmbeddings, gallery: LabelledEmbeddings) -> NDArray[np.float64]:
    """Gives average precision, hit at 1, 5 and 10, and inverse negative penalty of each query with a match.

    Returns:
        ``(M, 5)`` in 0-1, M at most the number of queries.
    """
    order = np.argsort(-(query.embeddings @ gallery.embeddings.T), axis=1, kind="stable")
    same_person = gallery.identities[order] == query.identities[:, np.newaxis]
    same_camera = gallery.cameras[order] == query.cameras[:, np.newaxis]
    match = same_person & ~same_camera & (query.identities != DISTRACTOR)[:, np.newaxis]
    # Places count only what the protocol leaves in the list.
    place = np.cumsum(~(same_person & same_camera), axis=1)

    found = match.any(axis=1)
    match, place = match[found], place[found]
    hits = np.cumsum(match, axis=1)
    precision = np.where(match, hits / np.maximum(1, place), 0.0)
    first = np.where(match, place, place.shape[1] + 1).min(axis=1, initial=place.shape[1] + 1)
    last = np.where(match, place, 0).max(axis=1, initial=0)
    total = match.sum(axis=1)
    return np.stack([precision.sum(axis=1) / total, first <= 1, first <= 5, first <= 10, total / last], axis=1)
