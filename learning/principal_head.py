"""A head for a backbone that was learnt without one: its features turned to their principal directions."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from reid_pipeline.learning.encoder_network import EncoderNetwork
from reid_pipeline.learning.errors import TrainingError

_EPSILON: Final = 1e-5  # of PyTorch's batch norms


@torch.no_grad()
def fit_principal_head(encoder: EncoderNetwork, features: Tensor) -> None:
    """Makes the embedding the centred features, turned to the directions in which they differ most.

    Similarities of embeddings are then those of the centred features, as nearly as so many numbers can tell. The
    head's batch norm gives each direction back the spread that it takes from it, so the embedding stays the same when
    training begins.

    Args:
        encoder: Its head is given new weights.
        features: ``(N, width)`` of many crops by its backbone.

    Raises:
        TrainingError: There are fewer features, or fewer crops, than the embedding is long.

    Source: principal component analysis, Pearson 1901.
    """
    dim = encoder.dim
    if dim > min(features.shape):
        raise TrainingError(
            f"network.dim: {dim}: expected at most {min(features.shape)}, the lesser of the crops and of the features"
        )
    linear, norm = encoder.head
    means = features.double().mean(0)
    _, _, directions = torch.linalg.svd(features.double() - means, full_matrices=False)
    turned = (features.double() - means) @ directions[:dim].T
    variances = turned.var(0, unbiased=False)
    linear.weight.copy_(directions[:dim])
    norm.running_mean.copy_(directions[:dim] @ means)
    norm.running_var.copy_(variances)
    norm.weight.copy_((variances + _EPSILON).sqrt())
    nn.init.zeros_(norm.bias)
