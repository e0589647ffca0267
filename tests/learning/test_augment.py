import cv2
import numpy as np
import pytest
from scipy import ndimage

torch = pytest.importorskip("torch")

from reid_pipeline.learning.augment import Draws, ViewSettings, draw_views, make_views  # noqa: E402  # only where torch is
from reid_pipeline.learning.pixels import input_card  # noqa: E402
from tests.learning.sites import make_material  # noqa: E402

pytestmark = pytest.mark.learning

SIZE = (32, 16)
CARD = input_card(*SIZE)
WHOLE = {"mirror": [False], "grey": [False], "sigma": [0.0], "erased": [[0, 0, 0, 0]], "windows": [[0, 0, 16, 32]]}


def draws(**changed):
    return Draws(**{name: np.array(value) for name, value in {**WHOLE, **changed}.items()})


def see(crop, drawn, card=CARD):
    return make_views(torch.from_numpy(crop[None]), drawn, card)[0].permute(1, 2, 0).numpy()


def see_slowly(crop, drawn, row):
    """One view, step by step as LUPerson's chain goes."""
    left, top, wide, high = drawn.windows[row]
    part = crop[top : top + high, left : left + wide].astype(np.float32)
    view = cv2.resize(part, (crop.shape[1], crop.shape[0]), interpolation=cv2.INTER_LINEAR)
    if drawn.grey[row]:
        view = np.repeat(cv2.cvtColor(view, cv2.COLOR_BGR2GRAY)[..., None], 3, 2)
    if drawn.sigma[row]:
        sigma = drawn.sigma[row]
        view = np.stack([ndimage.gaussian_filter(view[..., c], sigma, mode="nearest", radius=6) for c in range(3)], 2)
    if drawn.mirror[row]:
        view = view[:, ::-1]
    view = (view - 114.0) / 58.0
    left, top, wide, high = drawn.erased[row]
    view[top : top + high, left : left + wide] = 0.0
    return view


def test_views_are_those_of_the_slow_chain():
    crops = make_material((9, 9)).crops
    drawn = draw_views(np.random.default_rng(3), len(crops), SIZE, ViewSettings())
    assert drawn.grey.any() and drawn.mirror.any() and drawn.sigma.any() and drawn.erased.any()
    fast = make_views(torch.from_numpy(crops), drawn, CARD).permute(0, 2, 3, 1).numpy()
    for row, crop in enumerate(crops):
        np.testing.assert_allclose(fast[row], see_slowly(crop, drawn, row), atol=2e-3)


def test_without_anything_drawn_a_view_is_the_crop_normalised():
    crop = make_material().crops[0]
    np.testing.assert_allclose(see(crop, draws()), (crop - 114.0) / 58.0, atol=1e-5)


def test_a_rectangle_is_filled_with_the_mean_colour():
    crop = np.full((*SIZE, 3), 200, np.uint8)
    view = see(crop, draws(erased=[[2, 5, 3, 4]]))
    assert np.argwhere(view[..., 0] == 0).tolist() == [[y, x] for y in range(5, 9) for x in range(2, 5)]


def test_channels_are_ordered_as_the_card_says():
    crop = np.zeros((*SIZE, 3), np.uint8)
    crop[..., 0] = 100  # blue
    card = CARD.model_copy(update={"colour": "RGB", "mean": (0.0, 0.0, 40.0), "std": (1.0, 1.0, 2.0)})
    np.testing.assert_allclose(see(crop, draws(), card)[3, 3], [0.0, 0.0, 30.0], atol=1e-4)


def test_views_are_laid_out_as_gpus_like_them():
    views = make_views(torch.zeros(2, *SIZE, 3, dtype=torch.uint8), draws(**{k: v * 2 for k, v in WHOLE.items()}), CARD)
    assert views.is_contiguous(memory_format=torch.channels_last)


def test_windows_lie_within_and_are_as_asked():
    drawn = draw_views(np.random.default_rng(0), 4000, (128, 64), ViewSettings())
    left, top, wide, high = drawn.windows.T
    assert (left >= 0).all() and (top >= 0).all()
    assert (left + wide <= 64).all() and (top + high <= 128).all()
    area = wide * high / (128 * 64)
    assert 0.19 < area.min() < 0.21
    assert (wide / high).min() > 0.72 and (wide / high).max() < 1.38
    assert left.max() > 20 and top.max() > 80
    assert area.max() == pytest.approx(64 * 85 / (128 * 64), abs=0.01)  # no wider part has a ratio of 3:4


def test_where_no_try_fits_the_middle_is_taken():
    drawn = draw_views(np.random.default_rng(0), 5, (128, 64), ViewSettings(area=(1.0, 1.0)))
    assert drawn.windows.tolist() == [[0, 21, 64, 85]] * 5


def test_shares_are_as_set():
    drawn = draw_views(np.random.default_rng(0), 8000, (128, 64), ViewSettings())
    hidden = drawn.erased[:, 2] * drawn.erased[:, 3] / (128 * 64)
    shares = [drawn.mirror.mean(), drawn.grey.mean(), (drawn.sigma > 0).mean(), (hidden > 0).mean()]
    np.testing.assert_allclose(shares, [0.5, 0.2, 0.5, 0.5], atol=0.02)
    assert hidden.max() == pytest.approx(0.6, abs=0.01)
    assert drawn.sigma[drawn.sigma > 0].min() >= 0.1 and drawn.sigma.max() <= 2.0
    left, top, wide, high = drawn.erased.T
    assert (left + wide <= 64).all() and (top + high <= 128).all()


def test_hiding_can_be_switched_off():
    assert not draw_views(np.random.default_rng(0), 500, SIZE, ViewSettings(erase=0.0)).erased.any()


def test_the_same_seed_draws_the_same():
    first, second, other = (
        draw_views(np.random.default_rng([1, seed]), 20, SIZE, ViewSettings()) for seed in (4, 4, 5)
    )
    assert np.array_equal(first.windows, second.windows) and np.array_equal(first.erased, second.erased)
    assert not np.array_equal(first.windows, other.windows)


def test_some_rows_of_the_draws():
    drawn = draw_views(np.random.default_rng(0), 9, SIZE, ViewSettings())
    some = drawn.select(np.array([7, 2]))
    assert np.array_equal(some.windows, drawn.windows[[7, 2]]) and np.array_equal(some.sigma, drawn.sigma[[7, 2]])
