"""A small re-ID encoder: a backbone of timm and one linear layer."""

from __future__ import annotations

from typing import Final

import timm
from torch import Tensor, nn

from reid_pipeline.learning.crop_pool import Size
from reid_pipeline.learning.errors import TrainingError

_SIZED: Final = "vit_"


class EncoderNetwork(nn.Module):
    """Normalised crops ``(N, 3, H, W)`` to embeddings ``(N, dim)``, not yet of length one.

    Args:
        backbone: Gives pooled features ``(N, width)``.
        width: Of the features.
        dim: Of the embeddings.
    """

    def __init__(self, backbone: nn.Module, width: int, dim: int) -> None:
        super().__init__()
        self.width = width
        self.dim = dim
        self.backbone = backbone
        self.head = nn.Sequential(nn.Linear(width, dim, bias=False), nn.BatchNorm1d(dim))

    def forward(self, crops: Tensor) -> Tensor:
        """See the class."""
        embeddings: Tensor = self.head(self.backbone(crops))
        return embeddings


def build_encoder_network(
    backbone: str, dim: int, *, keep_resolution: bool = False, size: Size | None = None
) -> EncoderNetwork:
    """Builds an encoder with random weights.

    Args:
        backbone: Name of a model of timm.
        dim: Length of an embedding.
        keep_resolution: Whether to leave out the last halving of the feature map, for backbones in which one
            convolution does it, such as the MobileNets.
        size: Height and width of the input in pixels, which vision transformers are built for; the others take any.

    Raises:
        TrainingError: There is no such backbone.

    Source: leaving out the last halving after Luo et al., "Bag of Tricks and a Strong Baseline for Deep Person
    Re-identification", 2019, section 3.5.
    """
    if not timm.is_model(backbone):
        raise TrainingError(f"network.backbone: {backbone}: expected a name of timm.list_models()")
    shaped = {"img_size": size} if size is not None and backbone.startswith(_SIZED) else {}
    network = timm.create_model(backbone, pretrained=False, num_classes=0, **shaped)
    width = network.head_hidden_size
    if not isinstance(width, int):
        raise TrainingError(f"network.backbone: {backbone}: expected a model with pooled features")
    if keep_resolution:
        strided = [each for each in network.modules() if isinstance(each, nn.Conv2d) and each.stride == (2, 2)]
        strided[-1].stride = (1, 1)
    return EncoderNetwork(network, width, dim)
