"""Method `site`: an encoder learns the looks of its own site from tracklets that nobody labelled.

In rounds: all tracklets are embedded by the averaged network and grouped to people (`jaccard`, `pseudo_labels`), then
crops are drawn to their people's proxies in each camera (`camera_proxies`) and to selected tracklets (`selective`).
Tracklets are the atoms: what the tracker joined is one person, what one camera saw at one time is two. So that the
encoder keeps what it knew, it also learns on crops from elsewhere to answer as the one it came from (`remember`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from reid_pipeline.learning.camera_proxies import CameraProxies, ProxySettings
from reid_pipeline.learning.distil_encoder import disturb
from reid_pipeline.learning.errors import ThinMaterial
from reid_pipeline.learning.jaccard import Neighbourhood, find_nearest, jaccard_similarity
from reid_pipeline.learning.material import Material, Rows, find_covisible
from reid_pipeline.learning.memory import Memory
from reid_pipeline.learning.part_network import PartNetwork, embed
from reid_pipeline.learning.pixels import normalise
from reid_pipeline.learning.pseudo_labels import NOBODY, ClusterSettings, guess_people
from reid_pipeline.learning.selective import SelectiveBanks, SelectiveSettings
from reid_pipeline.pipeline.datatypes import Embeddings


@dataclass(frozen=True, slots=True)
class SiteSettings:
    """How a round goes.

    Attributes:
        people: Of a batch.
        crops: Of each of them.
        neighbourhood: Of the Jaccard similarity.
        clusters: How near is one person.
        proxies: See `camera_proxies`.
        selective: See `selective`.
        mutual: Neighbours of each other among so many may be positives of the selective term.
        most_positives: Of these at most, the own tracklet aside.
        most_of_camera: And at most so many of one other camera.
        remembered: Crops from elsewhere in each batch.
        remember: Weight of finding them as alike as before.
    """

    people: int = 24
    crops: int = 4
    neighbourhood: Neighbourhood = field(default_factory=lambda: Neighbourhood(own=3, others=12))
    clusters: ClusterSettings = field(default_factory=ClusterSettings)
    proxies: ProxySettings = field(default_factory=ProxySettings)
    selective: SelectiveSettings = field(default_factory=SelectiveSettings)
    mutual: int = 8
    most_positives: int = 7
    most_of_camera: int = 2
    remembered: int = 32
    remember: float = 20.0


@dataclass(frozen=True, slots=True)
class SiteBatch:
    """Disturbed crops ``(N, H, W, 3) uint8``, of each its tracklet ``(N,)`` and proxy ``(N,)``; what to remember."""

    crops: NDArray[np.uint8]
    tracklets: Rows
    proxies: Rows
    remembered: Rows


class SiteTask:
    """See `trainer.Task`; `begin_round` comes before the first batch and again before each round."""

    def __init__(
        self,
        network: PartNetwork,
        material: Material,
        settings: SiteSettings,
        seed: int,
        memory: Memory | None = None,
    ) -> None:
        self.network = network
        self._memory = memory
        self._material = material
        self._settings = settings
        self._seed = seed
        self._begins = material.begins()
        self._apart = find_covisible(material)
        self._size = (material.crops.shape[1], material.crops.shape[2])
        self._proxy_of = np.empty(0, np.int64)  # of each tracklet; -1 where it is nobody's
        self._members: list[Rows] = []
        self._proxies: CameraProxies | None = None
        self._banks: SelectiveBanks | None = None
        self._seen: tuple[Tensor, Tensor, Tensor, Tensor] | None = None

    def begin_round(self, teacher: nn.Module, device: torch.device) -> dict[str, float]:
        """Guesses anew who is who, by the features of the teacher, a `PartNetwork`.

        Returns:
            Number of people, and the part of the tracklets that are theirs.
        """
        found = embed(teacher, self._material.crops, device)
        whole, local = (mean_by_tracklet(each, self._material) for each in found)
        centred = centre_cameras(whole, self._material.cameras)
        settings = self._settings
        similarity = jaccard_similarity(centred, self._material.cameras, settings.neighbourhood, 0.01)
        people = guess_people(similarity, self._apart, settings.clusters)
        if people.max(initial=NOBODY) == NOBODY:
            raise ThinMaterial(f"of {len(people)} tracklets no two look like one person: let `run` collect more")
        self._set_proxies(people, whole, device)
        positives = self._possible_positives(centred)
        apart = _listed(self._apart, len(self._material))
        self._banks = SelectiveBanks(
            torch.from_numpy(whole),
            torch.from_numpy(local),
            torch.from_numpy(positives),
            torch.from_numpy(apart),
            settings.selective,
        ).to(device)
        return {"people": len(self._members), "tracklets": float((people != NOBODY).mean())}

    def _set_proxies(self, people: Rows, whole: Embeddings, device: torch.device) -> None:
        cameras = self._material.cameras
        known = np.flatnonzero(people != NOBODY)
        pairs, place = np.unique(np.stack([people[known], cameras[known]]), axis=1, return_inverse=True)
        sums = np.zeros((pairs.shape[1], whole.shape[1]), np.float32)
        np.add.at(sums, place.ravel(), whole[known])
        features = functional.normalize(torch.from_numpy(sums), dim=1)
        owners, places = torch.from_numpy(pairs[0].copy()), torch.from_numpy(pairs[1].copy())
        self._proxies = CameraProxies(features, owners, places, self._settings.proxies).to(device)
        proxies = np.full(len(people), -1)
        proxies[known] = place.ravel()
        self._proxy_of = proxies
        self._members = [np.flatnonzero(people == person) for person in range(int(people.max(initial=-1)) + 1)]

    def _possible_positives(self, centred: Embeddings) -> Rows:
        """Neighbours of each other who look more alike than those who are certainly two people, itself first."""
        settings, cameras = self._settings, self._material.cameras
        nearest = find_nearest(centred, cameras, Neighbourhood(settings.mutual, settings.mutual))
        near = np.concatenate([nearest.own, nearest.others], axis=1)
        limit = -1.0
        if len(self._apart):
            limit = float(np.quantile((centred[self._apart[:, 0]] * centred[self._apart[:, 1]]).sum(1), 0.95))
        found = np.full((len(near), settings.most_positives + 1), -1)
        certain = {tuple(pair) for pair in self._apart.tolist()}
        for row, others in enumerate(near.tolist()):
            fitting = [
                other
                for other in others
                if other >= 0
                and other != row
                and row in near[other]
                and (min(row, other), max(row, other)) not in certain
                and float(centred[row] @ centred[other]) > limit
            ]
            chosen = self._few_of_each_camera(row, sorted(fitting, key=lambda o: -float(centred[row] @ centred[o])))
            found[row, : len(chosen) + 1] = [row, *chosen]
        return found

    def _few_of_each_camera(self, row: int, ranked: list[int]) -> list[int]:
        cameras = self._material.cameras
        taken: dict[int, int] = {}
        chosen = []
        for other in ranked:
            camera = int(cameras[other])
            taken[camera] = taken.get(camera, 0) + 1
            if camera == cameras[row] or taken[camera] <= self._settings.most_of_camera:
                chosen.append(other)
        return chosen[: self._settings.most_positives]

    def batch(self, step: int) -> SiteBatch:
        """See `trainer.Task`."""
        rng = np.random.default_rng([self._seed, step])
        people = rng.choice(len(self._members), min(self._settings.people, len(self._members)), replace=False)
        tracklets = np.concatenate([self._spread(self._members[person], rng) for person in people])
        rows = rng.integers(self._begins[tracklets], self._begins[tracklets + 1])
        crops = np.stack([disturb(self._material.crops[row], self._size, rng) for row in rows])
        kept = 0 if self._memory is None else min(self._settings.remembered, len(self._memory))
        remembered = rng.choice(len(self._memory), kept, replace=False) if self._memory else np.empty(0, np.int64)
        return SiteBatch(crops, tracklets, self._proxy_of[tracklets], remembered)

    def _spread(self, members: Rows, rng: np.random.Generator) -> Rows:
        """Tracklets of one person, of as many cameras as there are."""
        order = rng.permutation(members)
        turn = np.zeros(len(order), np.int64)  # the how-manieth of its camera
        for camera in np.unique(self._material.cameras[order]):
            there = self._material.cameras[order] == camera
            turn[there] = np.arange(there.sum())
        order = order[np.argsort(turn, kind="stable")]
        return np.resize(order, self._settings.crops)

    def losses(self, batch: SiteBatch, device: torch.device) -> dict[str, Tensor]:
        """See `trainer.Task`."""
        if self._proxies is None or self._banks is None:
            raise RuntimeError("begin_round comes first")
        whole, local = self.network(normalise(torch.from_numpy(batch.crops).to(device)))
        tracklets, proxies = torch.from_numpy(batch.tracklets).to(device), torch.from_numpy(batch.proxies).to(device)
        self._seen = (whole.detach(), local.detach(), tracklets, proxies)
        with torch.autocast(device.type, enabled=False):
            parts = self._proxies.losses(whole, proxies)
            if self._settings.selective.weight:
                parts["selective"] = self._banks.loss(whole, local, tracklets)
        if self._memory is not None:
            chosen = torch.from_numpy(batch.remembered)
            parts["memory"] = self._settings.remember * self._memory.loss(self.network, chosen)
        return parts

    def after_step(self) -> None:
        """See `trainer.Task`."""
        if self._seen is None or self._proxies is None or self._banks is None:
            return
        whole, local, tracklets, proxies = self._seen
        self._proxies.update(whole, proxies)
        if self._settings.selective.weight:
            self._banks.update(whole, local, tracklets)
        self._seen = None


def mean_by_tracklet(features: Embeddings, material: Material) -> Embeddings:
    """The mean feature of each tracklet ``(T, D)``, of norm 1."""
    sums = np.add.reduceat(features, material.begins()[:-1], axis=0)
    return np.asarray(sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9), np.float32)


def centre_cameras(features: Embeddings, cameras: Rows) -> Embeddings:
    """The same with the mean of each camera taken out: its light and its view, of norm 1 again."""
    centred = features.copy()
    for camera in np.unique(cameras):
        centred[cameras == camera] -= centred[cameras == camera].mean(axis=0)
    return np.asarray(centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9), np.float32)


def _listed(pairs: Rows, size: int) -> Rows:
    """For each of ``size`` rows those it is paired with, -1 where there are fewer: ``(size, A)``."""
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[np.argsort(both[:, 0], kind="stable")]
    counts = np.bincount(both[:, 0], minlength=size)
    listed = np.full((size, int(counts.max(initial=0))), -1)
    place = np.arange(len(both)) - np.repeat(np.cumsum(counts) - counts, counts)
    listed[both[:, 0], place] = both[:, 1]
    return listed
