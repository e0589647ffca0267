"""What an erasure takes, in words: the same for the command `erase` and for the page Privacy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from reid_pipeline.storage.erasure_plan import ErasurePreview

BESIDE: Final = "Videos of their cameras, pages of learning and backups since then go too."
_NAMED: Final = 50


@dataclass(frozen=True, slots=True)
class Part:
    """How many of something would go; `meaning` says what it is."""

    label: str
    count: int
    meaning: str


def parts(found: ErasurePreview) -> tuple[Part, ...]:
    """What would go."""
    return (
        Part("Tracklets", len(found.tracklets), "Unbroken stretches of one person in one camera."),
        Part("Pictures", found.crops, "Of them, on the disk."),
        Part("Vectors", found.embeddings, "What they are recognised by."),
        Part("Crops to learn from", found.corpus, "In the corpus."),
        Part("Clips", found.clips, "Footage that shows them, with everybody else who is on it."),
        Part("People emptied", len(found.emptied), "Of whom nothing at all would be left."),
    )


def whose(found: ErasurePreview) -> str:
    """Of which people it is, some of them where they are many."""
    if not found.identities:
        return "Of nobody who has a number."
    more = len(found.identities) - _NAMED
    return f"Of person {', '.join(map(str, found.identities[:_NAMED]))}{f' and {more:,} others' if more > 0 else ''}."
