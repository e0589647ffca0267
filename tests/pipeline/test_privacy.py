from __future__ import annotations

import numpy as np
import pytest

from reid_pipeline.pipeline.privacy import PrivacyMask


def test_a_rectangle_is_blanked_and_nothing_else():
    image = np.full((10, 20, 3), 7, np.uint8)
    PrivacyMask([np.array([[0.5, 0.0], [1.0, 0.0], [1.0, 0.4], [0.5, 0.4]])]).blank(image)
    expected = np.full((10, 20, 3), 7, np.uint8)
    expected[0:5, 10:20] = 0  # edges included: rows 0-4, columns 10-19
    np.testing.assert_array_equal(image, expected)


def test_the_same_mask_fits_any_size():
    mask = PrivacyMask([np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])])
    for shape in ((4, 6, 3), (11, 3, 3)):
        image = np.full(shape, 255, np.uint8)
        mask.blank(image)
        assert not image.any()


@pytest.mark.parametrize("polygon", [np.zeros((2, 2)), np.zeros((3, 3)), np.array([[0, 0], [1, 0], [1.1, 1]])])
def test_no_polygon_is_refused(polygon):
    with pytest.raises(ValueError, match="privacy polygon"):
        PrivacyMask([polygon])
