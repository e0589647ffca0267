from dataclasses import replace
from itertools import combinations

import numpy as np

from reid_pipeline.learning.material import Material, find_covisible, hold_out


def material(size=40, seed=0, cameras=3, runs=2):
    """Tracklets of one to five tiny crops at random times."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 6, size)
    first = rng.integers(0, 1000, size)
    last = first + rng.integers(0, 80, size)
    tracklets = np.repeat(np.arange(size), counts)
    return Material(
        crops=rng.integers(0, 256, (len(tracklets), 4, 2, 3)).astype(np.uint8),
        tracklets=tracklets,
        times_us=first[tracklets],
        cameras=rng.integers(0, cameras, size),
        camera_names=tuple("abc"[:cameras]),
        runs=rng.integers(0, runs, size),
        first_us=first,
        last_us=last,
    )


def test_covisible_pairs_are_those_of_all_pairs():
    for seed in range(5):
        known = material(seed=seed)
        expected = [
            (one, other)
            for one, other in combinations(range(len(known)), 2)
            if known.cameras[one] == known.cameras[other]
            and known.runs[one] == known.runs[other]
            and known.first_us[one] <= known.last_us[other]
            and known.first_us[other] <= known.last_us[one]
        ]
        assert [tuple(pair) for pair in find_covisible(known).tolist()] == expected
        assert expected


def test_nobody_is_covisible_with_nobody():
    assert find_covisible(material().select(np.array([3]))).shape == (0, 2)


def test_a_selection_keeps_what_belongs_together():
    known = material()
    chosen = np.array([2, 5, 11])
    some = known.select(chosen)
    assert len(some) == 3
    for place, tracklet in enumerate(chosen):
        np.testing.assert_array_equal(some.crops[some.tracklets == place], known.crops[known.tracklets == tracklet])
        assert some.cameras[place] == known.cameras[tracklet]
        assert some.begins()[place + 1] - some.begins()[place] == (known.tracklets == tracklet).sum()


def test_what_is_held_out_is_blocks_of_time_and_nothing_is_lost():
    known = material(400)
    training, held_out = hold_out(known)
    assert len(training) + len(held_out) == 400
    assert len(held_out) == 3 * 19  # three of 21 blocks
    ranks = np.sort(np.searchsorted(np.sort(known.first_us), held_out.first_us))
    assert (np.diff(ranks) > 19).sum() == 2  # apart from one another
    everything = sorted([*training.crops.tobytes(), *held_out.crops.tobytes()])
    assert everything == sorted(known.crops.tobytes())


def test_what_was_held_out_once_stays_so_when_the_corpus_grows():
    known = spread(material(2000), hours=48)
    earlier = known.select(np.flatnonzero(known.first_us < 24 * HOUR_US))
    training, held_out = hold_out(known)
    before, held_before = hold_out(earlier)
    assert 0.1 < len(held_out) / 2000 < 0.2
    assert set(held_before.first_us) <= set(held_out.first_us)
    assert set(before.first_us) <= set(training.first_us)


HOUR_US = 3_600_000_000


def spread(known: Material, hours: int) -> Material:
    """The same tracklets at different times over some hours."""
    first = np.random.default_rng(1).permutation(len(known)) * (hours * HOUR_US // len(known))
    return replace(known, first_us=first, last_us=first + 1)
