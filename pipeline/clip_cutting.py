"""Stretches of footage cut out of clips, as MP4 files that any player opens; nothing is encoded anew.

A cut begins at the last key frame before what is wanted. Where a camera was away, or sent something else, another file
begins. A picture's capture time is that of the file's first picture and its stamp together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Final

import av
from av.video.frame import PictureType
from av.video.stream import VideoStream

from reid_pipeline.pipeline.capture_time import SECOND_US
from reid_pipeline.pipeline.clip_writer import mux, open_clip, packets_of
from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.events import iso_time
from reid_pipeline.pipeline.journey import MANIFEST, digest_of, prepare_folder, to_json
from reid_pipeline.pipeline.packet_times import Packet, SteadyStamps, in_us
from reid_pipeline.pipeline.site_data import SiteData
from reid_pipeline.storage.audit_log import Action, AuditLog
from reid_pipeline.storage.clips import ClipRecord, Clips
from reid_pipeline.storage.errors import ClipError
from reid_pipeline.storage.journeys import JourneyRecord, JourneyTracklet
from reid_pipeline.storage.permissions import Permission

MARGIN_US: Final = 2_000_000
"""What is shown before and after a sighting: people are in view before they are found and after they are lost."""

_GAP_US: Final = 10_000_000  # beyond it another file begins
_PART: Final = ".part"
_FAST_START: Final = {"movflags": "+faststart"}  # plays while it is loaded
_TICKS: Final = Fraction(1, 90_000)  # where a clip does not say


@dataclass(frozen=True, slots=True)
class Span:
    """What a camera saw with ``since_us <= time < until_us``; `tracklet` names the files where it is around one."""

    camera: str
    since_us: int
    until_us: int

    tracklet: int | None = None

    @classmethod
    def around(cls, camera: str, number: int, first_us: int, last_us: int) -> Span:
        """A sighting with what comes before and after it."""
        return cls(camera, first_us - MARGIN_US, last_us + MARGIN_US + 1, number)

    @property
    def name(self) -> str:
        """How its files begin."""
        return self.camera if self.tracklet is None else f"{self.camera}-{self.tracklet}"


@dataclass(frozen=True, slots=True)
class Cut:
    """A file that was cut out, and the capture times of its first and last picture."""

    path: Path
    camera: str
    first_us: int
    last_us: int


def cut_clips(clips: Clips, span: Span, folder: Path) -> list[Cut]:
    """Cuts out what there is of a span.

    Args:
        clips: Of the site, for who asks: nothing where the camera may not be seen.
        span: Which camera, from when to when.
        folder: Where the files go, named by camera and time; made where it is missing.

    Returns:
        The files in order of time.
    """
    found = clips.between(span.camera, span.since_us, span.until_us)
    pieces: list[_Piece] = []
    for clip in found:
        with suppress(ClipError):  # its time was up meanwhile
            _add_clip(clips, clip, span, folder, pieces)
    return [piece.finish() for piece in pieces]


def cut_sighting(clips: Clips, camera: str, number: int, folder: Path) -> Cut | None:
    """One file that shows a tracklet with a margin, the longest of several; None where there is no footage of it.

    It is H.264, which every browser plays: encoded anew only where the camera sends something else.

    Raises:
        UnknownRecord: There is no such tracklet, or its camera may not be seen.
    """
    cuts = cut_clips(clips, Span.around(camera, number, *clips.span_of(camera, number)), folder)
    longest = max(cuts, key=lambda cut: cut.last_us - cut.first_us, default=None)
    for cut in cuts:
        if cut is not longest:
            cut.path.unlink()
    if longest is not None:
        _ensure_h264(longest.path)
    return longest


def export_clips(
    site: SiteData, spans: Sequence[Span], folder: Path, reason: str = "", identity: int | None = None
) -> list[Cut]:
    """Cuts out spans, with a manifest of SHA-256 digests and an entry in the audit log.

    Args:
        site: For who asks.
        spans: What is wanted.
        folder: New or empty.
        reason: Why, for the log.
        identity: Whom the spans show, where they were chosen so.

    Raises:
        NotAllowed: They may not.
        InputError: The folder holds something, or cannot be written; or there is no footage.
    """
    site.access.require(Permission.EXPORT)
    clips = Clips(site.database, site.access)
    if not any(clips.between(span.camera, span.since_us, span.until_us) for span in spans):
        raise InputError("there is no footage of that time: see `reid-pipeline record` and retention.clips")
    prepare_folder(folder)
    subject: dict[str, object] = {"clips": spans_for_log(spans), "folder": str(folder.resolve())}
    if identity is not None:
        subject["identity"] = identity
    AuditLog(site.database).note(site.access.name, Action.EXPORT, reason, subject)
    cuts = [cut for span in spans for cut in cut_clips(clips, span, folder)]
    manifest = {
        "site": site.name,
        "exported_at": iso_time(round(datetime.now(UTC).timestamp() * 1_000_000)),
        "program": f"reid-pipeline {version('reid-pipeline')}",
        "clips": [cut_fields(cut) for cut in cuts],
        "files": {cut.path.name: digest_of(cut.path) for cut in cuts},
    }
    (folder / MANIFEST).write_bytes(to_json(manifest))
    return cuts


def spans_for_log(spans: Sequence[Span]) -> list[list[object]]:
    """Spans as an entry of the audit log names them, so that an erasure finds what was exported of them."""
    return [[span.camera, span.since_us, span.until_us] for span in spans]


def cut_fields(cut: Cut) -> dict[str, object]:
    """A cut as JSON."""
    return {
        "file": cut.path.name,
        "camera": cut.camera,
        "first": iso_time(cut.first_us),
        "last": iso_time(cut.last_us),
    }


class SiteFootage:
    """The footage of the journeys of a site, for who asks; see `journey.Footage`."""

    def __init__(self, clips: Clips) -> None:
        self._clips = clips

    def spans(self, journey: JourneyRecord) -> list[Span]:
        """Around those tracklets that there is footage of."""
        spans = [_span_of(tracklet) for tracklet in journey.tracklets]
        return [span for span in spans if self._clips.between(span.camera, span.since_us, span.until_us)]

    def cut(self, tracklet: JourneyTracklet, folder: Path) -> list[Cut]:
        """Writes what there is of a tracklet."""
        return cut_clips(self._clips, _span_of(tracklet), folder)


def _span_of(tracklet: JourneyTracklet) -> Span:
    return Span.around(tracklet.camera, tracklet.number, tracklet.first_us, tracklet.last_us)


class _Piece:
    """A file that is being cut out."""

    def __init__(self, folder: Path, span: Span, first_us: int, template: VideoStream) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.camera = span.camera
        self.first_us = self.last_us = first_us
        self._time_base = template.time_base or _TICKS
        self._looks = _looks_of(template)
        self._steady = SteadyStamps(self._time_base)
        name = datetime.fromtimestamp(first_us / 1e6, UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3]
        self._path = folder / f"{span.name}-{name}Z.mp4"
        self._part = self._path.with_suffix(_PART)
        self._container = av.open(str(self._part), "w", format="mp4", options=_FAST_START)
        self._stream = self._container.add_stream_from_template(template)
        self._stream.time_base = self._time_base

    def takes(self, clip: ClipRecord, stream: VideoStream) -> bool:
        """Whether another clip goes on where this file ends."""
        return clip.first_us - self.last_us <= _GAP_US and _looks_of(stream) == self._looks

    def add(self, packet: Packet, time_us: int) -> None:
        """Adds the picture of a capture time."""
        shown = round(Fraction(time_us - self.first_us, SECOND_US) / self._time_base)
        ahead = (packet.pts or 0) - (packet.dts if packet.dts is not None else packet.pts or 0)
        stamps = self._steady.stamp(shown, shown - ahead)
        mux(self._container, self._stream, packet, (*stamps, self._time_base))
        self.last_us = max(self.last_us, time_us)

    def finish(self) -> Cut:
        """Ends the file."""
        self._container.close()
        self._part.replace(self._path)
        return Cut(self._path, self.camera, self.first_us, self.last_us)


def _ensure_h264(path: Path) -> None:
    part = path.with_suffix(_PART)
    with av.open(str(path)) as old:
        source = old.streams.video[0]
        if source.codec_context.name == "h264":
            return
        with av.open(str(part), "w", format="mp4", options=_FAST_START) as new:
            encoder = new.add_stream("libx264", rate=source.average_rate, options={"preset": "veryfast"})
            encoder.width, encoder.height = source.width // 2 * 2, source.height // 2 * 2  # half the points of colour
            encoder.pix_fmt, encoder.codec_context.time_base = "yuv420p", source.time_base or _TICKS
            for picture in old.decode(source):
                scaled = picture.reformat(encoder.width, encoder.height, "yuv420p")
                scaled.pict_type = PictureType.NONE
                new.mux(encoder.encode(scaled))
            new.mux(encoder.encode())
    part.replace(path)


def _add_clip(clips: Clips, clip: ClipRecord, span: Span, folder: Path, pieces: list[_Piece]) -> None:
    """Adds what a clip has of a span to the last piece, or to a new one."""
    begin = _key_frame_before(clips, clip, span.since_us)
    with open_clip(clips.open(clip)) as (container, stream):
        for position, (packet, time_us, decoded_us) in enumerate(_timed(clip, packets_of(container, stream))):
            if decoded_us >= span.until_us:
                return
            if position < begin:
                continue
            if position == begin and not (pieces and pieces[-1].takes(clip, stream)):
                pieces.append(_Piece(folder, span, time_us, stream))
            pieces[-1].add(packet, time_us)


def _key_frame_before(clips: Clips, clip: ClipRecord, since_us: int) -> int:
    """Which picture of a clip is the last key frame not after a time; the first one where none is."""
    with open_clip(clips.open(clip)) as (container, stream):
        found = enumerate(_timed(clip, packets_of(container, stream)))
        return max((at for at, (packet, time_us, _) in found if packet.is_keyframe and time_us <= since_us), default=0)


def _timed(clip: ClipRecord, packets: Iterator[Packet]) -> Iterator[tuple[Packet, int, int]]:
    """The pictures of a clip with their capture times, and the same of when they are decoded."""
    first: int | None = None
    for packet in packets:
        shown, base = packet.pts or 0, packet.time_base or _TICKS
        first = shown if first is None else first
        decoded = shown if packet.dts is None else packet.dts
        yield packet, clip.first_us + in_us(shown - first, base), clip.first_us + in_us(decoded - first, base)


def _looks_of(stream: VideoStream) -> tuple[object, ...]:
    """What the pictures of one file have in common."""
    codec = stream.codec_context
    return codec.name, codec.width, codec.height, codec.extradata, stream.time_base
