"""The command `search`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

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
    from reid_pipeline.pipeline.search import Found, Hit
    from reid_pipeline.pipeline.search_picture import PersonInPicture, PixelBox
    from reid_pipeline.pipeline.searcher import Searcher
    from reid_pipeline.pipeline.site_data import SiteData
    from reid_pipeline.storage.tracklet_views import ViewFilter

_SETTINGS: Final = (".yaml", ".yml")


def search(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Pictures of the person, and the cameras.yaml of the site, or --data.",
            metavar="[IMAGE...] [CAMERAS.YAML]",
        ),
    ] = None,
    identity: Annotated[
        int | None, typer.Option(help="Search for others who may be this identity.", metavar="ID", min=1)
    ] = None,
    sighting: Annotated[
        list[str] | None,
        typer.Option(
            help="Search for others who may be who this tracklet shows; may be given more than once.",
            metavar="CAMERA:NUMBER",
        ),
    ] = None,
    box: Annotated[
        str | None,
        typer.Option(help="Who in the picture: a box in its pixels. Else the largest person.", metavar="X1,Y1,X2,Y2"),
    ] = None,
    rejected: Annotated[
        list[str] | None,
        typer.Option("--not", help="Leave out this tracklet, it is another person.", metavar="CAMERA:NUMBER"),
    ] = None,
    data: DataOption = None,
    camera: Annotated[
        list[str] | None, typer.Option(help="Only in this camera; may be given more than once.", metavar="NAME")
    ] = None,
    since: TimeOption = None,
    until: TimeOption = None,
    top_k: Annotated[int, typer.Option(help="How many to show at most.", metavar="K", min=1)] = 20,
    rerank: Annotated[
        bool, typer.Option("--rerank/--no-rerank", help="Whether the neighbourhoods of the best hits order them.")
    ] = True,
    actor: ActorOption = None,
    reason: ReasonOption = "",
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Search for a person: where and when somebody was seen who may be the one, with the probability.

    Several pictures and sightings of one person are one query. Below a probability of 0.5 there is not enough
    evidence: it is rather somebody else.
    """
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.searcher import Examples, Searcher, Wanted
    from reid_pipeline.pipeline.site_data import open_site
    from reid_pipeline.storage.audit_log import Action, AuditLog

    images, config = sort_files(files or [])
    keys, rejected_keys = ([parse_tracklet(text) for text in given or []] for given in (sighting, rejected))
    if not images and not keys and identity is None:
        raise InputError("search: expected at least one of IMAGE, --identity ID and --sighting CAMERA:NUMBER")
    with open_site(config, data, actor=actor) as site:
        wanted = Wanted(_wanted(site, camera or [], since, until), top_k, rerank)
        searcher = Searcher(site)
        persons = read_persons(searcher, images, parse_box(box, len(images)))
        query = searcher.query(Examples(persons, keys, [] if identity is None else [identity]))
        found = searcher.search(searcher.refine(query, [], rejected_keys), wanted)
        AuditLog(site.database).note(site.access.name, Action.SEARCH, reason, _noted(len(images), identity, sighting))
        names = {each.hash: each.name for each in site.repository.embedding_models()}
    if json_output:
        pictures = [person_fields(*each) for each in zip(images, persons, strict=True)]
        asked = {"images": pictures, "identity": identity, "sightings": sighting or [], "not": rejected or []}
        print_json({"query": asked, "reranked": rerank, **_fields(found, names)})
    else:
        _print(found, list(zip(images, persons, strict=True)))


def sort_files(files: Sequence[Path]) -> tuple[list[Path], Path | None]:
    """The pictures and the cameras.yaml, which is told by its name.

    Raises:
        InputError: There are two of those.
    """
    configs = [path for path in files if path.suffix.lower() in _SETTINGS]
    if len(configs) > 1:
        raise InputError(f"{configs[1]}: a second cameras.yaml: expected one at most")
    return [path for path in files if path not in configs], next(iter(configs), None)


def parse_box(text: str | None, images: int) -> PixelBox | None:
    """What was given for --box.

    Raises:
        InputError: It is no box, or it is not about one picture.
    """
    if text is None:
        return None
    if images != 1:
        raise InputError(f"--box: {text}: expected it beside one picture, got {images}")
    try:
        x1, y1, x2, y2 = (int(side) for side in text.split(","))
    except ValueError as error:
        raise InputError(f"--box: {text}: expected four whole numbers, such as 120,40,180,220") from error
    return x1, y1, x2, y2


def read_persons(searcher: Searcher, images: Sequence[Path], box: PixelBox | None) -> list[PersonInPicture]:
    """Who is searched for in some pictures.

    Raises:
        InputError: One of them cannot be read, or the box is outside.
    """
    from reid_pipeline.pipeline.searcher import read_picture

    return [searcher.person(read_picture(path), box) for path in images]


def person_fields(image: Path, person: PersonInPicture) -> dict[str, object]:
    """Who was found in a picture, and which of them is searched for, for --json."""
    box = None if person.box is None else list(person.box)
    boxes = [list(each) for each in person.boxes]
    return {"image": str(image), "persons": len(boxes), "boxes": boxes, "box": box}


def _noted(images: int, identity: int | None, sightings: Sequence[str] | None) -> dict[str, object]:
    """What the audit log keeps of a query."""
    noted = {"image": images > 0, "identity": identity, "sighting": ", ".join(sightings or [])}
    return {name: value for name, value in noted.items() if value}


def _wanted(site: SiteData, cameras: Sequence[str], since: str | None, until: str | None) -> ViewFilter:
    from reid_pipeline.pipeline.site_data import parse_span_us
    from reid_pipeline.storage.tracklet_views import ViewFilter

    for camera in cameras:
        check_camera(site, camera)
    since_us, until_us = parse_span_us(site, since, until)
    return ViewFilter(tuple(cameras), since_us, until_us)


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


def _print(found: Found, persons: Sequence[tuple[Path, PersonInPicture]]) -> None:
    from reid_pipeline.pipeline.events import iso_time

    for image, person in persons:
        print(f"{image}: {_about(person)}")
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
        what = "the picture is a crop of one person" if person.boxes else "no person was found in the picture"
        return f"{what}: all of it is searched for"
    box = ",".join(str(side) for side in person.box)
    if len(person.boxes) < 2:
        return f"the person at {box} is searched for"
    others = " or ".join(",".join(str(side) for side in each) for each in person.boxes[1:6])
    return f"the largest of {len(person.boxes)} persons, at {box}, is searched for; others: --box {others}"
