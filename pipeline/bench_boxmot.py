"""The peer: what a user of Ultralytics and BoxMOT writes for one video. Runs in an environment of its own.

Run as `python bench_boxmot.py VIDEO DETECTOR ENCODER.onnx FRAMES`: prints frames per second, the first ten left out.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import cv2
import numpy as np

SKIPPED = 10  # frames that still warm up


def main(video: str, detector: str, encoder: str, frames: int) -> None:
    """Detects and tracks the first frames of a video, one after another, and prints the rate."""
    from boxmot import BotSort
    from ultralytics import YOLO

    model = YOLO(detector, task="detect")
    tracker = BotSort(reid_weights=Path(encoder), device="cpu", half=False, use_cmc=False)
    capture = cv2.VideoCapture(video)
    started, done = 0.0, 0
    while done < frames:
        ok, frame = capture.read()
        if not ok:
            break
        found = model.predict(frame, conf=0.1, classes=[0], verbose=False, device="cpu")[0].boxes
        columns = (found.xyxy.numpy(), found.conf.numpy()[:, None], found.cls.numpy()[:, None])
        tracker.update(np.concatenate(columns, axis=1) if len(found) else np.empty((0, 6)), frame)
        done += 1
        if done == SKIPPED:
            started = time.perf_counter()
    sys.stdout.write(f"{(done - SKIPPED) / (time.perf_counter() - started):.2f}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
