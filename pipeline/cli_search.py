"""The command `search`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reid_pipeline.pipeline.cli_identity import (
    ActorOption,
    DataOption,
    ReasonOption,
    TimeOption,
    check_camera,
    parse_tracklet,
)
from reid_pipeline.pipeline.cli_output import JsonOption, VerboseOption, print_json, print_table, start_output
from reid_pipeline.pipeline.errors import InputError

if TYPE_CHECKING:
    from reid_pipeline.pipeline.search import Found, Hit, Query
    from reid_pipeline.pipeline.search_query import PersonInPicture
    from reid_pipeline.pipeline.site_data import SiteData
    from reid_pipeline.storage.tracklet_views import ViewFilter


def search(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="A picture of a person, unless --identity or --sighting is given; then the cameras.yaml of the site, "
            "or --data.",
            metavar="[IMAGE] [CAMERAS.YAML]",
        ),
    ] = None,
    identity: Annotated[
        int | None, typer.Option(help="Search for others who may be this identity.", metavar="ID", min=1)
    ] = None,
    sighting: Annotated[
        str | None, typer.Option(help="Search for others who may be who this tracklet shows.", metavar="CAMERA:NUMBER")
    ] = None,
    data: DataOption = None,
    camera: Annotated[
        list[str] | None, typer.Option(help="Only in this camera; may be given more than once.", metavar="NAME")
    ] = None,
    since: TimeOption = None,
    until: TimeOption = None,
    top_k: Annotated[int, typer.Option(help="How many to show at most.", metavar="K", min=1)] = 20,
    actor: ActorOption = None,
    reason: ReasonOption = "",
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Search for a person: where and when somebody was seen who may be the one, with the probability.

    Below a probability of 0.5 there is not enough evidence: it is rather somebody else.
    """
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.search import search as search_site
    from reid_pipeline.pipeline.search_candidates import Candidates
    from reid_pipeline.pipeline.search_query import calibration_of
    from reid_pipeline.pipeline.site_data import open_site
    from reid_pipeline.storage.audit_log import Action, AuditLog

    image, config = _sort_files(files or [], named=(identity is not None) + (sighting is not None))
    key = None if sighting is None else parse_tracklet(sighting)
    with open_site(config, data, actor=actor) as site:
        wanted = _wanted(site, camera or [], since, until)
        query, person = _read_query(site, image, identity, key)
        narrow = Candidates(site.database).narrow
        found = search_site(site.repository, query, wanted, top_k, lambda each: calibration_of(site, each), narrow)
        asked = {"image": None if image is None else str(image), "identity": identity, "sighting": sighting}
        noted = {name: value for name, value in asked.items() if value is not None and name != "image"}
        AuditLog(site.database).note(site.access.name, Action.SEARCH, reason, noted or {"image": True})
        names = {each.hash: each.name for each in site.repository.embedding_models()}
    if json_output:
        print_json({"query": {**asked, **_person_fields(person)}, **_fields(found, names)})
    else:
        _print(found, person)


def _sort_files(files: Sequence[Path], *, named: int) -> tuple[Path | None, Path | None]:
    """The picture and the cameras.yaml, where ``named`` queries were given by number."""
    if not named and 1 <= len(files) <= 2:
        return files[0], next(iter(files[1:]), None)
    if named == 1 and len(files) <= 1:
        return None, next(iter(files), None)
    raise InputError(
        "search: expected one of IMAGE, --identity ID and --sighting CAMERA:NUMBER, then a CAMERAS.YAML or --data DIR"
    )


def _wanted(site: SiteData, cameras: Sequence[str], since: str | None, until: str | None) -> ViewFilter:
    from reid_pipeline.pipeline.site_data import parse_span_us
    from reid_pipeline.storage.tracklet_views import ViewFilter

    for camera in cameras:
        check_camera(site, camera)
    since_us, until_us = parse_span_us(site, since, until)
    return ViewFilter(tuple(cameras), since_us, until_us)


def _read_query(
    site: SiteData, image: Path | None, identity: int | None, key: tuple[str, int] | None
) -> tuple[Query, PersonInPicture | None]:
    from reid_pipeline.pipeline import search_query

    if identity is not None:
        return search_query.query_of_identity(site, identity), None
    if key is not None:
        return search_query.query_of_tracklet(site, key), None
    person = search_query.read_person(site, image or Path())
    return search_query.query_of_picture(site, person), person


def _person_fields(person: PersonInPicture | None) -> dict[str, object]:
    box = None if person is None or person.box is None else list(person.box)
    return {"persons": None if person is None else person.persons, "box": box}


def _fields(found: Found, names: Mapping[str, str]) -> dict[str, object]:
    return {
        "results": [_hit_fields(rank, hit) for rank, hit in enumerate(found.hits, 1)],
        "models": [
            {"name": names[model_hash], "hash": model_hash, "tracklets": count}
            for model_hash, count in found.compared.items()
        ],
    }


def _hit_fields(rank: int, hit: Hit) -> dict[str, object]:
    from reid_pipeline.pipeline.events import iso_time

    return {
        "rank": rank,
        "camera": hit.tracklet.camera,
        "tracklet": hit.tracklet.number,
        "identity": hit.tracklet.identity,
        "first_seen": iso_time(hit.tracklet.first_us),
        "last_seen": iso_time(hit.tracklet.last_us),
        "similarity": round(hit.similarity, 4),
        "probability": round(hit.probability, 6),
        "enough_evidence": hit.enough_evidence,
    }


def _print(found: Found, person: PersonInPicture | None) -> None:
    from reid_pipeline.pipeline.events import iso_time

    if person is not None:
        print(_about(person))
    rows = [
        (
            str(rank),
            f"{hit.tracklet.camera}:{hit.tracklet.number}",
            "" if hit.tracklet.identity is None else str(hit.tracklet.identity),
            iso_time(hit.tracklet.first_us),
            iso_time(hit.tracklet.last_us),
            f"{hit.similarity:.3f}",
            f"{hit.probability:.3f}",
            "" if hit.enough_evidence else "not enough evidence",
        )
        for rank, hit in enumerate(found.hits, 1)
    ]
    print_table(("rank", "tracklet", "identity", "first seen", "last seen", "similarity", "probability", ""), rows)


def _about(person: PersonInPicture) -> str:
    if person.box is None:
        what = "The picture is a crop of one person" if person.persons else "No person was found in the picture"
        return f"{what}: all of it is searched for."
    box = ", ".join(str(side) for side in person.box)
    count = "The one person" if person.persons == 1 else f"The largest of {person.persons} persons"
    return f"{count} in the picture is searched for: box {box}."
