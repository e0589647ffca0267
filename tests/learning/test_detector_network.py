import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402  # only where torch is

from reid_pipeline.learning.detector_network import DetectorNetwork, PersonRows, cell_grid, decode  # noqa: E402
from reid_pipeline.learning.export import Provenance, export_detector  # noqa: E402
from reid_pipeline.learning.pixels import input_card, normalise  # noqa: E402
from reid_pipeline.pipeline.detector import GraphDetector, suppress  # noqa: E402
from reid_pipeline.pipeline.runtime_choice import RuntimeOptions  # noqa: E402
from reid_pipeline.storage.model_card import OutputCard  # noqa: E402
from tests.learning.builders import STRIDES, cells  # noqa: E402

pytestmark = pytest.mark.learning

SHORT = {"widths": (4, 8, 8, 8, 8), "depths": (0, 0, 0, 0), "neck": 8}


class Where(nn.Module):
    """A head that says where it looks: column, row and the grid's size in place of what was learnt."""

    def forward(self, feature):
        height, width = feature.shape[2:]
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        size = torch.full((height, width), height * width)
        return torch.stack([columns, rows, size]).float()[None].expand(len(feature), -1, -1, -1)


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (160, 32), (96, 224)])
def test_rows_come_in_the_order_of_the_grid(size):
    network = DetectorNetwork(**SHORT).eval()
    network.heads = nn.ModuleList(Where() for _ in STRIDES)
    rows = network(torch.zeros(2, 3, *size))
    grid = cell_grid(*size)
    assert torch.equal(rows[1, :, :2], grid[:, :2])
    counts = {stride: (size[0] // stride) * (size[1] // stride) for stride in STRIDES}
    assert rows[0, :, 2].tolist() == [counts[int(stride)] for stride in grid[:, 2]]


def test_the_grid_by_a_slow_version():
    np.testing.assert_array_equal(cell_grid(96, 96).numpy(), cells(96))
    assert cell_grid(32, 64)[:3].tolist() == [[0, 0, 8], [1, 0, 8], [2, 0, 8]]


@pytest.mark.parametrize("classes", [1, 5])
def test_the_shape_for_any_size_of_whole_strides(classes):
    network = DetectorNetwork((4, 8, 8, 8, 8), (1, 0, 2, 1), 8, classes).eval()
    for size in ((32, 96), (128, 64)):
        assert network(torch.zeros(3, 3, *size)).shape == (3, len(cell_grid(*size)), 4 + classes)


def test_at_first_nobody_is_seen():
    network = DetectorNetwork(**SHORT, classes=2).eval()
    scores = network(torch.zeros(1, 3, 64, 64))[..., 4:].sigmoid()
    torch.testing.assert_close(scores, torch.full_like(scores, 0.01), atol=0.005, rtol=0)


def test_boxes_by_hand():
    grid = torch.tensor([[2.0, 1.0, 8.0], [0.0, 3.0, 32.0]])
    rows = torch.tensor([[[0.5, 0.25, 0.0, np.log(3.0), 9.0], [-0.5, 0.5, np.log(0.5), 50.0, 9.0]]]).float()
    boxes = decode(rows, grid)[0]
    torch.testing.assert_close(boxes[0], torch.tensor([20.0, 10.0, 8.0, 24.0]))
    torch.testing.assert_close(boxes[1, :3], torch.tensor([-16.0, 112.0, 16.0]))
    assert boxes[1, 3] == pytest.approx(np.exp(6) * 32, rel=1e-5)  # no box is endless


@pytest.fixture(scope="module")
def network():
    """A detector with random weights that sees a lot."""
    torch.manual_seed(1)
    network = DetectorNetwork(**SHORT, classes=3)
    for _ in range(20):  # statistics to normalise by
        network(torch.randn(4, 3, 96, 96))
    network.eval()
    for head in network.heads:
        nn.init.normal_(head.scores[-1].weight, 0, 2.0)
        nn.init.zeros_(head.scores[-1].bias)
        nn.init.normal_(head.boxes[-1].weight, 0, 1.0)
    return network


@pytest.fixture(scope="module")
def model(network, tmp_path_factory):
    card = input_card(96, 96).model_copy(update={"resize": "letterbox_topleft"})
    folder = tmp_path_factory.mktemp("detector") / "model"
    return export_detector(PersonRows(network), card, OutputCard(head="yolox"), folder, "small", Provenance("MIT", ()))


def expected(network, frame, size):
    """What torch finds in a frame that is smaller than its input of ``size``: boxes and scores, best first."""
    padded = cv2.copyMakeBorder(
        frame, 0, size[0] - len(frame), 0, size[1] - frame.shape[1], cv2.BORDER_CONSTANT, value=(114,) * 3
    )
    with torch.inference_mode():
        rows = network(normalise(torch.from_numpy(padded)[None]))
        boxes = decode(rows, cell_grid(*size))[0].numpy()
        scores = rows[0, :, 4].sigmoid().numpy()
    corners = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], axis=1)
    corners, scores = suppress(corners[scores >= 0.4], scores[scores >= 0.4])
    corners = corners.clip(0, [frame.shape[1], frame.shape[0]] * 2)
    whole = (corners[:, 2:] - corners[:, :2] >= 1.0).all(axis=1)
    order = np.argsort(-scores[whole], kind="stable")
    return corners[whole][order], scores[whole][order]


@pytest.mark.parametrize(("frame_size", "size"), [((60, 96), (64, 96)), ((96, 96), (96, 96)), ((96, 30), (96, 32))])
def test_the_exported_graph_finds_what_torch_finds(network, model, frame_size, size):
    frame = np.random.default_rng(0).integers(0, 255, (*frame_size, 3)).astype(np.uint8)
    detector = GraphDetector(model, 0.4, RuntimeOptions(runtime="onnxruntime"))
    found = detector.submit(detector.prepare(frame), frame_size, lambda: None).result()
    boxes, scores = expected(network, frame, size)
    assert len(boxes) > 10
    # Scores that are nearly equal may change places, and one of a pair may suppress the other.
    apart = np.abs(found.boxes[:, None] - boxes[None]).max(axis=2) + 100 * np.abs(found.scores[:, None] - scores[None])
    assert (apart.min(axis=0) < 0.5).mean() > 0.97
    assert (apart.min(axis=1) < 0.5).mean() > 0.97


def test_the_graph_is_read_by_the_usual_runtime_too(model):
    frame = np.random.default_rng(0).integers(0, 255, (60, 96, 3)).astype(np.uint8)
    detector = GraphDetector(model, 0.4)
    assert len(detector.submit(detector.prepare(frame), (60, 96), lambda: None).result()) > 10
