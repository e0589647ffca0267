"""The command `replay`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reid_pipeline.pipeline.cli_output import (
    BlurHeadsOption,
    JsonOption,
    VerboseOption,
    print_json,
    print_table,
    show_progress,
    start_output,
)
from reid_pipeline.pipeline.errors import InputError

if TYPE_CHECKING:
    from reid_pipeline.configs.settings import AssociationSettings


def replay(
    from_reid: Annotated[
        Path | None, typer.Option(help="A re-ID data set: query and bounding_box_test.", metavar="DIR")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Or the data folder of a recorded site.", metavar="DIR")] = None,
    encoder: Annotated[
        str | None, typer.Option(help="For --from-reid: a path or a name; bundled if left out.", metavar="NAME")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="For --from-reid: another seed, other journeys. 0 if left out.")
    ] = None,
    target_false_merge_rate: Annotated[
        float | None, typer.Option(help="As in cameras.yaml: how many joins may be wrong.", metavar="RATE")
    ] = None,
    memory: Annotated[
        str | None, typer.Option(help="As in cameras.yaml: how long somebody is recognised.", metavar="TIME")
    ] = None,
    blur_heads: BlurHeadsOption = False,
    topology: Annotated[
        bool, typer.Option("--topology/--no-topology", help="Learn and use the ways from camera to camera.")
    ] = True,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for tracks/mtmc.txt; with --from-reid also the truth and reliability.svg.", metavar="DIR"
        ),
    ] = None,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make identities again without any video: of real crops whose people are known, or of a recorded site."""
    start_output(json_output=json_output, verbose=verbose)
    settings = _settings(target_false_merge_rate, memory)
    if from_reid is not None and data is None:
        crops = _Crops(from_reid, encoder or "bundled", blur_heads)
        fields = _replay_reid(crops, seed or 0, settings, out, topology=topology)
    elif data is not None and from_reid is None:
        if encoder is not None or seed is not None or blur_heads:
            raise InputError(
                "--encoder, --seed and --blur-heads: expected with --from-reid only; a site keeps its own encoder"
            )
        fields = _replay_site(data, settings, out, topology=topology)
    else:
        raise InputError("replay: expected either --from-reid DIR or --data DIR")
    if json_output:
        print_json(fields)
    else:
        figures = [(name, _shorten(value)) for name, value in fields.items() if name != "reliability"]
        print_table(("figure", "value"), figures)


@dataclass(frozen=True, slots=True)
class _Crops:
    """A data set, and how it is encoded."""

    folder: Path
    encoder: str
    blur_heads: bool


def _settings(target: float | None, memory: str | None) -> AssociationSettings:
    from pydantic import ValidationError

    from reid_pipeline.configs.schema import expectation_at
    from reid_pipeline.configs.settings import AssociationSettings

    given = {"target_false_merge_rate": target, "memory": memory}
    try:
        return AssociationSettings.model_validate({key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        expected = expectation_at(("association", key))
        raise InputError(f"--{key.replace('_', '-')}: {first['input']}: expected {expected}") from error


def _replay_reid(
    crops: _Crops, seed: int, settings: AssociationSettings, out: Path | None, *, topology: bool
) -> Mapping[str, object]:
    from reid_pipeline.pipeline.associator_factory import EmbeddingSpace, build_associator
    from reid_pipeline.pipeline.models import build_encoder
    from reid_pipeline.pipeline.reliability import judge_replay
    from reid_pipeline.pipeline.reliability_plot import draw_reliability
    from reid_pipeline.pipeline.replay_reid import encode_crops, replay_seeds, write_replay

    built = build_encoder(crops.encoder)
    with show_progress("crops") as progress:
        encoded = encode_crops(crops.folder, built, progress, blur_heads=crops.blur_heads)
    space = EmbeddingSpace.of(built)
    [result] = replay_seeds(encoded, [seed], lambda: build_associator(settings, space, topology=topology))
    fields: dict[str, object] = {
        **result.as_dict(),
        "target": settings.target_false_merge_rate,
        "topology": topology,
        "blur_heads": crops.blur_heads,
        "encoder": built.model.name,
        "model_hash": built.model_hash,
    }
    if out is not None:
        reliability = judge_replay(result, encoded.embeddings, settings.memory // timedelta(microseconds=1))
        fields["reliability"] = None if reliability is None else reliability.as_dict()
        write_replay(out, result, fields)
        if reliability is not None:
            title = f"{crops.folder.resolve().name}, {built.model.name}, seed {result.seed}"
            (out / "reliability.svg").write_text(draw_reliability(reliability, title), encoding="utf-8")
    return fields


def _replay_site(
    data: Path, settings: AssociationSettings, out: Path | None, *, topology: bool
) -> Mapping[str, object]:
    from reid_pipeline.pipeline.replay_site import replay_site
    from reid_pipeline.pipeline.site_data import open_site
    from reid_pipeline.storage.audit_log import Action, AuditLog
    from reid_pipeline.storage.permissions import Permission

    with open_site(None, data) as site:
        site.access.require_all_cameras(Permission.SEE if out is None else Permission.EXPORT)
        if out is not None:
            subject = {"what": "replay", "folder": str(out.resolve())}
            AuditLog(site.database).note(site.access.name, Action.EXPORT, "", subject)
    result = replay_site(data, settings, topology=topology, out=out)
    return {**result.as_dict(), "target": settings.target_false_merge_rate, "topology": topology}


def _shorten(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
