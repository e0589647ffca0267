import numpy as np
import pytest

pytest.importorskip("torch")

from reid_pipeline.learning.calibration import measure_different
from reid_pipeline.learning.distil_encoder import shorten

pytestmark = pytest.mark.learning


class ByFirstPixel:
    """An encoder whose embedding is two numbers of the first pixel."""

    def encode(self, crops):
        angles = np.array([crop[0, 0, 0] for crop in crops], float)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def pool(angles):
    crops = np.zeros((len(angles), 2, 2, 3), np.uint8)
    crops[:, 0, 0, 0] = angles
    return crops


def test_pairs_are_of_one_source_and_never_of_a_crop_with_itself():
    mean, deviation = measure_different(ByFirstPixel(), [pool([0, 1]), pool([0, 2])], seed=0)
    similarities = [np.cos(1), np.cos(2)]
    assert mean == pytest.approx(np.mean(similarities), abs=1e-4)
    assert deviation == pytest.approx(np.std(similarities), abs=1e-4)


def test_shortened_embeddings_keep_their_similarities_where_there_is_room():
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(50, 3)) @ rng.normal(size=(3, 9))  # nine numbers, three dimensions
    targets = (flat / np.linalg.norm(flat, axis=1, keepdims=True)).astype(np.float32)
    shorter = shorten(targets, 3)
    assert shorter.shape == (50, 3)
    np.testing.assert_allclose(shorter @ shorter.T, targets @ targets.T, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(shorten(targets, 2), axis=1), 1.0, atol=1e-6)
