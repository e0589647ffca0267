"""Cameras to identities: everything that happens to a frame, and the commands that start it.

Read in this order: `datatypes` (the values and their conventions), `protocols` (the swappable parts), `runner` (the
loop that joins them), `run_command` (what builds them from cameras.yaml).

    frames in      sources, source_ffmpeg, source_gstreamer, source_images, feed, sampling, capture_time, truncation,
                   privacy
    detection      models, runtime, detector, detector_heads, rectangular, ultralytics_export
    tracking       tracker, motion, matching, appearance
    identity       views, encoder, camera_analysis, association
    results out    journal, events, tracks, video, summary, monitor, progress
    scores         evaluate, mot_format, tracking_sequence, box_overlap, metrics_tracking, metrics_retrieval,
                   metrics_detection
    commands       cli, cli_output, cli_run, cli_eval, cli_site, run_command, doctor, doctor_probes
    speed          bench, bench_live, bench_floor, bench_boxmot, bench_rtsp_server
    faults         errors
"""

import sys

# `import openvino` reports to its maker over the network unless this module is missing. Nothing here phones home, so
# it is made to look missing before any module of this package can import OpenVINO.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # None is how Python marks a blocked import
