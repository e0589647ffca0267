import math
from collections import deque

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402  # only where torch is
from torch.nn import functional  # noqa: E402

from reid_pipeline.learning.encoder_network import EncoderNetwork  # noqa: E402
from reid_pipeline.learning.moco import (  # noqa: E402
    KeyQueue,
    MocoNetwork,
    MocoSettings,
    ShardStatistics,
    info_nce,
)

pytestmark = pytest.mark.learning


def units(count, dim, seed):
    return functional.normalize(torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


def small_network(**changed):
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return MocoNetwork(EncoderNetwork(backbone, 6, 4), MocoSettings(**{"queue": 8, "dim": 5, **changed}))


def slow_info_nce(queries, positives, negatives, spared, temperature):
    losses = []
    for row, query in enumerate(queries):
        own = math.exp(float(query @ positives[row]) / temperature)
        others = [
            math.exp(float(query @ key) / temperature)
            for place, key in enumerate(negatives)
            if spared is None or not spared[row, place]
        ]
        losses.append(-math.log(own / (own + sum(others))))
    return sum(losses) / len(losses)


def test_the_loss_by_hand():
    query, key = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8]])
    negatives = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    # similarities 0.6, 0 and -1 over 0.5: exp(1.2), 1, exp(-2)
    wanted = -math.log(math.exp(1.2) / (math.exp(1.2) + 1 + math.exp(-2)))
    assert float(info_nce(query, key, negatives, None, 0.5)) == pytest.approx(wanted, abs=1e-6)
    spared = torch.tensor([[True, False]])
    wanted = -math.log(math.exp(1.2) / (math.exp(1.2) + math.exp(-2)))
    assert float(info_nce(query, key, negatives, spared, 0.5)) == pytest.approx(wanted, abs=1e-6)


def test_where_all_is_alike_the_loss_is_the_logarithm_of_the_choices():
    one = torch.tensor([[0.0, 1.0]])
    assert float(info_nce(one, one, one.repeat(15, 1), None, 0.1)) == pytest.approx(math.log(16), abs=1e-5)


def test_the_loss_is_that_of_the_slow_version():
    queries, positives, negatives = units(7, 5, 1), units(7, 5, 2), units(11, 5, 3)
    spared = torch.rand(7, 11, generator=torch.Generator().manual_seed(4)) < 0.3
    for mask in (None, spared):
        fast = float(info_nce(queries, positives, negatives, mask, 0.1))
        assert fast == pytest.approx(slow_info_nce(queries, positives, negatives, mask, 0.1), abs=1e-5)


@pytest.mark.parametrize("batch", [1, 3, 7, 10, 23])
def test_the_queue_holds_exactly_the_latest_keys(batch):
    queue = KeyQueue(10, 4)
    begun = queue.keys.clone()
    slow = deque([(key, -1) for key in begun], maxlen=10)
    for turn in range(9):
        keys, tracklets = units(batch, 4, turn), torch.arange(batch) + 100 * turn
        queue.add(keys, tracklets)
        slow.extend(zip(keys, tracklets.tolist(), strict=True))
        found = [(queue.keys[(queue.head + i) % 10], int(queue.tracklets[(queue.head + i) % 10])) for i in range(10)]
        for (key, tracklet), (wanted, number) in zip(found, slow, strict=True):
            assert torch.equal(key, wanted)
            assert tracklet == number


def test_the_queue_begins_at_random_and_is_part_of_the_state():
    network = small_network()
    torch.testing.assert_close(network.queue.keys.norm(dim=1), torch.ones(8))
    assert {"queue.keys", "queue.tracklets", "queue.head"} <= set(network.state_dict())
    network.queue.add(units(3, 5, 0), torch.tensor([4, 5, 6]))
    other = small_network()
    other.load_state_dict(network.state_dict())
    assert int(other.queue.head) == 3
    assert other.queue.tracklets.tolist() == [4, 5, 6, -1, -1, -1, -1, -1]


def test_the_key_network_begins_as_the_query_network_and_follows_it():
    network = small_network()
    weight, followed = network.query.projection[0].weight, network.key.projection[0].weight
    begun = weight.detach().clone()
    assert torch.equal(followed, begun)
    with torch.no_grad():
        weight += 1.0
    for _ in range(3):
        network.follow(0.9)
    torch.testing.assert_close(followed, begun + 1.0 - 0.9**3)
    assert not any(each.requires_grad for each in network.key.parameters())


def test_the_key_network_has_statistics_of_its_own():
    network = small_network().train()
    network.key(torch.full((2, 3, 8, 8), 3.0))
    moved = network.key.trunk.backbone[1].running_mean
    assert not torch.equal(moved, network.query.trunk.backbone[1].running_mean)
    kept = moved.clone()
    network.follow(0.5)
    assert torch.equal(moved, kept)


@pytest.mark.parametrize(("compared", "width"), [("embedding", 4), ("features", 6)])
def test_what_is_compared(compared, width):
    network = small_network(compared=compared)
    assert network.query.projection[0].in_features == width
    vectors = network.query(torch.randn(3, 3, 8, 8))
    assert vectors.shape == (3, 5)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))


def test_statistics_are_the_mean_over_shards():
    torch.manual_seed(0)
    shards = [torch.randn(6, 3) * 2 + 1, torch.randn(6, 3) - 3]
    norm = nn.BatchNorm1d(3).train()
    statistics = ShardStatistics(norm)
    for shard in shards:
        statistics.begin_shard()
        norm(shard)
        statistics.end_shard()
    statistics.settle()
    mean = torch.stack([shard.mean(0) for shard in shards]).mean(0)
    variance = torch.stack([shard.var(0) for shard in shards]).mean(0)
    torch.testing.assert_close(norm.running_mean, 0.1 * mean)
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * variance)


def test_one_shard_moves_the_statistics_as_ever():
    torch.manual_seed(0)
    shard = torch.randn(6, 3)
    norm, usual = nn.BatchNorm1d(3).train(), nn.BatchNorm1d(3).train()
    statistics = ShardStatistics(norm)
    statistics.begin_shard()
    norm(shard)
    statistics.end_shard()
    statistics.settle()
    usual(shard)
    torch.testing.assert_close(norm.running_var, usual.running_var)
