"""The commands that need no run: `init`, `validate` and `doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from reid_pipeline.pipeline.cli_output import JsonOption, VerboseOption, print_json, print_table, start_output

if TYPE_CHECKING:  # pydantic is slow to import, and `init` does not need it
    from reid_pipeline.configs.camera_settings import CameraSettings
    from reid_pipeline.configs.loading import SettingsFile
    from reid_pipeline.configs.settings import Settings
    from reid_pipeline.pipeline.doctor import Finding

FILE_NAME: Final = "cameras.yaml"


def init(
    folder: Annotated[Path, typer.Argument(help="Where to write it.", metavar="[DIR]")] = Path(),
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Write a commented cameras.yaml to start from."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.errors import InputError

    path = folder / FILE_NAME
    template = (files("reid_pipeline.configs") / "template.yaml").read_text(encoding="utf-8")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(template)
    except FileExistsError as error:
        there = path if folder.is_dir() else folder
        raise InputError(f"{there}: exists: expected a free name, choose another folder or move it away") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be written, {error.strerror}: expected a folder you may write to") from error
    if json_output:
        print_json({"path": str(path)})
    else:
        print(f"Wrote {path}. Change its path and model lines, then: reid-pipeline validate {path}")


def validate(
    cameras: Annotated[Path | None, typer.Argument(help="The cameras.yaml to check.", metavar="CAMERAS.YAML")] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of cameras.yaml, for editors, and end.")
    ] = False,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Check a cameras.yaml without opening a camera, and print what it would run."""
    start_output(json_output=json_output, verbose=verbose)
    if schema:
        from reid_pipeline.configs.schema import schema_text

        print(schema_text(), end="")
        return
    if cameras is None:
        raise typer.BadParameter("expected the path of a cameras.yaml", param_hint="CAMERAS.YAML")
    from reid_pipeline.configs.loading import read_settings_file

    document = read_settings_file(cameras)
    _check_files(document)
    if json_output:
        print_json(_plan(document.settings))
    else:
        _print_plan(cameras, document.settings)


def doctor(
    config: Annotated[
        Path | None, typer.Option(help="A cameras.yaml whose models to look at. Else ./cameras.yaml, if it is there.")
    ] = None,
    json_output: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Check which decoders, runtimes and accelerators work here, how to get the rest, and the models' licences."""
    start_output(json_output=json_output, verbose=verbose)
    from reid_pipeline.pipeline.doctor import can_run, check_machine

    models = _check_models(config)
    machine = check_machine()
    if json_output:
        findings = [finding.as_dict() for finding in machine]
        licences = [finding.as_dict() for finding in models]
        print_json({"can_run": can_run(machine), "findings": findings, "models": licences})
    else:
        _print_findings([*machine, *models])
        if not models:
            print("Licences of models: reid-pipeline doctor --config cameras.yaml")
    raise typer.Exit(0 if can_run(machine) else 1)


def _check_models(config: Path | None) -> list[Finding]:
    """Looks at the models of ``config``; without one at those of ./cameras.yaml, which may be missing or unfinished."""
    from reid_pipeline.configs.errors import ConfigError
    from reid_pipeline.configs.loading import load_settings
    from reid_pipeline.pipeline.doctor import Finding, check_models

    if config is not None:
        return check_models(load_settings(config))
    if not Path(FILE_NAME).is_file():
        return []
    try:
        return check_models(load_settings(Path(FILE_NAME)))
    except ConfigError as error:
        return [Finding("models", False, str(error), f"repair {FILE_NAME}")]


def _check_files(document: SettingsFile) -> None:
    """Raises where a file of an enabled camera, or a model, is not there."""
    settings = document.settings
    for name, camera in settings.cameras.items():
        for index, source in enumerate(camera.inputs if camera.enabled and not camera.pipeline else ()):
            if "://" not in source.path and not Path(source.path).exists():
                text = f"expected a file, folder or device: there is no {source.path}"
                raise document.error(("cameras", name, "inputs", index, "path"), text)
    for section, model in (("detector", settings.detector.model), ("encoder", settings.encoder.model)):
        if Path(model).is_absolute() and not Path(model).exists():
            raise document.error((section, "model"), f"expected a model's file or folder: there is no {model}")


def _plan(settings: Settings) -> dict[str, object]:
    from reid_pipeline.configs.settings import non_default

    return {
        "valid": True,
        "site": settings.site.name,
        "data_dir": str(settings.site.data_dir),
        "cameras": {name: _camera_plan(camera) for name, camera in settings.cameras.items()},
        "detector": settings.detector.model,
        "encoder": settings.encoder.model,
        "settings": non_default(settings),
    }


def _camera_plan(camera: CameraSettings) -> dict[str, object]:
    from reid_pipeline.configs.log import redact_url

    return {
        "enabled": camera.enabled,
        "input": redact_url(camera.pipeline or camera.inputs[0].path),
        "backend": "gstreamer" if camera.pipeline else camera.backend,
        "fps": camera.detect.fps,
        "start": camera.start.isoformat().replace("+00:00", "Z") if camera.start else None,
        "privacy_areas": len(camera.privacy),
        "zones": list(camera.zones),
    }


def _print_plan(path: Path, settings: Settings) -> None:
    from reid_pipeline.configs.log import redact_url

    rows = []
    for name, camera in settings.cameras.items():
        plan = _camera_plan(camera)
        rows.append(
            (
                name if camera.enabled else f"{name} (disabled)",
                str(plan["input"]),
                str(plan["backend"]),
                "all of a file, 5 of a stream" if camera.detect.fps is None else f"{camera.detect.fps:g}",
                str(plan["start"] or "start of the run"),
                str(plan["privacy_areas"]),
                ", ".join(camera.zones),
            )
        )
    print_table(("camera", "input", "backend", "frames a second", "start", "blanked", "zones"), rows)
    written = [name for name, wanted in settings.outputs if wanted]
    print(f"detector  {settings.detector.model}, from confidence {settings.detector.min_confidence:g}")
    print(f"encoder   {settings.encoder.model}")
    kept = ["crops" if settings.site.database else "database, crops", *written]
    print(f"data      {settings.site.data_dir}: {', '.join(kept)}")
    if settings.site.database:
        print(f"database  {redact_url(settings.site.database)}")
    print(f"{path} is valid.")


def _print_findings(findings: Sequence[Finding]) -> None:
    print_table(("", "what", "found"), [("yes" if each.ok else "no", each.name, each.detail) for each in findings])
    for finding in findings:
        if finding.remedy:
            print(f"{finding.name}: {finding.remedy}")
