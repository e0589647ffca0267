import math

import numpy as np
import pytest
from scipy import sparse

torch = pytest.importorskip("torch")

from reid_pipeline.learning import cluster_contrast as module  # noqa: E402  # only where torch is
from reid_pipeline.learning.cluster_contrast import (  # noqa: E402
    Centroids,
    ClusterContrastTask,
    ContrastSettings,
    find_dense,
)
from reid_pipeline.learning.errors import TrainingError  # noqa: E402
from reid_pipeline.learning.jaccard import Neighbourhood, jaccard_similarity  # noqa: E402
from reid_pipeline.learning.part_network import embed  # noqa: E402
from reid_pipeline.learning.pseudo_labels import NOBODY  # noqa: E402
from tests.learning.site_material import CPU, site_material, tiny_network, units  # noqa: E402
from tests.learning.test_pseudo_labels import similarities  # noqa: E402

pytestmark = pytest.mark.learning

SETTINGS = ContrastSettings(people=4, crops=3, neighbourhood=Neighbourhood(6, 0, 2, 0), fewest=3)


def begun(seed=0):
    material, _ = site_material(people=8, visits=3)
    network = tiny_network().eval()
    task = ClusterContrastTask(network, material, SETTINGS, seed)
    return task, material, task.begin_round(network, CPU)


def slow_dbscan(similarity, least, fewest):
    """Visits one after the other and grows each group from its first core."""
    dense = similarity.toarray()
    near = [np.flatnonzero(row >= least).tolist() for row in dense]
    labels, number = [NOBODY] * len(dense), 0
    for first in range(len(dense)):
        if labels[first] != NOBODY or len(near[first]) < fewest:
            continue
        queue = [first]
        while queue:
            one = queue.pop(0)
            if labels[one] == NOBODY:
                labels[one] = number
                queue += near[one] if len(near[one]) >= fewest else []
        number += 1
    return labels


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("least", "fewest"), [(0.8, 4), (0.7, 3), (0.9, 2), (0.5, 12)])
def test_dense_groups_are_those_of_one_visit_after_the_other(seed, least, fewest):
    similarity = similarities(40, seed)
    assert find_dense(similarity, least, fewest).tolist() == slow_dbscan(similarity, least, fewest)


def test_dense_groups_worked_by_hand():
    near = [(0, 1), (1, 2), (2, 3), (5, 6)]  # 1 and 2 have three neighbours with themselves, 0 and 3 hang on them
    dense = np.eye(7)
    for one, other in near:
        dense[one, other] = dense[other, one] = 0.5
    assert find_dense(sparse.csr_array(dense), 0.4, 3).tolist() == [0, 0, 0, 0, NOBODY, NOBODY, NOBODY]
    assert find_dense(sparse.csr_array(dense), 0.6, 3).tolist() == [NOBODY] * 7
    assert find_dense(sparse.csr_array(np.eye(0)), 0.6, 3).tolist() == []


def test_the_loss_is_that_of_one_crop_and_centroid_at_a_time():
    bank = Centroids(units(7, 6), 0.2, 0.1)
    embeddings, people = units(5, 6, 1), [0, 3, 3, 6, 1]
    total = 0.0
    for embedding, person in zip(embeddings, people, strict=True):
        score = [math.exp(float(embedding @ centroid) / 0.2) for centroid in bank.features]
        total -= math.log(score[person] / sum(score)) / 5
    assert float(bank.loss(embeddings, torch.tensor(people))) == pytest.approx(total, rel=1e-4)


def test_the_loss_worked_by_hand():
    bank = Centroids(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), 0.5, 0.1)
    loss = bank.loss(torch.tensor([[1.0, 0.0]]), torch.tensor([0]))  # 2 against 0
    assert float(loss) == pytest.approx(math.log(1 + math.exp(-2)))


def test_a_centroid_moves_towards_its_crops_one_after_the_other():
    bank = Centroids(units(4, 6), 0.05, 0.3)
    expected, crops = bank.features.clone(), units(3, 6, 2)
    bank.update(crops, torch.tensor([2, 0, 2]))
    for person, crop in zip((2, 0, 2), crops, strict=True):
        mixed = 0.3 * expected[person] + 0.7 * crop
        expected[person] = mixed / mixed.norm()
    torch.testing.assert_close(bank.features, expected)
    torch.testing.assert_close(bank.features.norm(dim=1), torch.ones(4))


def test_a_round_groups_crops_whatever_their_cameras_and_tracklets():
    task, material, figures = begun()
    features = embed(task.network, material.crops, CPU)[0]
    similarity = jaccard_similarity(features, np.zeros(len(features), int), SETTINGS.neighbourhood)
    people = find_dense(similarity, 0.4, 3)
    assert [each.tolist() for each in task._members] == [
        np.flatnonzero(people == person).tolist() for person in range(people.max() + 1)
    ]
    assert figures == {"people": people.max() + 1, "crops": (people != NOBODY).mean()}
    assert figures["people"] > 2
    for members, centroid in zip(task._members, task._centroids.features, strict=True):
        mean = sum(features[each] for each in members)
        np.testing.assert_allclose(centroid, mean / np.linalg.norm(mean), atol=1e-5)


def test_a_batch_is_decided_by_the_seed_and_the_step_alone(monkeypatch):
    (one, material, _), (other, _, _), (third, _, _) = (begun(seed) for seed in (1, 1, 2))
    other.batch(0)
    np.testing.assert_array_equal(one.batch(3).crops, other.batch(3).crops)
    assert not np.array_equal(one.batch(3).crops, third.batch(3).crops)
    monkeypatch.setattr(module, "disturb", lambda crop, size, rng: crop)
    batch = one.batch(3)
    people = batch.people.reshape(-1, 3)
    assert (people == people[:, :1]).all()
    assert len(np.unique(people)) == len(people) == min(4, len(one._members))
    for crops, person in zip(batch.crops.reshape(-1, 3, *batch.crops.shape[1:]), people[:, 0], strict=True):
        members = material.crops[one._members[person]]
        places = [np.flatnonzero((members == crop).all(axis=(1, 2, 3)))[0] for crop in crops]
        assert len(set(places)) == 3  # of three members and more


def test_a_step_moves_the_centroids_of_its_people():
    task, _, _ = begun()
    losses = task.losses(task.batch(0), CPU)
    embeddings, people = task._seen
    torch.testing.assert_close(losses["centroid"].detach(), task._centroids.loss(embeddings, people))
    before = task._centroids.features.clone()
    task.after_step()
    moved = (task._centroids.features != before).any(dim=1)
    assert moved.nonzero().ravel().tolist() == torch.unique(people).tolist()
    kept = task._centroids.features.clone()
    task.after_step()  # of no step
    assert torch.equal(task._centroids.features, kept)


def test_without_a_round_and_without_groups_nothing_is_learnt():
    material, _ = site_material(people=3, visits=1, crops=1)
    task = ClusterContrastTask(tiny_network().eval(), material, ContrastSettings(), 0)
    with pytest.raises(RuntimeError, match="begin_round comes first"):
        task.losses(begun()[0].batch(0), CPU)
    with pytest.raises(TrainingError, match="of 3 crops no 4 look alike"):
        task.begin_round(task.network, CPU)
