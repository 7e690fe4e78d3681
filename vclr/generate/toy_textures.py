"""The textures and colors of the toy world.

A pattern says for each point how much of the second of two colors it takes. Only operations that IEEE 754 rounds
correctly are used (+ - * / sqrt floor and comparisons), so the pixels are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vclr.generate.toy_shapes import draw_turn

LATTICE = 16  # side of the lattice of random numbers behind the noise patterns, which repeat after so many cells
NUM_CANDIDATES = 6  # textures drawn for a region, of which the one that stands out best is taken

# Ranges of the hue in sixths of the color circle: 0 red, 1 yellow, 2 green, 3 cyan, 4 blue, 5 magenta.
HUES: dict[str, tuple[float, float]] = {"warm": (-0.6, 0.95), "cold": (2.5, 4.5), "any": (0.0, 6.0)}

Pattern = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def _fraction(x: np.ndarray) -> np.ndarray:
    return x - np.floor(x)


def _wave(x: np.ndarray) -> np.ndarray:
    """Rise from 0 to 1 and fall back, in one unit of x."""
    return 1.0 - np.abs(2.0 * _fraction(x) - 1.0)


def _noise(x: np.ndarray, y: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    """Interpolate the (LATTICE, LATTICE) lattice smoothly; 0 to 1."""
    column, row = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    right, down = x - column, y - row
    right, down = right * right * (3.0 - 2.0 * right), down * down * (3.0 - 2.0 * down)
    column, row = column % LATTICE, row % LATTICE
    next_column, next_row = (column + 1) % LATTICE, (row + 1) % LATTICE
    upper = lattice[row, column] * (1.0 - right) + lattice[row, next_column] * right
    lower = lattice[next_row, column] * (1.0 - right) + lattice[next_row, next_column] * right
    return upper * (1.0 - down) + lower * down


def _plain(x: np.ndarray, y: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    return 0.3 * _noise(0.5 * x, 0.5 * y, lattice)


def _stripes(x: np.ndarray, y: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    return (_fraction(x) < 0.5).astype(np.float64)


def _checkerboard(x: np.ndarray, y: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    return _stripes(x, y, lattice) != _stripes(y, x, lattice)


def _dots(x: np.ndarray, y: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    right, down = _fraction(x) - 0.5, _fraction(y) - 0.5
    return right * right + down * down < 0.1


def _gradient(x: np.ndarray, y: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    return _wave(0.25 * x)


def _clouds(x: np.ndarray, y: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    return 0.65 * _noise(0.5 * x, 0.5 * y, lattice) + 0.35 * _noise(1.3 * x, 1.3 * y, lattice)


def _wood(x: np.ndarray, y: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    rings = np.sqrt(0.25 * x * x + 2.0 * y * y) + 0.8 * _noise(0.4 * x, 0.4 * y, lattice)
    return _wave(1.2 * rings)


def _zigzag(x: np.ndarray, y: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    return _fraction(y + 0.5 * _wave(0.8 * x)) < 0.5


def _bricks(x: np.ndarray, y: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    row = np.floor(1.2 * y)
    return (_fraction(1.2 * y) < 0.22) | (_fraction(0.6 * x + 0.5 * row) < 0.12)


def _plaid(x: np.ndarray, y: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    return 0.5 * _stripes(x, y, lattice) + 0.5 * _stripes(y, x, lattice)


def _facets(x: np.ndarray, y: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    return _fraction(0.8 * x) < _fraction(0.8 * y)


PATTERNS: dict[str, Pattern] = {
    "plain": _plain,
    "stripes": _stripes,
    "checkerboard": _checkerboard,
    "dots": _dots,
    "gradient": _gradient,
    "clouds": _clouds,
    "wood": _wood,
    "zigzag": _zigzag,
    "bricks": _bricks,
    "plaid": _plaid,
    "facets": _facets,
}


@dataclass(frozen=True)
class Texture:
    """A pattern in two colors, laid over the plane.

    Attributes:
        pattern: a name of `PATTERNS`.
        colors: (2, 3) int64 RGB, 0 to 255.
        period: length of the pattern in pixels.
        turn: cosine and sine of its rotation.
        origin: the pixel coordinates of its origin.
        lattice: (LATTICE, LATTICE) float64 random numbers, 0 to 1.
    """

    pattern: str
    colors: np.ndarray
    period: float
    turn: tuple[float, float]
    origin: tuple[float, float]
    lattice: np.ndarray

    def paint(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the (n, 3) float64 colors, 0 to 255, of n points given by their pixel coordinates."""
        cosine, sine = self.turn
        right, down = (x - self.origin[0]) / self.period, (y - self.origin[1]) / self.period
        across, along = cosine * right + sine * down, cosine * down - sine * right
        share = np.asarray(PATTERNS[self.pattern](across, along, self.lattice), np.float64)[:, None]
        return self.colors[0] * (1.0 - share) + self.colors[1] * share

    def contrast(self, other: Texture) -> int:
        """Return how far the nearest two colors of this and another texture are apart: 0, the same, to 765."""
        return int(np.abs(self.colors[:, None] - other.colors[None, :]).sum(axis=-1).min())


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number in [low, high); unlike `rng.uniform`, in Python's arithmetic, which no compiler fuses."""
    return low + (high - low) * rng.random()


def _to_rgb(hue: float, saturation: float, value: float) -> list[int]:
    """Turn a hue in sixths of the circle, a saturation and a value, 0 to 1, into RGB, 0 to 255."""
    distances = ((offset + hue) % 6.0 for offset in (5.0, 3.0, 1.0))
    return [int(256.0 * value * (1.0 - saturation * max(0.0, min(at, 4.0 - at, 1.0)))) for at in distances]


def _draw_colors(rng: np.random.Generator, family: str) -> np.ndarray:
    low, high = HUES[family]
    hue = between(rng, low, high)
    second_hue = between(rng, low, high) if family != "any" else hue + between(rng, -0.8, 0.8)
    light, dark = between(rng, 0.7, 1.0), between(rng, 0.35, 0.65)
    colors = [_to_rgb(hue, between(rng, 0.35, 0.8), light), _to_rgb(second_hue, between(rng, 0.4, 0.85), dark)]
    return np.array(colors if rng.random() < 0.5 else colors[::-1])


def _draw_texture(
    rng: np.random.Generator, patterns: Sequence[str], family: str, period: float, origin: tuple[float, float]
) -> Texture:
    return Texture(
        pattern=patterns[int(rng.integers(len(patterns)))],
        colors=_draw_colors(rng, family),
        period=period * between(rng, 0.75, 1.35),
        turn=draw_turn(rng),
        origin=(origin[0] + period * rng.random(), origin[1] + period * rng.random()),
        lattice=rng.random((LATTICE, LATTICE)),
    )


def draw_texture(
    rng: np.random.Generator,
    patterns: Sequence[str],
    family: str,
    period: float,
    origin: tuple[float, float] = (0.0, 0.0),
    others: Sequence[Texture] = (),
) -> Texture:
    """Draw a texture whose color stands out from those around it.

    Args:
        rng: source of randomness.
        patterns: names of `PATTERNS` to choose from.
        family: a name of `HUES`.
        period: typical length of the pattern, in pixels.
        origin: pixel coordinates near which the pattern begins.
        others: the textures around it; of a few candidates the one farthest from all of them in color is taken.
    """
    candidates = [_draw_texture(rng, patterns, family, period, origin) for _ in range(NUM_CANDIDATES)]
    return max(candidates, key=lambda texture: min((texture.contrast(other) for other in others), default=0))
