import numpy as np
import pytest

from reid_pipeline.pipeline.parity import (
    CROP_SIZE,
    FRAME_SIZE,
    DetectorTrial,
    EncoderTrial,
    box_agreement,
    cosines,
    order_agreement,
    shipped_crops,
    shipped_frames,
)

RNG = np.random.default_rng(0)
EMBEDDINGS = RNG.normal(size=(20, 16)).astype(np.float32)
BOXES = np.array([[10, 10, 50, 110], [200, 40, 240, 140], [300, 10, 330, 100]], np.float32)
SCORES = np.array([0.9, 0.6, 0.3], np.float32)


def outputs(rows):
    return [row[None] for row in rows]


def slow_order(one, other, tie):
    """Pair by pair, as the definition reads."""
    same = total = 0
    first, second = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (one, other))
    for query in range(len(one)):
        for left in range(len(one)):
            for right in range(len(one)):
                gap = first[query] @ first[left] - first[query] @ first[right]
                if gap > tie:
                    total += 1
                    same += second[query] @ second[left] > second[query] @ second[right]
    return same / total


def test_order_agreement_against_the_slow_loop():
    noisy = EMBEDDINGS + RNG.normal(scale=0.3, size=EMBEDDINGS.shape).astype(np.float32)
    found = order_agreement(EMBEDDINGS, noisy)
    assert 0.5 < found < 1
    unit = EMBEDDINGS / np.linalg.norm(EMBEDDINGS, axis=1, keepdims=True)
    spread = (unit @ unit.T)[~np.eye(20, dtype=bool)].std()
    assert found == pytest.approx(slow_order(EMBEDDINGS, noisy, 0.1 * spread), abs=1e-3)
    assert order_agreement(EMBEDDINGS, EMBEDDINGS) == 1


def test_a_graph_that_finds_everybody_alike_has_no_order():
    assert order_agreement(np.ones((5, 3), np.float32), np.ones((5, 3), np.float32)) == 1


def test_cosines_by_hand():
    one = np.array([[1, 0], [1, 0], [0, 0], [0, 0]], np.float32)
    other = np.array([[2, 0], [1, 1], [0, 0], [1, 0]], np.float32)
    np.testing.assert_allclose(cosines(one, other), [1, 2**-0.5, 1, 0], rtol=1e-6)


@pytest.mark.parametrize(
    ("found", "precision", "agrees"),
    [
        (EMBEDDINGS, "f32", True),
        (EMBEDDINGS * 3, "f32", True),  # only directions count
        (EMBEDDINGS + 0.05 * np.roll(EMBEDDINGS, 1), "bf16", True),
        (EMBEDDINGS + 0.05 * np.roll(EMBEDDINGS, 1), "f32", False),
        (EMBEDDINGS[:, ::-1], "bf16", False),
        (np.where(np.arange(20)[:, None] == 7, -EMBEDDINGS, EMBEDDINGS), "bf16", False),  # one crop is enough
        (np.full_like(EMBEDDINGS, np.nan), "bf16", False),
        (EMBEDDINGS[:, :8], "bf16", False),
    ],
)
def test_encoders(found, precision, agrees):
    verdict = EncoderTrial(()).judge(outputs(EMBEDDINGS), outputs(found), precision)
    assert verdict.agrees is agrees
    assert str(verdict).startswith("agrees" if agrees else "disagrees")


def test_a_cosine_that_is_high_does_not_excuse_another_order():
    """Crops that differ little from their mean: all cosines are high, and the order is nothing but the difference."""
    crowded = EMBEDDINGS * 0.05 + 1
    verdict = EncoderTrial(()).judge(outputs(crowded), outputs(EMBEDDINGS[::-1] * 0.05 + 1), "bf16")
    assert verdict.figures["lowest cosine"] > 0.99
    assert verdict.agrees is False


def detector(boxes=BOXES, scores=SCORES):
    """What a detector finds, as one array."""
    return np.concatenate([boxes, scores[:, None]], axis=1)[None].astype(np.float32)


def read(raw):
    return raw[0, :, :4], raw[0, :, 4]


@pytest.mark.parametrize(
    ("found", "precision", "agrees"),
    [
        (detector(), "f32", True),
        (detector(BOXES + 1), "f32", False),
        (detector(BOXES + 1), "bf16", True),
        (detector(scores=SCORES - 0.05), "bf16", True),
        (detector(scores=SCORES - 0.05), "f32", False),
        (detector(scores=SCORES - 0.25), "bf16", False),
        (detector(BOXES + 30), "bf16", False),
        (detector(BOXES * 0 + np.nan), "bf16", False),
        (detector(np.tile(BOXES, (2, 1)), np.tile(SCORES, 2)), "bf16", False),  # another shape
    ],
)
def test_detectors(found, precision, agrees):
    trial = DetectorTrial((), read)
    assert trial.judge([detector()] * 2, [found] * 2, precision).agrees is agrees


def test_what_only_the_candidate_finds_counts_too():
    nobody = (np.empty((0, 4), np.float32), np.empty(0, np.float32))
    assert box_agreement(nobody, (BOXES, SCORES), "bf16") == [False] * 3
    assert box_agreement((BOXES, SCORES), nobody, "bf16") == [False] * 3
    assert box_agreement(nobody, nobody, "bf16") == []


def test_the_shipped_pictures():
    crops, frames = shipped_crops(), shipped_frames()
    assert len(crops) >= 48
    assert len(frames) >= 4
    assert {crop.shape for crop in crops} == {(*CROP_SIZE, 3)}
    assert {frame.shape for frame in frames} == {(*FRAME_SIZE, 3)}
    assert all(picture.std() > 10 for picture in [*crops, *frames])
    assert len({crop.tobytes() for crop in crops}) == len(crops)
