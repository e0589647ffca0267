"""Whether the two passes of an associator and its gallery know the same people."""

from __future__ import annotations

from reid_pipeline.pipeline.gallery import Gallery
from reid_pipeline.pipeline.protocols import TrackletKey
from reid_pipeline.pipeline.two_pass import TwoPassAssociator


def check_agreement(associator: TwoPassAssociator, gallery: Gallery) -> dict[TrackletKey, int]:
    """Who the tracklets are, after a pass; nobody else may be in the gallery, where nothing was forgotten yet."""
    identities = associator._sightings.identities()
    for name, camera in associator._first._cameras.items():
        for number, tracklet in camera.tracklets.items():
            assert tracklet.identity == identities.get((name, number))
    kept = {
        identity
        for shelf in gallery._shelves.values()
        for page in shelf._pages
        for identity in page.identities[page.first : page.end].tolist()
    }
    assert kept == set(identities.values())
    return identities
