"""A vector index as slow and plain as can be, and made-up embeddings to compare others with it."""

from __future__ import annotations

import numpy as np

from reid_pipeline.storage.vector_index import EVERYBODY, Entries, Neighbours

DIM = 16
CAMERAS = 5


class PlainIndex:
    def __init__(self, dim=DIM):
        self.rows = {}

    def __len__(self):
        return len(self.rows)

    def add(self, entries):
        for row in zip(
            entries.ids.tolist(), entries.cameras.tolist(), entries.times_us.tolist(), entries.vectors, strict=True
        ):
            self.rows.setdefault(row[0], row[1:])

    def remove(self, ids):
        return sum(self.rows.pop(each, None) is not None for each in ids.tolist())

    purge = remove

    def expire(self, before_us):
        return self.remove(np.array([each for each, row in self.rows.items() if row[1] < before_us], np.int64))

    def ids(self):
        return np.array(sorted(self.rows), np.int64)

    def search(self, queries, k, wanted=EVERYBODY):
        ids, similarities = np.full((len(queries), k), -1), np.full((len(queries), k), -np.inf, np.float32)
        for number, query in enumerate(queries):
            found = [(-float(row[2] @ query), each) for each, row in self.rows.items() if passes(wanted, *row[:2])]
            for place, (alike, each) in enumerate(sorted(found)[:k]):
                ids[number, place], similarities[number, place] = each, -alike
        return Neighbours(ids, similarities)


def passes(wanted, camera, time_us):
    return (
        (wanted.cameras is None or camera in wanted.cameras)
        and (wanted.since_us is None or time_us >= wanted.since_us)
        and (wanted.until_us is None or time_us < wanted.until_us)
    )


def units(rng, count, dim=DIM):
    vectors = rng.standard_normal((count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def draw(rng, first, count, dim=DIM):
    """Embeddings with ids from `first` on, a second apart but for one in ten, which comes an hour late."""
    ids = np.arange(first, first + count)
    times = ids * 1_000_000 - np.where(rng.random(count) < 0.1, 3_600_000_000, 0)
    return Entries(ids, rng.integers(CAMERAS, size=count).astype(np.int32), times, units(rng, count, dim))
