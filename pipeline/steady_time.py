"""Capture times that never go back in one camera, whatever its clock does."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from reid_pipeline.pipeline.protocols import TrackletUpdate


@dataclass(slots=True)
class SteadyTime:
    """Lets a camera's time go on from where it was when its clock is set back, until the clock is right again.

    Times of two cameras are left as they are to each other, and so is a clock that leaps forward: nothing tells that
    from a camera that was off.
    """

    _last_us: dict[str, int] = field(default_factory=dict)
    _lag_us: dict[str, int] = field(default_factory=dict)

    def steady(self, update: TrackletUpdate) -> TrackletUpdate:
        """The update with all times in it as late as need be."""
        camera, last_us = update.camera, self._last_us.get(update.camera, update.time_us)
        lag_us = 0
        if update.time_us < last_us:
            lag_us = max(self._lag_us.get(camera, 0), last_us - update.time_us)
        self._lag_us[camera] = lag_us
        self._last_us[camera] = update.time_us + lag_us
        if not lag_us:
            return update
        feet = tuple(replace(each, times_us=each.times_us + lag_us) for each in update.feet)
        began_us = {number: time_us + lag_us for number, time_us in update.began_us.items()}
        left = {number: (frame, time_us + lag_us) for number, (frame, time_us) in update.left.items()}
        return replace(update, time_us=update.time_us + lag_us, feet=feet, began_us=began_us, left=left)
