"""Where models are found by name, and how a new one gets its place.

Three folders hold a model folder each by name: that of the site (models adapted to it), that of the user (pulled and
imported ones) and that of the package (bundled ones). The first that has a name wins.
"""

from __future__ import annotations

import difflib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.model_card import Model, load_model, models_folder

BUNDLED: Final = ("bundled", "bundled-detector", "bundled-open", "site-zero")  # names that an installation brings along
SITE_MODELS: Final = "models"  # folder in data_dir

_HIDDEN: Final = "."  # folders that are not finished start with it
_NAME_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")

Place = Literal["site", "home", "bundled"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A folder in the registry: its model, or why it cannot be used."""

    name: str
    place: Place
    folder: Path
    model: Model | None
    error: str | None = None

    @property
    def size_bytes(self) -> int:
        """Bytes of all files in the folder."""
        return sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())


class ModelRegistry:
    """Models by name.

    Args:
        data_dir: The folder of a site; None where there is none.
        home: Where pulled and imported models are; by default `models_folder`.
        bundled: Where those of the installation are; by default in this package.
    """

    def __init__(self, data_dir: Path | None = None, *, home: Path | None = None, bundled: Path | None = None) -> None:
        self.home = home or models_folder()
        site: list[tuple[Place, Path]] = [("site", data_dir / SITE_MODELS)] if data_dir else []
        self.places = (*site, ("home", self.home), ("bundled", bundled or bundled_folder()))

    def find(self, model: str) -> Path:
        """Finds a model by its path or its name; what is found may still be broken.

        Raises:
            ModelError: There is none; the line names similar ones and says how to get it.
        """
        if Path(model).exists():
            return Path(model)
        folder = self.find_name(model)
        if folder is None:
            raise ModelError(self._advice(model))
        return folder

    def find_name(self, name: str) -> Path | None:
        """The folder of a name, None where there is no such name."""
        if not is_model_name(name):
            return None
        return next((folder / name for _, folder in self.places if (folder / name).is_dir()), None)

    def entries(self) -> list[Entry]:
        """Every folder in the registry, by place and name, broken ones too."""
        return [
            _entry(place, path)
            for place, folder in self.places
            if folder.is_dir()
            for path in sorted(folder.iterdir())
            if path.is_dir() and not path.name.startswith(_HIDDEN)
        ]

    def find_hash(self, model_hash: str) -> Entry | None:
        """The entry of a model's hash, None where there is none."""
        return next((entry for entry in self.entries() if entry.model and entry.model.identity == model_hash), None)

    @contextmanager
    def adding(self, name: str) -> Iterator[Path]:
        """Yields an empty folder that becomes the model ``name`` of the user when the block ends without an error.

        Raises:
            ModelError: The name cannot be one, or is taken.
        """
        self.check_free(name)
        work = Path(tempfile.mkdtemp(prefix=f"{_HIDDEN}{name}-", dir=self.home))
        try:
            yield work
            self.install(work, name)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def check_free(self, name: str) -> None:
        """Makes sure that ``name`` can be given to a new model of the user, and that there is a folder for it.

        Raises:
            ModelError: The name cannot be one, or is taken.
        """
        if not is_model_name(name):
            raise ModelError(f"{name!r}: not a name for a model: expected letters, digits, '.', '_' and '-'")
        if name in BUNDLED:
            raise ModelError(f"{name}: the name of a bundled model: choose another with --name")
        if (self.home / name).exists():
            raise ModelError(f"{self.home / name}: exists: choose another name with --name, or remove that folder")
        try:
            self.home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ModelError(
                f"{self.home}: cannot be made, {error.strerror}: set REID_HOME to another folder"
            ) from error

    def install(self, work: Path, name: str) -> Path:
        """Moves a finished folder, which must be on the same disk, to its place in one step."""
        work.chmod(0o755)  # mkdtemp keeps other users out
        return work.rename(self.home / name)

    def _advice(self, model: str) -> str:
        if model in BUNDLED:
            return (
                f"{model}: missing from this installation: install reid-pipeline anew, or name another model "
                "(reid-pipeline model list)"
            )
        names = {entry.name for _, folder in self.places if folder.is_dir() for entry in folder.iterdir()}
        close = difflib.get_close_matches(model, sorted(names | set(BUNDLED)), n=3)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        folders = ", ".join(str(folder) for place, folder in self.places if place != "bundled")
        return (
            f"{model}: no such file or folder, and no model of this name in {folders}: {hint}"
            "`reid-pipeline model list` shows all, `model pull` and `model import` add one"
        )


def bundled_folder() -> Path:
    """Where the models that come with the package are."""
    return Path(__file__).parent / "bundled"


def is_model_name(name: str) -> bool:
    """Whether a text can be the name of a model: one plain folder name.

    Example:
        >>> is_model_name("osnet_x0.25"), is_model_name("../osnet"), is_model_name(".part")
        (True, False, False)
    """
    return 0 < len(name) <= 128 and not name.startswith(_HIDDEN) and _NAME_CHARACTERS.issuperset(name)


def _entry(place: Place, folder: Path) -> Entry:
    try:
        return Entry(folder.name, place, folder, load_model(folder))
    except (ModelError, OSError) as error:
        return Entry(folder.name, place, folder, None, " ".join(str(error).split()))
