"""What the tracker can be told."""

from __future__ import annotations

from dataclasses import dataclass

from reid_pipeline.pipeline.crossings import NOBODY


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """How detections are joined. The defaults are meant for every scene.

    Attributes:
        min_confidence: A detection this sure (0-1) starts a tracklet and chooses first; weaker ones only continue one.
        min_overlap: IoU with the predicted box from which a strong detection may continue a tracklet.
        min_weak_overlap: The same for a weak detection.
        sure_size: Score from which the size of a box is believed as it is.
        guess_below: Score below which a tracklet's box is where it is expected to be, not where it was detected.
        sure_overlap: IoU below which a match must also look right.
        confirm_frames: Sightings after which a tracklet is believed and gets its number.
        weak_memory_frames: Frames unseen after which weak detections no longer continue a tracklet.
        memory_frames: Frames unseen after which a tracklet has ended.
        refresh_frames: Age at which the stored look of a tracklet is taken anew.
        looks_weight: Weight of looks beside IoU where they are compared.
        full_odds: Log-odds of `LookOdds` from which looks have that weight.
        veto_odds: Log-odds below which a badly fitting match is refused.
        doubt_odds: Log-odds below which a clean box looks like somebody else than the tracklet.
        change_looks: So many such looks in a row end the tracklet: it has been passed on.
        doubt_frames: Age at which the look is taken again after such a one.
        most_doubts: Looks after a crossing that leave it unclear who it is; after more, it stays who it was.
        relink_odds: Log-odds from which a tracklet that motion has lost is found again.
        relink_reach: How far from its expected place, in standard deviations.
        relink_growth: Largest ratio of heights between then and now.
        max_covered: Part of a box (0-1) that another may cover before its look is not worth storing.
        look_blend: Share of the old look when a new one comes in.
    """

    min_confidence: float = 0.4
    min_overlap: float = 0.2
    min_weak_overlap: float = 0.45
    sure_size: float = 0.5
    guess_below: float = 0.3
    sure_overlap: float = 0.6
    confirm_frames: int = 3
    weak_memory_frames: int = 2
    memory_frames: int = 30
    refresh_frames: int = 20
    looks_weight: float = 0.5
    full_odds: float = 6.0
    veto_odds: float = NOBODY
    doubt_odds: float = -1.0
    change_looks: int = 2
    doubt_frames: int = 4
    most_doubts: int = 5
    relink_odds: float = 1.0
    relink_reach: float = 5.0
    relink_growth: float = 1.6
    max_covered: float = 0.35
    look_blend: float = 0.8
