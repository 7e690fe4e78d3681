"""The normalized cut equals that of a dense eigen-decomposition, for each photo of a batch and each part of a graph."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch

from vclr.object_proposals.exact_product import multiply_exactly
from vclr.object_proposals.normalized_cut import EPSILON, TOLERANCE, second_eigenvectors


def groups(seed: int, *sizes: int, inside: float = 0.8, across: float = 0.1) -> np.ndarray:
    """Draw the (n, n) bool edges of a graph whose nodes form groups."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    edges = rng.random((len(labels), len(labels))) < np.where(labels[:, None] == labels, inside, across)
    edges |= edges.T
    np.fill_diagonal(edges, True)
    return edges


def solve_densely(edges: np.ndarray) -> tuple[np.ndarray, float]:
    weights = np.where(edges, 1.0, EPSILON)
    degrees = np.diag(weights.sum(axis=1))
    costs, vectors = scipy.linalg.eigh(degrees - weights, degrees)
    vector = vectors[:, 1] / np.sqrt(np.mean(vectors[:, 1] ** 2))
    return vector * np.sign(vector[np.abs(vector).argmax()]), 1 - costs[1]


def solve(*graphs: np.ndarray, active: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    affine = torch.from_numpy(np.stack(graphs).astype(np.int8))
    nodes = torch.ones(affine.shape[:2], dtype=torch.bool) if active is None else torch.from_numpy(active)
    vectors, values = second_eigenvectors(affine, nodes)
    return vectors.numpy(), values.numpy()


GRAPHS = {
    "two groups": groups(0, 150, 50),
    "three groups": groups(1, 100, 80, 20, inside=0.6),
    "two parts": groups(2, 120, 70, across=0.0),
    "three nodes": np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]], bool),
    "a part and lone nodes": groups(3, 150, 50, 1, 1, 1, inside=1.0, across=0.0),
    "a grid": (lambda rows: np.abs(np.subtract.outer(rows, rows)) < 5)(np.arange(300) // 10),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_the_cut_is_that_of_a_dense_decomposition(name: str) -> None:
    (vector,), (value,) = solve(GRAPHS[name])
    expected, of_dense = solve_densely(GRAPHS[name])
    assert value == pytest.approx(of_dense, abs=1e-4)
    assert np.sqrt(np.mean((vector - expected) ** 2)) < 0.02
    assert np.mean((vector > vector.mean()) == (expected > expected.mean())) > 0.99


def test_a_photo_is_solved_as_if_it_were_alone_and_twice_the_same() -> None:
    graphs = [GRAPHS["two groups"], groups(4, 90, 80, 30, inside=0.4), np.ones((200, 200), bool), groups(5, 190, 10)]
    vectors, values = solve(*graphs)
    for index, graph in enumerate(graphs):
        alone, value = solve(graph)
        assert np.array_equal(alone[0], vectors[index])
        assert value[0] == values[index]
    assert np.array_equal(solve(*graphs)[0], vectors)


def test_what_is_not_active_is_no_part_of_the_graph() -> None:
    graph = groups(6, 100, 60, 40)
    active = np.arange(200) >= 70
    (vector,), (value,) = solve(graph, active=active[None])
    (part,), (of_part,) = solve(graph[70:, 70:])
    assert value == pytest.approx(of_part, abs=TOLERANCE**2 * 10)
    assert np.abs(vector[70:] - part).max() < 0.02
    assert not vector[:70].any()


def test_integers_one_by_one_and_floats_in_a_batch_give_the_same_cuts() -> None:
    graphs = GRAPHS["three groups"], groups(4, 90, 80, 30, inside=0.4), groups(5, 190, 10)
    affine = torch.from_numpy(np.stack(graphs).astype(np.int8))
    active = torch.ones(affine.shape[:2], dtype=torch.bool)
    exact, rounded = second_eigenvectors(affine, active), second_eigenvectors(affine.float(), active)
    assert torch.allclose(exact[0], rounded[0], atol=1e-3)
    assert torch.allclose(exact[1], rounded[1], atol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 50])
def test_a_graph_without_a_cut_has_a_value_of_zero(size: int) -> None:
    vectors, values = solve(np.ones((size, size), bool))
    assert values[0] == pytest.approx(0, abs=1e-6)
    assert np.isfinite(vectors).all()
    assert not solve(np.ones((size, size), bool), active=np.zeros((1, size), bool))[0].any()


@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 5, 2), (33, 300, 4)])
def test_products_in_integers_are_exact_to_the_rounding_of_the_columns(shape: tuple[int, int, int]) -> None:
    rows, inner, count = shape
    rng = np.random.default_rng(0)
    matrix = rng.integers(0, 2, (rows, inner)).astype(np.int8)
    columns = rng.normal(size=(inner, count)) * 10.0 ** rng.integers(-8, 8, count)
    product = multiply_exactly(torch.from_numpy(matrix), torch.from_numpy(columns)).numpy()
    largest = np.abs(columns).max(axis=0)
    assert (np.abs(product - matrix @ columns) <= 1e-6 * inner * largest).all()
    assert not multiply_exactly(torch.from_numpy(matrix), torch.zeros(inner, count, dtype=torch.float64)).any()
