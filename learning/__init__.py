"""Training: will hold self-supervised pre-training, the nightly adaptation to a site, and its promotion gate.

Not built yet: this folder holds nothing but this page. It will only train and export encoders; what runs them is in
`reid_pipeline.pipeline`.
"""
