from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from reid_pipeline.learning import adapt_site as module  # noqa: E402  # only where torch is
from reid_pipeline.learning.adapt_site import SiteSettings, SiteTask, centre_cameras, mean_by_tracklet  # noqa: E402
from reid_pipeline.learning.errors import TrainingError  # noqa: E402
from reid_pipeline.learning.jaccard import Neighbourhood  # noqa: E402
from reid_pipeline.learning.material import find_covisible  # noqa: E402
from reid_pipeline.learning.memory import Memory  # noqa: E402
from reid_pipeline.learning.part_network import embed  # noqa: E402
from reid_pipeline.learning.pseudo_labels import NOBODY  # noqa: E402
from reid_pipeline.learning.selective import SelectiveSettings  # noqa: E402
from tests.learning.site_material import CPU, site_material, tiny_network, units  # noqa: E402

pytestmark = pytest.mark.learning

SETTINGS = SiteSettings(people=5, crops=4, neighbourhood=Neighbourhood(2, 4), remembered=6)


def begun(seed=0, settings=SETTINGS, memory=False, **site):
    """A task in its first round, and who the tracklets are."""
    material, owner = site_material(**site)
    network = tiny_network()
    held = Memory(network, material.crops[:20], CPU) if memory else None
    task = SiteTask(network, material, settings, seed, held)
    figures = task.begin_round(network.eval(), CPU)
    network.train()
    people = people_of(task, material)
    assert figures == {"people": people.max() + 1, "tracklets": (people != NOBODY).mean()}
    return task, material, owner


def people_of(task, material):
    """Whose each tracklet is."""
    people = np.full(len(material), NOBODY)
    for person, members in enumerate(task._members):
        assert (people[members] == NOBODY).all()
        people[members] = person
    return people


def test_the_feature_of_a_tracklet_is_the_mean_of_its_crops():
    material, _ = site_material()
    material = material.select(np.array([0, 3, 4]))
    features = units(len(material.crops), 6).numpy()
    found = mean_by_tracklet(features, material)
    for tracklet in range(3):
        mean = features[material.tracklets == tracklet].mean(axis=0)
        np.testing.assert_allclose(found[tracklet], mean / np.linalg.norm(mean), atol=1e-6)


def test_the_mean_of_a_camera_is_taken_out():
    features, cameras = units(9, 6).numpy(), np.array([0, 1, 0, 2, 1, 0, 1, 1, 0])
    found = centre_cameras(features, cameras)
    for row, camera in enumerate(cameras[:3]):
        left = features[row] - features[cameras == camera].mean(axis=0)
        np.testing.assert_allclose(found[row], left / np.linalg.norm(left), atol=1e-6)
    np.testing.assert_array_equal(found[3], 0.0)  # alone in its camera: nothing is left


def test_pairs_are_listed_by_row():
    pairs = np.array([[0, 2], [0, 3], [2, 3]])
    assert module._listed(pairs, 5).tolist() == [[2, 3], [-1, -1], [3, 0], [0, 2], [-1, -1]]
    assert module._listed(pairs[:0], 2).shape == (2, 0)


def test_a_round_has_a_proxy_for_each_person_in_each_camera():
    task, material, _ = begun()
    people, proxies = people_of(task, material), task._proxy_of
    bank = task._proxies
    whole = mean_by_tracklet(embed(task.network.eval(), material.crops, CPU)[0], material)
    assert ((people == NOBODY) == (proxies == -1)).all()
    assert (people != NOBODY).any()
    for proxy in range(len(bank.people)):
        members = np.flatnonzero((people == int(bank.people[proxy])) & (material.cameras == int(bank.cameras[proxy])))
        assert proxies[members].tolist() == [proxy] * len(members)
        mean = whole[members].sum(axis=0)
        np.testing.assert_allclose(bank.features[proxy], mean / np.linalg.norm(mean), atol=1e-5)


def test_who_is_certainly_two_is_never_one_person_nor_a_positive():
    task, material, _ = begun(cameras=2, people=8, visits=8)
    apart = find_covisible(material)
    assert len(apart) > 5
    people = people_of(task, material)
    assert not ((people[apart[:, 0]] == people[apart[:, 1]]) & (people[apart[:, 0]] != NOBODY)).any()
    positives = task._banks.positives.tolist()
    listed = task._banks.apart.tolist()
    for one, other in apart.tolist():
        assert other not in positives[one]
        assert one not in positives[other]
        assert other in listed[one]
        assert one in listed[other]


def slow_positives(settings, centred, cameras, apart):
    """The rules in words, one tracklet at a time."""
    alike = centred @ centred.T
    limit = np.quantile([alike[one, other] for one, other in apart], 0.95)
    enemies = {frozenset(pair) for pair in apart.tolist()}

    def nearest(row, own):
        among = [other for other in range(len(cameras)) if (cameras[other] == cameras[row]) == own]
        return sorted(among, key=lambda other: -alike[row, other])[: settings.mutual]

    near = [nearest(row, True) + nearest(row, False) for row in range(len(cameras))]
    found = []
    for row in range(len(cameras)):
        chosen, taken = [], []
        for other in sorted(near[row], key=lambda other: -alike[row, other]):
            fits = other != row and row in near[other] and frozenset((row, other)) not in enemies
            if not fits or alike[row, other] <= limit:
                continue
            of_camera = sum(cameras[each] == cameras[other] for each in taken)
            taken.append(other)
            if cameras[other] == cameras[row] or of_camera < settings.most_of_camera:
                chosen.append(other)
        found.append([row, *chosen[: settings.most_positives]])
    return found


@pytest.mark.parametrize(("mutual", "most", "of_camera"), [(8, 7, 2), (6, 3, 1), (3, 9, 9)])
def test_positives_are_those_of_the_rules(mutual, most, of_camera):
    settings = replace(SETTINGS, mutual=mutual, most_positives=most, most_of_camera=of_camera)
    task, material, _ = begun(settings=settings, people=10, visits=6)
    centred = centre_cameras(
        mean_by_tracklet(embed(task.network.eval(), material.crops, CPU)[0], material), material.cameras
    )
    found = task._possible_positives(centred).tolist()
    expected = slow_positives(settings, centred, material.cameras, find_covisible(material))
    assert [[each for each in row if each >= 0] for row in found] == expected
    assert sum(len(row) > 1 for row in expected) > 5


def test_a_batch_shows_people_in_as_many_cameras_as_there_are():
    task, material, _ = begun(people=10, visits=7)
    people = people_of(task, material)
    for step in range(8):
        batch = task.batch(step)
        groups = batch.tracklets.reshape(-1, 4)
        assert batch.crops.shape == (len(batch.tracklets), *material.crops.shape[1:])
        shown = people[groups]
        assert (shown == shown[:, :1]).all()
        assert len(np.unique(shown[:, 0])) == len(groups) == min(5, people.max() + 1)
        assert batch.proxies.tolist() == task._proxy_of[batch.tracklets].tolist()
        assert (batch.proxies >= 0).all()
        for group in groups:
            members = np.flatnonzero(people == people[group[0]])
            cameras = len(np.unique(material.cameras[members]))
            assert len(np.unique(material.cameras[group])) == min(4, cameras)
            assert len(np.unique(group)) == min(4, len(members))


def test_tracklets_of_one_person_worked_by_hand():
    task, material, _ = begun()
    task._material = replace(material, cameras=np.array([0, 0, 0, 0, 1, *material.cameras[5:]]))
    for seed in range(5):
        rng = np.random.default_rng(seed)
        found = task._spread(np.arange(5), rng)
        assert 4 in found[:2]  # the only one of its camera comes in the first turn
        assert len(set(found.tolist())) == 4
    assert task._spread(np.array([3]), rng).tolist() == [3, 3, 3, 3]


def test_a_batch_is_decided_by_the_seed_and_the_step_alone():
    (one, _, _), (other, _, _), (third, _, _) = (begun(seed, memory=True) for seed in (4, 4, 5))
    for step in range(3):
        other.batch(step)
    first, second = one.batch(7), other.batch(7)
    for name in ("crops", "tracklets", "proxies", "remembered"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert not np.array_equal(first.tracklets, one.batch(8).tracklets)
    assert not np.array_equal(first.crops, third.batch(7).crops)
    assert sorted(set(first.remembered.tolist())) == sorted(first.remembered.tolist())
    assert len(first.remembered) == 6


def test_crops_of_a_batch_are_of_its_tracklets(monkeypatch):
    task, material, _ = begun()
    monkeypatch.setattr(module, "disturb", lambda crop, size, rng: crop)
    batch = task.batch(0)
    for crop, tracklet in zip(batch.crops, batch.tracklets, strict=True):
        assert (material.crops[material.tracklets == tracklet] == crop).all(axis=(1, 2, 3)).any()


def test_losses_are_those_of_the_banks_and_a_step_moves_them():
    task, _, _ = begun(memory=True)
    task.network.eval()  # the same features again
    batch = task.batch(0)
    losses = task.losses(batch, CPU)
    assert set(losses) == {"within", "across", "selective", "memory"}
    whole, local, tracklets, proxies = task._seen
    expected = {**task._proxies.losses(whole, proxies), "selective": task._banks.loss(whole, local, tracklets)}
    for name, value in expected.items():
        torch.testing.assert_close(losses[name].detach(), value)
    before = task._proxies.features.clone(), task._banks.mixture.clone()
    task.after_step()
    moved = (task._proxies.features != before[0]).any(dim=1)
    assert sorted(torch.unique(proxies).tolist()) == moved.nonzero().ravel().tolist()
    moved = (task._banks.mixture != before[1]).any(dim=1)
    assert sorted(torch.unique(tracklets).tolist()) == moved.nonzero().ravel().tolist()
    kept = task._proxies.features.clone()
    task.after_step()  # of no step
    assert torch.equal(task._proxies.features, kept)


def test_without_its_term_the_banks_stay():
    task, _, _ = begun(settings=replace(SETTINGS, selective=SelectiveSettings(weight=0.0)))
    before = task._banks.mixture.clone()
    assert set(task.losses(task.batch(0), CPU)) == {"within", "across"}
    task.after_step()
    assert torch.equal(task._banks.mixture, before)


def test_without_a_round_there_are_no_losses():
    material, _ = site_material()
    task = SiteTask(tiny_network(), material, SETTINGS, 0)
    with pytest.raises(RuntimeError, match="begin_round comes first"):
        task.losses(begun()[0].batch(0), CPU)


def test_where_everybody_is_a_stranger_there_is_nothing_to_learn():
    material, _ = site_material(people=6, visits=1, cameras=1)
    at_once = replace(material, first_us=np.zeros(6, np.int64), last_us=np.ones(6, np.int64))
    network = tiny_network().eval()
    with pytest.raises(TrainingError, match="of 6 tracklets no two look like one person"):
        SiteTask(network, at_once, SETTINGS, 0).begin_round(network, CPU)


def test_people_are_found_by_their_looks():
    task, material, owner = begun(people=10, visits=6)
    people = people_of(task, material)
    known = people != NOBODY
    together = (people[:, None] == people[None]) & known[:, None] & known[None]
    np.fill_diagonal(together, False)
    assert together.sum() > 20
    assert (owner[:, None] == owner[None])[together].mean() > 4 * 5 / 59  # by chance
