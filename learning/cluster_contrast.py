"""Plain Cluster Contrast: the peer that `bench learning` and our figures stand beside; `adapt` does not offer it.

In rounds: crops one by one are grouped by DBSCAN at a fixed distance, without knowledge of cameras and tracklets; what
is in no group is left out of the round. Crops are then drawn to the centroid of their group and away from all others.

Source: Dai et al., "Cluster Contrast for Unsupervised Person Re-Identification", 2022, with the authors' figures. The
network, the disturbances, the optimiser and its schedule are those of all trainings here, so that what is compared is
the method; a batch has four crops of a person instead of sixteen.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from torch import Tensor, nn
from torch.nn import functional

from reid_pipeline.learning.distil_encoder import disturb
from reid_pipeline.learning.errors import TrainingError
from reid_pipeline.learning.jaccard import Neighbourhood, jaccard_similarity
from reid_pipeline.learning.material import Material, Rows
from reid_pipeline.learning.part_network import PartNetwork, embed
from reid_pipeline.learning.pixels import normalise
from reid_pipeline.learning.pseudo_labels import NOBODY
from reid_pipeline.pipeline.datatypes import Embeddings


@dataclass(frozen=True, slots=True)
class ContrastSettings:
    """The authors' figures.

    Attributes:
        people: Of a batch.
        crops: Of each of them.
        neighbourhood: Of the Jaccard similarity: k1 and k2, the crop itself counted too in the first.
        distance: Of DBSCAN, eps.
        fewest: Crops within `distance` of one, itself among them, that make it the core of a group.
        temperature: Of the softmax.
        momentum: Part of a centroid that stays when a crop of its comes in.
    """

    people: int = 16
    crops: int = 4
    neighbourhood: Neighbourhood = field(default_factory=lambda: Neighbourhood(31, 0, 6, 0))
    distance: float = 0.6
    fewest: int = 4
    temperature: float = 0.05
    momentum: float = 0.1


class Centroids(nn.Module):
    """Centroids of K people.

    Args:
        features: ``(K, D)`` of norm 1.
        temperature: See `ContrastSettings`.
        momentum: See `ContrastSettings`.
    """

    def __init__(self, features: Tensor, temperature: float, momentum: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.momentum = momentum
        self.register_buffer("features", features)

    def loss(self, embeddings: Tensor, people: Tensor) -> Tensor:
        """The loss of crops ``(N, D)`` of norm 1, of people ``(N,)``."""
        return functional.cross_entropy(embeddings @ self.features.T / self.temperature, people)

    @torch.no_grad()
    def update(self, embeddings: Tensor, people: Tensor) -> None:
        """Moves the centroids of ``people (N,)`` towards crops ``(N, D)``, one after the other."""
        for person, embedding in zip(people.tolist(), embeddings, strict=True):
            mixed = self.momentum * self.features[person] + (1.0 - self.momentum) * embedding
            self.features[person] = functional.normalize(mixed, dim=0)


@dataclass(frozen=True, slots=True)
class ContrastBatch:
    """Disturbed crops ``(N, H, W, 3) uint8`` and who they are ``(N,)``."""

    crops: NDArray[np.uint8]
    people: Rows


class ClusterContrastTask:
    """See `trainer.Task`; `begin_round` comes before the first batch and again before each round."""

    def __init__(self, network: PartNetwork, material: Material, settings: ContrastSettings, seed: int) -> None:
        self.network = network
        self._crops = material.crops
        self._settings = settings
        self._seed = seed
        self._members: list[Rows] = []
        self._centroids: Centroids | None = None
        self._seen: tuple[Tensor, Tensor] | None = None

    def begin_round(self, teacher: nn.Module, device: torch.device) -> dict[str, float]:
        """Groups all crops anew, by the global features of the teacher, a `PartNetwork`.

        Returns:
            Number of people, and the part of the crops that are theirs.

        Raises:
            TrainingError: There is no group.
        """
        settings = self._settings
        features, _ = embed(teacher, self._crops, device)
        one_camera = np.zeros(len(features), np.int64)
        similarity = jaccard_similarity(features, one_camera, settings.neighbourhood)
        people = find_dense(similarity, 1.0 - settings.distance, settings.fewest)
        if people.max(initial=NOBODY) == NOBODY:
            raise TrainingError(f"of {len(people)} crops no {settings.fewest} look alike")
        self._members = [np.flatnonzero(people == person) for person in range(int(people.max()) + 1)]
        centroids = torch.from_numpy(_means(features, self._members))
        self._centroids = Centroids(centroids, settings.temperature, settings.momentum).to(device)
        return {"people": len(self._members), "crops": float((people != NOBODY).mean())}

    def batch(self, step: int) -> ContrastBatch:
        """See `trainer.Task`."""
        rng = np.random.default_rng([self._seed, step])
        settings, size = self._settings, (self._crops.shape[1], self._crops.shape[2])
        people = rng.choice(len(self._members), min(settings.people, len(self._members)), replace=False)
        rows = np.concatenate([np.resize(rng.permutation(self._members[each]), settings.crops) for each in people])
        crops = np.stack([disturb(self._crops[row], size, rng) for row in rows])
        return ContrastBatch(crops, people.repeat(settings.crops).astype(np.int64))

    def losses(self, batch: ContrastBatch, device: torch.device) -> dict[str, Tensor]:
        """See `trainer.Task`: ``centroid``."""
        if self._centroids is None:
            raise RuntimeError("begin_round comes first")
        embeddings, _ = self.network(normalise(torch.from_numpy(batch.crops).to(device)))
        people = torch.from_numpy(batch.people).to(device)
        self._seen = (embeddings.detach(), people)
        with torch.autocast(device.type, enabled=False):
            return {"centroid": self._centroids.loss(embeddings, people)}

    def after_step(self) -> None:
        """See `trainer.Task`."""
        if self._seen is not None and self._centroids is not None:
            self._centroids.update(*self._seen)
            self._seen = None


def find_dense(similarity: sparse.csr_array, least: float, fewest: int) -> Rows:
    """DBSCAN on similarities.

    Args:
        similarity: ``(N, N)``, 1 on the diagonal.
        least: How alike neighbours are at least, above 0.
        fewest: Neighbours, itself among them, that make a core.

    Returns:
        ``(N,)``: the group of each, from 0, or `NOBODY`; who is near cores of several groups is in the first.

    Source: Ester et al., "A Density-Based Algorithm for Discovering Clusters", 1996.
    """
    pairs, size = sparse.coo_array(similarity), similarity.shape[0]
    near = pairs.data >= least
    row, column = pairs.row[near], pairs.col[near]
    core = np.bincount(row, minlength=size) >= fewest
    joined = core[row] & core[column]
    links = sparse.csr_array((np.ones(int(joined.sum())), (row[joined], column[joined])), (size, size))
    _, groups = connected_components(links, directed=False)
    labels = np.full(size, size)
    labels[core] = np.unique(groups[core], return_inverse=True)[1]
    edge = core[row] & ~core[column]
    np.minimum.at(labels, column[edge], labels[row[edge]])
    return np.where(labels == size, NOBODY, labels).astype(np.int64)


def _means(features: Embeddings, members: list[Rows]) -> Embeddings:
    """The mean of each group ``(K, D)``, of norm 1."""
    means = np.stack([features[each].mean(axis=0) for each in members])
    return np.asarray(means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9), np.float32)
