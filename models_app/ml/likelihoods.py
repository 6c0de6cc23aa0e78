"""How likely a model held what it wrote, token by token, beside transformers' own generate()."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Likelihoods:
    """The last of the logits processors: changes nothing, and sums the log-probabilities of all texts as they grow.

    The texts of a batch begin at token `before`, and each source has so many beams. Sums are kept in a tree of tokens,
    matrices of (rows, vocabulary) only the latest: generate()'s own `output_scores` would keep one for every token.
    """

    def __init__(self, before: int, *, sources: int, beams: int, ends: Sequence[int]) -> None:
        self._before = before
        self._beams = beams
        self._ends = list(ends)
        self._sums = [0.0] * sources  # by node; the first ones are the roots, where nothing is written yet
        self._children: dict[tuple[int, int], int] = {}  # by node and token
        self._rows: dict[int, int] = {}  # of the latest matrix, by node
        self._latest: Any = None

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        nodes = self._grown(input_ids[:, self._before :].tolist())
        self._latest = scores.float().log_softmax(-1)
        self._rows = {node: row for row, node in enumerate(nodes)}
        # a beam that ends here is not seen again
        ends = self._latest[:, self._ends].tolist()
        for node, row in self._rows.items():
            for token, value in zip(self._ends, ends[row], strict=True):
                self._grow(node, token, value)
        return scores

    def mean(self, source: int, ids: Sequence[int]) -> float | None:
        """Of the tokens of a text, its end token among them, which generate() has returned."""
        if not ids:
            return None
        node = self._walk(source, ids[:-1])
        known = self._children.get((node, ids[-1]))
        if known is not None:
            return self._sums[known] / len(ids)
        return (self._sums[node] + float(self._latest[self._rows[node], ids[-1]])) / len(ids)

    def _grown(self, texts: list[list[int]]) -> list[int]:
        if not texts[0]:
            return [row // self._beams for row in range(len(texts))]
        parents = [self._walk(row // self._beams, text[:-1]) for row, text in enumerate(texts)]
        tokens = [text[-1] for text in texts]
        values = self._latest[[self._rows[parent] for parent in parents], tokens].tolist()
        return [self._grow(*one) for one in zip(parents, tokens, values, strict=True)]

    def _walk(self, node: int, ids: Sequence[int]) -> int:
        for token in ids:
            node = self._children[node, token]
        return node

    def _grow(self, node: int, token: int, value: float) -> int:
        child = self._children.setdefault((node, token), len(self._sums))
        if child == len(self._sums):
            self._sums.append(self._sums[node] + value)
        return child
