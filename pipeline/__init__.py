"""Cameras to identities: everything that happens to a frame, and the commands that start it.

Read in this order: `datatypes` (the values and their conventions), `protocols` (the swappable parts), `runner` (the
loop that joins them), `run_command` (what builds them from cameras.yaml).

    frames in      sources, source_ffmpeg, source_gstreamer, source_images, feed, sampling, capture_time, truncation,
                   privacy
    models         model_names, models, serving, model_check, model_import, model_export, encoder_watch, reembed
    detection      detector, detector_heads, rectangular, ultralytics_export
    runtimes       runtime, runtime_openvino, runtime_onnx, runtime_torch, runtime_tensorrt, runtime_requests,
                   runtime_engines, runtime_choice, runtime_serving, parity, parity_pictures, onnx_half, int8
    tracking       clutter, tracker, tracker_settings, crossings, beginnings, box_runs, motion, matching, appearance
    identity       head_blur, views, encoder, camera_analysis, associator_factory, association, gallery, gallery_shelf,
                   byte_codes, strangers, identity_book; over all tracklets two_pass, sightings, steady_time,
                   likeness, transit, ground, meetings, given_floor, spots, clustering, regrouping
    replay         replay, replay_reid, replay_journeys, replay_scores, replay_site, reliability, reliability_plot
    for people     site_data, journey, journey_page, access, search, searcher, search_query, search_picture,
                   search_models, search_candidates, reranking, tracklet_looks, calibration, joining,
                   recent_events
    footage        recorder, packet_times, clip_writer, clip_cutting, record_command
    upkeep         upkeep
    corpus         corpus_collector, corpus_import, corpus_video, corpus_export, corpus_plot
    erasure        erasure_words
    watch lists    lookout, watch_examples, cli_watch
    results out    journal, events, run_events, outlets, outlet, mqtt_delivery, webhook_delivery,
                   zones, tracks, video, summary, monitor, progress, live_view, live_socket, live_state
    scores         evaluate, mot_format, tracking_sequence, box_overlap, metrics_tracking, metrics_retrieval,
                   metrics_detection, image_folder, embedding_cache
    virtual site   virtual_site, virtual_scene, virtual_area, virtual_furniture, virtual_floorplan, virtual_paths,
                   virtual_look, virtual_clothes, virtual_pose, virtual_body, virtual_head, virtual_mesh,
                   virtual_surfaces, virtual_background, virtual_camera, virtual_composition, virtual_files, demo
    commands       cli, cli_output, cli_extras, cli_run, cli_eval, cli_site, cli_model, cli_simulate, cli_demo,
                   cli_replay, cli_identity, cli_journey, cli_search, cli_corpus, cli_record, cli_retention, cli_case,
                   cli_erase, cli_audit, cli_db, cli_user, run_command, stop_signals, doctor,
                   doctor_probes
    speed          bench, bench_live, bench_floor, bench_boxmot, bench_rtsp_server, bench_association,
                   bench_search, bench_pgvector
    faults         errors
"""

import sys

# `import openvino` reports to its maker over the network unless this module is missing. Nothing here phones home, so
# it is made to look missing before any module of this package can import OpenVINO.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # None is how Python marks a blocked import
