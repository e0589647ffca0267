import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from reid_pipeline.pipeline.embedding_cache import embed_images
from reid_pipeline.pipeline.runtime import cache_folder
from tests.pipeline.builders import MeanColourEncoder


class CountingEncoder(MeanColourEncoder):
    def __init__(self, model_hash: str = "mean colour") -> None:
        self.model_hash = model_hash
        self.crops = 0

    def encode(self, crops):
        self.crops += len(crops)
        return super().encode(crops)


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Three pictures of one colour each, with an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    paths = [tmp_path / f"{name}.png" for name in "abc"]
    for channel, path in enumerate(paths):
        cv2.imwrite(str(path), 200 * np.eye(3, dtype=np.uint8)[channel] * np.ones((4, 2, 1), np.uint8))
    return paths


def test_pictures_are_encoded_once(pictures):
    encoder, told = CountingEncoder(), []
    first = embed_images(pictures, encoder, lambda done, total: told.append((done, total)))
    assert first.tolist() == np.eye(3).tolist()
    assert told == [(3, 3)]
    again = embed_images(pictures, encoder)
    assert again.dtype == np.float32
    assert again.tolist() == first.tolist()
    assert encoder.crops == 3


def test_another_encoder_has_embeddings_of_its_own(pictures):
    embed_images(pictures, CountingEncoder())
    other = CountingEncoder("another")
    embed_images(pictures, other)
    assert other.crops == 3


@pytest.mark.parametrize("change", ["time", "content", "order"])
def test_what_has_changed_is_encoded_anew(pictures, change):
    encoder = CountingEncoder()
    embed_images(pictures, encoder)
    if change == "time":
        os.utime(pictures[0], (1, 1))
    elif change == "content":
        cv2.imwrite(str(pictures[0]), np.full((40, 20, 3), 90, np.uint8))
    else:
        pictures.reverse()
    embed_images(pictures, encoder)
    assert encoder.crops == 6


@pytest.mark.parametrize("content", [b"", b"not an array", b"\x93NUMPY\x01\x00"])
def test_a_damaged_cache_is_made_anew(pictures, content):
    encoder = CountingEncoder()
    embed_images(pictures, encoder)
    [file] = (cache_folder() / "embeddings").iterdir()
    file.write_bytes(content)
    assert embed_images(pictures, encoder).tolist() == np.eye(3).tolist()
    assert encoder.crops == 6
