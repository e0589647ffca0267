"""How somebody looks who is to be watched for: one vector of each picture and tracklet, by each model of the site."""

from __future__ import annotations

from reid_pipeline.pipeline.searcher import Examples, Searcher
from reid_pipeline.storage.watch_vectors import Example


def watch_examples(searcher: Searcher, given: Examples) -> tuple[Example, ...]:
    """The examples of an entry. Those of a tracklet name it, so that they go when it does.

    Raises:
        InputError: A sighting is none, or there is nothing to compare.
        ModelError: None of the site's encoders is left.
    """
    parts = [
        *((searcher.query(Examples(persons=[person])), None) for person in given.persons),
        *((searcher.query(Examples(sightings=[key])), key) for key in given.sightings),
    ]
    return tuple(
        Example(model_hash, look, tracklet) for query, tracklet in parts for model_hash, look in query.looks.items()
    )
