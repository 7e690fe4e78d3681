"""Adaptive instance normalization: features of one picture with the statistics of another (Huang & Belongie, 2017).

Shapes: b pictures, c channels, h w the height and width of the features.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

EPSILON = 1e-5  # is added to the variance, as in the published code


class Statistics(NamedTuple):
    """Mean and standard deviation of each channel of a picture's features, both (b, c, 1, 1) float32."""

    mean: Tensor
    deviation: Tensor


def channel_statistics(features: Tensor) -> Statistics:
    """Return the statistics of features (b, c, h, w) over their places, of which there must be two or more.

    The variance is the unbiased one.
    """
    places = features.float().flatten(2)
    deviation = (places.var(dim=2) + EPSILON).sqrt()
    return Statistics(places.mean(dim=2)[..., None, None], deviation[..., None, None])


def adain(content: Tensor, style: Statistics, alpha: float = 1.0) -> Tensor:
    """Give features the statistics of a style (equation 8 of the paper), and blend them with what they were.

    Args:
        content: (b, c, h, w) features of photos.
        style: the statistics of a style for each photo, or of one for all.
        alpha: share of the result, from 0 (the content itself) to 1 (equation 14).

    Returns:
        (b, c, h, w) of the type of `content`.
    """
    own = channel_statistics(content)
    styled = (content.float() - own.mean) / own.deviation * style.deviation + style.mean
    return (alpha * styled + (1 - alpha) * content.float()).to(content.dtype)
