"""Which engine serves a model: those that agree with the reference are measured once, and the answer is remembered.

What was found is kept in the cache folder, keyed by all that it depends on: the model's hash, the input's size, the
device, and the versions of the runtimes. With it a start costs one small file. On a processor the time that counts is
what one request takes of it, so neither the number of processors nor the load of the machine changes the choice; and
since the choice is kept, the same files give the same bytes from run to run.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from reid_pipeline.pipeline.datatypes import Image
from reid_pipeline.pipeline.parity import Trial, Verdict
from reid_pipeline.pipeline.runtime import Array, Engine, Pixels, Runtime, Size, cache_folder, processors
from reid_pipeline.pipeline.runtime_engines import (
    Graph,
    build_runtime,
    check_wanted,
    device_name,
    engines_for,
    is_slow_to_build,
    library_version,
    reference_engines,
)
from reid_pipeline.pipeline.runtime_serving import ServingRuntime
from reid_pipeline.storage.errors import ModelError

logger = logging.getLogger(__name__)

WORTH_CHANGING: Final = 0.9  # an engine passes a preferred one where it takes less than this part of its time
_ROUNDS: Final = 3
_ROUND_S: Final = 0.05  # a round takes new pictures for so long, and two at least
_FORMAT: Final = 1  # of what is remembered; also raised when the gate's pictures or tolerances change


@dataclass(frozen=True, slots=True, eq=False)
class RuntimeOptions:
    """What the user says about how a model is computed.

    Attributes:
        runtime: The name of a runtime, or ``auto`` for the fastest that agrees with the reference.
        trust: Whether a torch program, which can run any code, may be loaded.
        pictures: What the gate looks at, ``(H, W, 3) uint8`` BGR: the site's own crops or frames; None: those shipped.
    """

    runtime: str = "auto"
    trust: bool = False
    pictures: Sequence[Image] | None = None


AUTO: Final = RuntimeOptions()


@dataclass(frozen=True, slots=True)
class Tried:
    """One engine that might have served.

    Attributes:
        engine: What computes.
        agrees: Whether it passed the gate.
        reason: The gate's words, or why it could not be built.
        image_s: Seconds for an image with all processors at work; None where it was not measured.
    """

    engine: Engine
    agrees: bool
    reason: str
    image_s: float | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """Which engine serves a model at one input size, and what else was tried."""

    model: str
    model_hash: str
    size: Size
    engine: Engine
    tried: tuple[Tried, ...]

    def __str__(self) -> str:
        others = "; ".join(_describe(each) for each in self.tried)
        return f"{self.engine} ({others})" if others else str(self.engine)


_CHOICE: Final = TypeAdapter(Choice)


def choose_runtime(graph: Graph, make_trial: Callable[[], Trial], wanted: str = "auto") -> Runtime:
    """Builds the engine that serves a graph.

    No engine serves before it agrees with the reference on the trial's pictures. Where none does, the reference serves,
    and the log says so.

    Args:
        graph: The graph at one size.
        make_trial: Gives pictures of that size, and how answers are compared; called where nothing is remembered.
        wanted: The name of a runtime, or ``auto`` for the fastest.

    Raises:
        ModelError: No runtime, or not the one that is wanted, can compute the graph here.
    """
    check_wanted(wanted, graph)
    path = _path(graph, wanted)
    known = _recall(path)
    if known is not None and not is_slow_to_build(graph, known.engine):
        try:
            return build_runtime(graph, known.engine)
        except ModelError as error:
            logger.warning("%s: %s no longer works (%s): choosing anew", graph.model.name, known.engine, error)
    return _decide(_Contest(graph, make_trial(), wanted), path)


def remembered_choices() -> list[Choice]:
    """All choices of this machine's cache, by model name; those of former versions among them."""
    found = [_recall(path) for path in sorted((cache_folder() / "runtimes").glob("*.json"))]
    return sorted((each for each in found if each is not None), key=lambda each: (each.model, each.size))


def _decide(contest: _Contest, path: Path) -> Runtime:
    groups = engines_for(contest.graph, contest.wanted)
    slow = [engine for group in groups for engine in group if is_slow_to_build(contest.graph, engine)]
    for group in groups:
        contest.enter([engine for engine in group if engine not in slow])
    if not slow:
        winner = contest.winner()
        _remember(path, contest.choice(winner))
        return contest.runtime(winner)
    winner = contest.winner() if contest.passed else contest.fallback()
    return ServingRuntime(contest.runtime(winner), partial(_challenge, contest, slow, winner, path))


def _challenge(contest: _Contest, slow: Sequence[Engine], current: Engine, path: Path) -> Runtime | None:
    """Builds slow engines and enters them; the winner where it is another than the current one."""
    contest.enter(slow)
    winner = contest.winner()
    _remember(path, contest.choice(winner))
    return None if winner == current else contest.runtime(winner)


class _Contest:
    """Engines for one graph: built once each, judged, and measured where several pass."""

    def __init__(self, graph: Graph, trial: Trial, wanted: str) -> None:
        self.graph = graph
        self.wanted = wanted
        self.passed: list[Engine] = []
        self._trial = trial
        self._runtimes: dict[Engine, Runtime] = {}
        self._answers: dict[Engine, list[Array]] = {}
        self._tried: dict[Engine, Tried] = {}
        self._reference: Engine | None = None

    def runtime(self, engine: Engine) -> Runtime:
        """The engine, built where it is not yet."""
        if engine not in self._runtimes:
            self._runtimes[engine] = build_runtime(self.graph, engine)
        return self._runtimes[engine]

    def enter(self, group: Sequence[Engine]) -> None:
        """Lets the first engine of a group that can be built and agrees take part."""
        for engine in group:
            try:
                self.runtime(engine)
            except ModelError as error:
                self._tried[engine] = Tried(engine, False, str(error))
                logger.debug("%s: without %s: %s", self.graph.model.name, engine, error)
                continue
            verdict = self._judge(engine)
            self._tried[engine] = Tried(engine, verdict.agrees, str(verdict))
            if verdict.agrees:
                self.passed.append(engine)
                return
            logger.warning("%s: %s is refused: %s", self.graph.model.name, engine, verdict)

    def winner(self) -> Engine:
        """The engine that is to serve: of those that passed the fastest, the preferred one where it is close.

        Raises:
            ModelError: None could be built.
        """
        if not self.passed:
            return self.fallback()
        best = self.passed[0]
        for engine in self.passed if len(self.passed) > 1 else ():
            self._measure(engine)
            if self._cost(engine) < WORTH_CHANGING * self._cost(best):
                best = engine
        logger.debug("%s: %s serves", self.graph.model.name, self.choice(best))
        return best

    def fallback(self) -> Engine:
        """The reference, where nothing that is wanted passed.

        Raises:
            ModelError: Nothing could be built at all; the first reason.
        """
        built = self._reference_for() if self._runtimes or not self._tried else None
        if built is None:
            raise ModelError(next(iter(self._tried.values())).reason)
        logger.warning("%s: %s serves in place of what is refused", self.graph.model.name, built)
        return built

    def choice(self, engine: Engine) -> Choice:
        """The choice of an engine, to be remembered."""
        graph = self.graph
        return Choice(graph.model.name, graph.model_hash, graph.size, engine, tuple(self._tried.values()))

    def _judge(self, engine: Engine) -> Verdict:
        reference = self._reference_for()
        if reference is None or reference == engine:  # itself, or there is nothing to compare it with
            return Verdict(True)
        return self._trial.judge(self._answer(reference), self._answer(engine), engine.precision)

    def _reference_for(self) -> Engine | None:
        """The first reference that can be built; found once."""
        for engine in () if self._reference else reference_engines(self.graph, self.wanted):
            try:
                self.runtime(engine)
            except ModelError:
                continue
            self._reference = engine
            break
        return self._reference

    def _answer(self, engine: Engine) -> list[Array]:
        if engine not in self._answers:
            pending = [self.runtime(engine).start(pixels) for pixels in self._trial.inputs]
            self._answers[engine] = [answer.result() for answer in pending]
        return self._answers[engine]

    def _measure(self, engine: Engine) -> None:
        tried = self._tried[engine]
        if tried.image_s is None:
            image_s = measure(self.runtime(engine), self._trial.inputs)
            self._tried[engine] = Tried(engine, tried.agrees, tried.reason, image_s)

    def _cost(self, engine: Engine) -> float:
        return self._tried[engine].image_s or float("inf")


def measure(runtime: Runtime, inputs: Sequence[Pixels]) -> float:
    """Seconds for an image with the whole device at work; the best of some rounds, about 0.2 s in all."""
    time_round = _processor_round if runtime.engine.device == "cpu" else _device_round
    return min(time_round(runtime, inputs) for _ in range(_ROUNDS))


def _processor_round(runtime: Runtime, inputs: Sequence[Pixels]) -> float:
    """One request at a time. Its time by the clock and that of the process are both too long when others are busy."""
    begin_s, begin_process_s, done = time.perf_counter(), time.process_time(), 0
    while done < 2 or time.perf_counter() - begin_s < _ROUND_S:
        runtime.start(inputs[done % len(inputs)]).result()
        done += 1
    request_s = min(time.perf_counter() - begin_s, time.process_time() - begin_process_s) / done
    return request_s / processors()


def _device_round(runtime: Runtime, inputs: Sequence[Pixels]) -> float:
    """As many requests as it takes at once."""
    begin_s = time.perf_counter()
    pending = [runtime.start(inputs[index % len(inputs)]) for index in range(2 * runtime.capacity)]
    for answer in pending:
        answer.result()
    return (time.perf_counter() - begin_s) / len(pending)


def _describe(tried: Tried) -> str:
    if tried.image_s is not None:
        return f"{tried.engine} {tried.image_s * 1000:.2f} ms an image"
    return f"{tried.engine} {tried.reason}"


def _path(graph: Graph, wanted: str) -> Path:
    engines = {engine for group in engines_for(graph, wanted) for engine in group}
    engines |= set(reference_engines(graph, wanted))
    known = sorted((str(each), library_version(each.runtime), device_name(each)) for each in engines)
    key = (_FORMAT, graph.model_hash, graph.size, wanted, known)
    return cache_folder() / "runtimes" / f"{hashlib.sha256(repr(key).encode()).hexdigest()[:32]}.json"


def _recall(path: Path) -> Choice | None:
    try:
        return _CHOICE.validate_json(path.read_bytes())
    except (OSError, ValidationError):  # none yet, or not ours: it is measured again
        return None


def _remember(path: Path, choice: Choice) -> None:
    """Writes the choice whole; where the cache cannot be written it is measured again next time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(_CHOICE.dump_json(choice, indent=1))
        Path(temporary).replace(path)
    except OSError as error:
        logger.warning("%s: cannot be written (%s): %s is measured again next time", path, error.strerror, choice.model)
