"""Training: networks learnt from stronger ones, written as models that the pipeline runs.

It only trains, imports and exports; what runs the models is in `reid_pipeline.pipeline`. Read in this order: `recipe`
(what a model is made from), `train_recipe` (from a recipe to a model), `trainer` (the loop that all trainings share).

    what is learnt from    pictures, crop_pool, virtual_views
    networks               detector_network, encoder_network, pixels, osnet, backbones
    how it is learnt       trainer, distil_detector, distil_encoder
    without labels         moco, moco_task, augment, pretrain, pretrain_note, principal_head
    the loop               sgd_plan, depthwise, distributed, event_file
    on a site's crops      material, material_reader, part_network, memory, adapt_site, adapt_scl, adapt, adapt_command
    who is who there       jaccard, pseudo_labels, camera_proxies, selective
    better or not          label_free, gate
    every night            nightly, night_pretraining, night_service; run_record and code_version for all learning
    its report             night_report, night_page, night_pictures
    speed                  bench_learning, bench_clustering, cluster_contrast
    models out and in      export, graph_weights, checkpoint_import, checkpoint_file
    recipes                recipe, train_recipe, pretrain_recipe, calibration
    commands               cli_train, cli_pretrain, cli_adapt, cli_nightly, cli_bench
    faults                 errors
"""
