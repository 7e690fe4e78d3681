"""Multiply a matrix of zeros and ones in integers: fast on CPUs, and the same bits on any number of threads.

A dense float32 matrix of 3600 x 3600 does not fit the caches of a CPU, so a product with a few columns takes as long as
reading it. In int8 it is a quarter as large, and CPUs have instructions for products of int8 (VNNI, AMX). The columns
become fixed-point numbers of three digits, each an int8.
"""

from __future__ import annotations

import torch

BASE = 128  # a digit lies in [-64, 64]
DIGITS = 3  # error: 64 / 128**3 = 3e-5 of a unit of the first digit, 5e-7 of the largest value of a column
COLUMNS = 8  # a multiple of which the integer product takes


def multiply_exactly(matrix: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Return matrix @ columns; exact but for the rounding of the columns to 21 bits.

    Args:
        matrix: (m, n) int8 with at most 2**24 columns.
        columns: (n, k) float64.

    Returns:
        (m, k) float64.
    """
    count = columns.shape[1]
    unit = columns.abs().amax(dim=0).clamp(min=torch.finfo(torch.float64).tiny) / (BASE // 2)
    rest = columns / unit
    digits = []
    for _ in range(DIGITS):
        digit = rest.round()
        digits.append(digit.to(torch.int8))
        rest = (rest - digit) * BASE
    padding = columns.new_zeros(len(columns), -(DIGITS * count) % COLUMNS, dtype=torch.int8)
    products = torch._int_mm(matrix, torch.cat([*digits, padding], dim=1)).double()
    total = sum(products[:, place * count : (place + 1) * count] / BASE**place for place in range(DIGITS))
    return unit * total
