"""The names of the backbone families. A family is an entry here and a module of its name in `vclr/models/`."""

from __future__ import annotations

BACKBONES: dict[str, str] = {
    "resnet": "ResNet-10 to ResNet-101 (He et al., CVPR 2016); takes ImageNet weights of detectron2 or torchvision",
    "transformers": "Swin, ConvNeXt, ViT, DINOv2 or DINOv3 of transformers (`pip install 'vclr[backbones]'`)",
}
