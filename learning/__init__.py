"""Training: networks learnt from stronger ones, written as models that the pipeline runs.

It only trains, imports and exports; what runs the models is in `reid_pipeline.pipeline`. Read in this order: `recipe`
(what a model is made from), `train_recipe` (from a recipe to a model), `trainer` (the loop that all trainings share).

    what is learnt from    pictures, crop_pool, virtual_views
    networks               detector_network, encoder_network, pixels, osnet, backbones
    how it is learnt       trainer, distil_detector, distil_encoder
    models out and in      export, graph_weights, checkpoint_import, checkpoint_file
    recipes                recipe, train_recipe, calibration
    commands               cli_train
    faults                 errors
"""
