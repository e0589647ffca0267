"""`replay --from-reid`: the crops of a re-ID data set as a site whose truth is known."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from reid_pipeline.pipeline.datatypes import Embeddings
from reid_pipeline.pipeline.embedding_cache import embed_images
from reid_pipeline.pipeline.metrics_tracking import TrackingScores
from reid_pipeline.pipeline.protocols import Associator, Encoder
from reid_pipeline.pipeline.replay import RecordedTracklet, RecordedView, Replayed, replay
from reid_pipeline.pipeline.replay_journeys import Crop, ReplayTracklet, draw_journeys, read_crops
from reid_pipeline.pipeline.replay_scores import FalseMerges, count_false_merges, crop_boxes, score_identities
from reid_pipeline.pipeline.tracks import write_mtmc


@dataclass(frozen=True, slots=True, eq=False)
class EncodedCrops:
    """The crops of a data set with their embeddings ``(N, D) float32`` of norm 1."""

    crops: tuple[Crop, ...]
    embeddings: Embeddings


@dataclass(frozen=True, slots=True, eq=False)
class ReidReplay:
    """What came of one seed.

    Attributes:
        seed: Which journeys.
        tracklets: The truth.
        replayed: What the associator made of it.
        tracking: The scores of `eval mtmc`.
        false_merges: How often people were taken for each other.
    """

    seed: int
    tracklets: tuple[ReplayTracklet, ...]
    replayed: Replayed
    tracking: TrackingScores
    false_merges: FalseMerges

    def as_dict(self) -> dict[str, float]:
        """Names the figures as the command prints them."""
        return {
            **self.tracking.as_dict(),
            "false_merge_rate": self.false_merges.rate,
            "false_merge_upper95": self.false_merges.upper95,
            "tracklets": len(self.tracklets),
            "identities": len(set(self.replayed.identities.values())),
            "persons": len({tracklet.person for tracklet in self.tracklets}),
            "decisions_s": round(self.replayed.decisions_s, 1),
            "seed": self.seed,
        }


def encode_crops(
    folder: Path,
    encoder: Encoder,
    progress: Callable[[int, int], None] | None = None,
    *,
    blur_heads: bool = False,
) -> EncodedCrops:
    """Reads and encodes the crops of a data set, see `read_crops`, with or without their heads.

    Raises:
        InputError: A folder, a name or a picture does not fit.
    """
    crops = tuple(read_crops(folder))
    return EncodedCrops(crops, embed_images([crop.path for crop in crops], encoder, progress, blur_heads=blur_heads))


def replay_seeds(
    encoded: EncodedCrops, seeds: Iterable[int], new_associator: Callable[[], Associator]
) -> Iterator[ReidReplay]:
    """Replays the journeys of each seed, each through an associator of its own that knows nobody."""
    for seed in seeds:
        tracklets = tuple(draw_journeys(encoded.crops, seed))
        replayed = replay([record(tracklet, encoded.embeddings) for tracklet in tracklets], new_associator())
        scores = score_identities(tracklets, replayed.identities)
        yield ReidReplay(seed, tracklets, replayed, scores, count_false_merges(tracklets, replayed.identities))


def record(tracklet: ReplayTracklet, embeddings: Embeddings) -> RecordedTracklet:
    """A tracklet as an associator gets it: without its person, every view of the same quality."""
    views = (
        RecordedView(time_us, embeddings[crop], 1.0)
        for time_us, crop in zip(tracklet.times_us(), tracklet.crops, strict=True)
    )
    return RecordedTracklet(tracklet.camera, tracklet.number, tracklet.start_us, tracklet.end_us, tuple(views))


def write_replay(folder: Path, result: ReidReplay, summary: dict[str, object]) -> None:
    """Writes ``gt/mtmc.txt``, ``tracks/mtmc.txt`` and ``summary.json``; `eval mtmc` gives the same scores."""
    persons = {tracklet.key: tracklet.person for tracklet in result.tracklets}
    write_mtmc(folder / "gt" / "mtmc.txt", crop_boxes(result.tracklets, persons))
    write_mtmc(folder / "tracks" / "mtmc.txt", crop_boxes(result.tracklets, result.replayed.identities))
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
