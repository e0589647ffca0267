import numpy as np
import pytest

torch = pytest.importorskip("torch")

from reid_pipeline.learning.detector_network import DetectorNetwork, cell_grid, decode  # noqa: E402  # only where torch is
from reid_pipeline.learning.distil_detector import (  # noqa: E402
    DenseTeacher,
    DetectorDistillation,
    add_missed,
    dense_losses,
    generalised_iou,
    set_right,
)
from reid_pipeline.learning.pictures import Labels, MosaicMaker, read_labelled  # noqa: E402
from reid_pipeline.learning.pixels import normalise  # noqa: E402
from reid_pipeline.pipeline.detector import GraphDetector, suppress  # noqa: E402
from reid_pipeline.storage.errors import ModelError  # noqa: E402
from reid_pipeline.storage.model_card import load_model  # noqa: E402
from tests.learning.builders import cells, fixed_rows, fixed_teacher, write_labelled  # noqa: E402
from tests.pipeline.builders import real_data  # noqa: E402

pytestmark = pytest.mark.learning

SIZE = 64


@pytest.mark.parametrize(
    ("first", "second", "value"),
    [
        ((5, 5, 4, 2), (5, 5, 4, 2), 1.0),
        ((0.5, 0.5, 1, 1), (2.5, 0.5, 1, 1), -1 / 3),  # apart by their own width
        ((1, 0.5, 2, 1), (2, 0.5, 2, 1), 1 / 3),  # half of each
        ((2, 2, 4, 4), (2, 2, 2, 2), 0.25),  # one within the other
        ((0.5, 0.5, 1, 1), (1.5, 1.5, 1, 1), -0.5),  # corner to corner
    ],
)
def test_generalised_overlap_by_hand(first, second, value):
    boxes = torch.tensor([first, second], dtype=torch.float32)
    assert generalised_iou(boxes[:1], boxes[1:]).item() == pytest.approx(value)
    assert generalised_iou(boxes[1:], boxes[:1]).item() == pytest.approx(value)


@pytest.fixture
def rows():
    """Raw rows of two pictures, and the target that they would meet."""
    grid = cell_grid(SIZE, SIZE)
    raw = torch.randn(2, len(grid), 4 + 3, generator=torch.Generator().manual_seed(0))
    return raw, torch.cat([decode(raw, grid), raw[..., 4:].sigmoid()], dim=-1)


def test_the_losses_are_0_at_the_target(rows):
    raw, target = rows
    losses = dense_losses(raw, target, cell_grid(SIZE, SIZE))
    assert list(losses) == ["score", "classes", "box"]
    for loss in losses.values():
        assert loss.item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(("column", "name"), [(0, "box"), (3, "box"), (4, "score"), (6, "classes")])
@pytest.mark.parametrize("change", [-0.5, 0.5])
def test_whatever_departs_from_the_target_costs(rows, column, name, change):
    raw, target = rows
    raw[..., column] += change
    losses = dense_losses(raw, target, cell_grid(SIZE, SIZE))
    assert {part for part, loss in losses.items() if loss.item() > 1e-3} == {name}


def test_boxes_of_cells_without_a_person_are_not_learnt(rows):
    raw, target = rows
    target[..., 4] = 0.04
    raw[..., :4] += 1.0
    assert dense_losses(raw, target, cell_grid(SIZE, SIZE))["box"].item() == 0


def test_the_losses_by_a_slow_version(rows):
    raw, target = rows
    wrong = raw + 0.3
    grid = cell_grid(SIZE, SIZE)
    boxes, mass, score, classes, box = decode(wrong, grid), 0.0, 0.0, 0.0, 0.0
    for picture in range(2):
        for cell in range(len(grid)):
            for column in range(4, 7):
                wanted, said = (
                    target[picture, cell, column].item(),
                    1 / (1 + np.exp(-wrong[picture, cell, column].item())),
                )
                error = -(wanted * np.log(said) + (1 - wanted) * np.log(1 - said)) * (said - wanted) ** 2
                score, classes = (score + error, classes) if column == 4 else (score, classes + error)
            person = target[picture, cell, 4].item()
            if person > 0.05:
                mass += person
                box += person * (1 - generalised_iou(boxes[picture, cell], target[picture, cell, :4]).item())
    losses = dense_losses(wrong, target, grid)
    assert losses["score"].item() == pytest.approx(score / mass, rel=1e-3)
    assert losses["classes"].item() == pytest.approx(0.3 * classes / target[..., 5:].sum().item(), rel=1e-3)
    assert losses["box"].item() == pytest.approx(2 * box / mass, rel=1e-3)


def found_at(index, box, score):
    """A teacher's answer without anybody, but for one cell."""
    target = np.zeros((len(cells(SIZE)), 6), np.float32)
    target[:, 5] = 0.5
    target[index, :5] = *box, score
    return target


@pytest.mark.parametrize(
    ("score", "labelled", "missed"),
    [
        (0.9, (20, 10, 40, 50), False),
        (0.9, (20, 10, 40, 38), False),  # overlap .7
        (0.9, (20, 10, 40, 26), True),  # overlap .4
        (0.2, (20, 10, 40, 50), True),  # hardly seen
    ],
)
def test_only_missed_people_are_written_into_the_target(score, labelled, missed):
    target = found_at(3, (30, 30, 20, 40), score)
    before = target.copy()
    add_missed(target, np.array([labelled], np.float32), cells(SIZE))
    assert (target != before).any() == missed


def test_a_missed_person_is_written_into_the_cells_around_its_centre():
    target = found_at(0, (5, 5, 2, 2), 0.9)
    before = target.copy()
    before[35, 4] = target[35, 4] = 0.8  # a cell that is surer than a label
    add_missed(target, np.array([[18, 9, 38, 57]], np.float32), cells(SIZE))  # 48 high: stride 8; centre 28, 33
    changed = np.flatnonzero((target != before).any(axis=1))
    near = [
        index
        for index, (column, row, stride) in enumerate(cells(SIZE))
        if stride == 8 and abs(column * 8 + 4 - 28) <= 6 and abs(row * 8 + 4 - 33) <= 6
    ]
    assert near == [27, 35]
    assert changed.tolist() == near
    np.testing.assert_allclose(target[near, :4], [[28, 33, 20, 48]] * 2)
    np.testing.assert_allclose(target[near, 4], [0.7, 0.8])
    np.testing.assert_array_equal(target[:, 5], before[:, 5])


@pytest.mark.parametrize(("height", "stride"), [(20, 8), (60, 8), (80, 16), (200, 32), (400, 32)])
def test_large_people_are_written_into_coarse_grids(height, stride):
    target = np.zeros((len(cells(SIZE)), 5), np.float32)
    add_missed(target, np.array([[24, 32 - height / 2, 40, 32 + height / 2]], np.float32), cells(SIZE))
    assert set(cells(SIZE)[target[:, 4] > 0, 2]) == {stride}


def test_a_picture_without_people_stays_as_it_is():
    target = found_at(3, (30, 30, 20, 40), 0.9)
    before = target.copy()
    add_missed(target, np.empty((0, 4), np.float32), cells(SIZE))
    np.testing.assert_array_equal(target, before)


ALL = (0, 0, SIZE, SIZE)


def test_exact_labels_set_the_teacher_right():
    person, chair = (20, 10, 40, 50), (44, 4, 60, 30)
    target = found_at(3, (31, 33, 20, 38), 0.5)  # on the person, overlap .7
    target[4, :5] = (27, 30, 20, 40, 0.35)
    target[9, :5] = (52, 17, 16, 26, 0.8)  # on the chair
    target[12, :5] = (52, 17, 16, 26, 0.04)  # arbitrary
    classes = target[:, 5:].copy()
    set_right(target, Labels(ALL, np.array([person], np.float32), exact=True))
    np.testing.assert_allclose(target[[3, 4], :4], [[30, 30, 20, 40]] * 2)
    np.testing.assert_allclose(target[[3, 4], 4], [0.7, 0.49])  # the surest as sure as a label, the other in proportion
    np.testing.assert_allclose(target[[9, 12], :5], [[52, 17, 16, 26, 0], [52, 17, 16, 26, 0.04]])
    np.testing.assert_array_equal(target[:, 5:], classes)
    before = target.copy()
    set_right(target, Labels(ALL, np.array([person, chair], np.float32), exact=True))  # what is right stays
    np.testing.assert_allclose(target, before)


def test_each_box_becomes_that_of_whom_it_covers_most():
    left, right = (10, 10, 30, 50), (18, 10, 38, 50)
    target = found_at(3, (21, 30, 20, 40), 0.9)
    target[4, :5] = (26, 30, 20, 40, 0.9)
    set_right(target, Labels(ALL, np.array([left, right], np.float32), exact=True))
    np.testing.assert_allclose(target[[3, 4], :4], [[20, 30, 20, 40], [28, 30, 20, 40]])


def test_exact_labels_say_nothing_of_the_rest_of_the_picture():
    target = found_at(3, (30, 30, 20, 40), 0.9)
    before = target.copy()
    set_right(target, Labels((31, 0, SIZE, SIZE), np.empty((0, 4), np.float32), exact=True))
    np.testing.assert_array_equal(target, before)
    set_right(target, Labels((30, 0, SIZE, SIZE), np.empty((0, 4), np.float32), exact=True))
    assert target[3, 4] == 0.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distil")
    fixed_teacher(folder / "teacher", SIZE)
    write_labelled(folder / "people")
    return folder


def test_the_teacher_answers_for_each_cell_the_person_first(folder):
    images = np.random.default_rng(0).integers(0, 255, (9, SIZE, SIZE, 3)).astype(np.uint8)  # more than fit at once
    answers = DenseTeacher(load_model(folder / "teacher"), SIZE).teach(list(images))
    assert len(answers) == 9
    for answer in answers:
        np.testing.assert_allclose(answer, fixed_rows(SIZE, 3)[:, [0, 1, 2, 3, 5, 4, 6]], rtol=0.01, atol=1e-3)


def test_what_is_no_teacher_is_named(scene):
    with pytest.raises(ModelError, match=r"graph\.onnx: not a teacher: expected an Ultralytics graph that takes 64x64"):
        DenseTeacher(load_model(scene.detector), SIZE)


def make_task(folder, **changes):
    torch.manual_seed(0)
    people = read_labelled(folder / "people" / "images", folder / "people" / "labels", 96)
    settings = {"size": SIZE, "batch_size": 3, "seed": 5} | changes
    network = DetectorNetwork((4, 8, 8, 8, 8), (0, 0, 0, 0), 8, 3)
    teacher = DenseTeacher(load_model(folder / "teacher"), SIZE)
    return DetectorDistillation(network, MosaicMaker([people], [1.0], SIZE), teacher, **settings)


def test_batches_follow_from_seed_and_step_alone(folder):
    task = make_task(folder)
    late, early = task.batch(4), task.batch(1)
    again = make_task(folder).batch(4)
    assert late.images.shape == (3, SIZE, SIZE, 3)
    assert late.targets.shape == (3, len(cells(SIZE)), 7)
    assert late.targets.dtype == np.float32
    np.testing.assert_array_equal(late.images, again.images)
    np.testing.assert_array_equal(late.targets, again.targets)
    assert not np.array_equal(late.images, early.images)
    assert not np.array_equal(late.images, make_task(folder, seed=6).batch(4).images)


def test_labelled_people_come_into_the_batch(folder):
    task = make_task(folder, batch_size=8)
    taught = task.batch(0).targets
    said = task._teacher.teach(list(task.batch(0).images))
    assert (taught != np.stack(said)).any()


def test_the_losses_of_the_task_are_those_of_its_network(folder):
    task = make_task(folder)
    batch = task.batch(0)
    task.network.eval()
    losses = task.losses(batch, torch.device("cpu"))
    rows = task.network(normalise(torch.from_numpy(batch.images)))
    expected = dense_losses(rows, torch.from_numpy(batch.targets), cell_grid(SIZE, SIZE))
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(
        {name: loss.item() for name, loss in expected.items()}
    )


def test_pixels_are_normalised_as_the_card_says():
    from reid_pipeline.learning.pixels import input_card

    image = np.random.default_rng(0).integers(0, 255, (1, 4, 6, 3)).astype(np.uint8)
    card = input_card(4, 6)
    wanted = (image[0].astype(np.float32) * card.pixel_scale - card.mean) / card.std
    assert card.colour == "BGR"
    np.testing.assert_allclose(normalise(torch.from_numpy(image))[0].permute(1, 2, 0), wanted, atol=1e-5)


@pytest.mark.data
def test_the_teachers_rows_are_what_the_detector_gives():
    import cv2

    model = load_model(real_data("weights", "yolo11n_int8_openvino_model"))
    file = sorted(real_data("detect", "cctv_ai_indonesia", "images", "eval").glob("*.jpg"))[3]
    image = cv2.resize(cv2.imread(str(file)), (640, 640))
    [rows] = DenseTeacher(model, 640).teach([image])
    rows = rows[(rows[:, 4] >= 0.25) & (rows[:, 4:].argmax(axis=1) == 0)]
    corners = np.concatenate([rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2], axis=1)
    boxes, scores = suppress(corners, rows[:, 4])
    detector = GraphDetector(model, 0.25)
    found = detector.submit(detector.prepare(image), (640, 640), lambda: None).result()
    assert len(found) > 0
    order = np.argsort(-scores, kind="stable")
    np.testing.assert_allclose(found.scores, scores[order], atol=1e-3)
    np.testing.assert_allclose(found.boxes, boxes[order].clip(0, 640), atol=0.1)
