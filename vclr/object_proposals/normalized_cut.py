"""Normalized cut (Shi and Malik, 2000) of the graphs of several photos at once, by one iterative eigen-solver.

The nodes of a graph are the patches of a photo. The weight of an edge is 1 if the patches are affine and EPSILON if
they are not, as in TokenCut (Wang et al., 2022). The cut is the second generalized eigenvector of
(D - W) x = (1 - value) D x, where D holds the row sums of W. With z = D^1/2 x, this is the largest but one eigenvalue
of M = D^-1/2 W D^-1/2, whose largest is 1, with the known eigenvector D^1/2 1.

A block Krylov method finds it: a block of vectors is multiplied by M again and again, and M is solved in the space of
all products so far, with the known eigenvector projected out. W is never factorized. All photos of a batch are solved
together; each stops at its own accuracy. On a CPU, where this saves no time, one after the other is solved instead, so
that a photo has the same bits in every batch.

Letters beside the legend of `vclr.structures`: n patch (node), k vector of a block.
"""

from __future__ import annotations

import torch

from vclr.object_proposals.exact_product import multiply_exactly

EPSILON = 1e-5  # weight of an edge between patches that are not affine; keeps the graph connected
TOLERANCE = 3e-4  # norm of M z - value z, for z of length 1, at which a vector is done
BLOCK = 4  # vectors; more find eigenvalues that lie close together in fewer products
MAX_BLOCKS = 20  # in the space; a full space restarts from its best vectors
MAX_PRODUCTS = 100  # blocks multiplied at most: eigenvalues that even these do not separate give no meaningful cut
SEED = 0  # of the vectors that the solver starts from
DEPENDENT = 1e-10  # share of a block's squared length below which a direction is rounding noise


def second_eigenvectors(affine: torch.Tensor, active: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Solve the normalized cut of each graph.

    Args:
        affine: (b, n, n), 1 where two patches are affine, else 0; symmetric, 1 on the diagonal. The products are exact
            if it is int8, which is for CPUs, and float32 if it is float32.
        active: (b, n) bool, the nodes of each graph; the other patches are no part of it.

    Returns:
        vectors (b, n) float64: x, of mean square 1 over the graph, 0 outside, positive where its absolute value is
        largest (the first such node, if there are several); 0 everywhere for a graph that has no cut.
        values (b,) float64: eigenvalues of M, in [-1, 1]; near 1, the cut costs little.
    """
    if affine.dtype == torch.int8 and len(affine) > 1:
        solved = [second_eigenvectors(*photo) for photo in zip(affine.split(1), active.split(1), strict=True)]
        vectors, values = zip(*solved, strict=True)
        return torch.cat(vectors), torch.cat(values)
    return _solve(_Graph(affine, active))


def _solve(graph: _Graph) -> tuple[torch.Tensor, torch.Tensor]:
    """Solve all graphs; see `second_eigenvectors`."""
    active = graph.active > 0
    space = torch.zeros(*active.shape, 0, dtype=torch.float64, device=active.device)
    products = space
    block = _orthonormal(graph.project(_start(active)), graph, space)
    vectors = torch.zeros_like(graph.scale)
    values = torch.zeros_like(vectors[:, 0])
    pending = active.sum(dim=1) > 1
    for _ in range(MAX_PRODUCTS):
        product = graph.project(graph.multiply(block))
        space, products = torch.cat([space, block], dim=2), torch.cat([products, product], dim=2)
        ritz_values, turns = torch.linalg.eigh(_symmetric(space.mT @ products))
        best = turns[:, :, -1:]
        value, vector, image = ritz_values[:, -1], (space @ best)[..., 0], (products @ best)[..., 0]
        vectors[pending], values[pending] = vector[pending], value[pending]
        pending &= (image - value[:, None] * vector).norm(dim=1) > TOLERANCE
        if not pending.any():
            break
        if space.shape[2] >= BLOCK * MAX_BLOCKS:
            kept = turns[:, :, -2 * BLOCK :]
            space, products = space @ kept, products @ kept
        block = _orthonormal(product, graph, space)
    return _orient(vectors * graph.scale, active), values


class _Graph:
    """M of each photo, as a product: the dense matrix holds only zeros and ones."""

    def __init__(self, affine: torch.Tensor, active: torch.Tensor) -> None:
        nodes = active.double()
        self.affine = affine
        self.active = nodes
        degrees = self._weigh(nodes[..., None])[..., 0]
        self.scale = nodes / degrees.clamp(min=EPSILON).sqrt()  # D^-1/2, 0 outside
        trivial = nodes * degrees.clamp(min=0).sqrt()
        self.trivial = trivial / trivial.norm(dim=1, keepdim=True).clamp(min=EPSILON)

    def multiply(self, block: torch.Tensor) -> torch.Tensor:
        """Return M times a (b, n, k) block."""
        return self.scale[..., None] * self._weigh(self.scale[..., None] * block)

    def project(self, block: torch.Tensor) -> torch.Tensor:
        """Take the known eigenvector out of a (b, n, k) block."""
        trivial = self.trivial[..., None]
        return block - trivial @ (trivial.mT @ block)

    def _weigh(self, block: torch.Tensor) -> torch.Tensor:
        """Return W times a block that is 0 outside the graph."""
        if self.affine.dtype == torch.int8:
            products = torch.stack([multiply_exactly(*photo) for photo in zip(self.affine, block, strict=True)])
        else:
            products = (self.affine @ block.float()).double()
        everywhere = EPSILON * block.sum(dim=1, keepdim=True)
        return self.active[..., None] * ((1 - EPSILON) * products + everywhere)


def _start(active: torch.Tensor) -> torch.Tensor:
    """Return the (b, n, k) block to start from: the same for each photo, on every device."""
    generator = torch.Generator().manual_seed(SEED)
    block = torch.randn(active.shape[1], BLOCK, generator=generator, dtype=torch.float64)
    return active[..., None] * block.to(active.device)


def _orthonormal(block: torch.Tensor, graph: _Graph, space: torch.Tensor) -> torch.Tensor:
    """Return an orthonormal basis of what a block adds to the space; directions that add nothing become 0."""
    for _ in range(2):  # once leaves the rounding of a large part that was taken out
        block = graph.project(block - space @ (space.mT @ block))
        squares, turns = torch.linalg.eigh(_symmetric(block.mT @ block))
        is_new = squares > DEPENDENT * squares[:, -1:].clamp(min=DEPENDENT)
        shrink = torch.where(is_new, squares.clamp(min=DEPENDENT**2).rsqrt(), 0.0)
        block = block @ turns * shrink[:, None]
    return block


def _symmetric(matrix: torch.Tensor) -> torch.Tensor:
    return (matrix + matrix.mT) / 2


def _orient(vectors: torch.Tensor, active: torch.Tensor) -> torch.Tensor:
    """Fix length and sign, which an eigenvector leaves open."""
    largest = vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True))
    counts = active.sum(dim=1, keepdim=True).clamp(min=1)
    lengths = (vectors.square().sum(dim=1, keepdim=True) / counts).sqrt()
    return vectors * torch.where(largest < 0, -1.0, 1.0) / lengths.clamp(min=EPSILON)
