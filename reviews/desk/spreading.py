"""An even spread of assignments over people. Pure: numbers in, numbers out."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Wish:
    """Somebody who can be given assignments: how many they have already, and the items they cannot take."""

    person: int
    has: int
    closed: frozenset[int] = frozenset()


def spread(assignments: Iterable[tuple[int, int]], people: Sequence[Wish]) -> dict[int, list[int]]:
    """(assignment, item) pairs in order, each to the person who has least and can take it; an assignment that
    nobody can take stays over.

    Nobody gets two assignments at one item. The order of the people decides between equals.
    """
    given: dict[int, list[int]] = {wish.person: [] for wish in people}
    taken: dict[int, set[int]] = {wish.person: set(wish.closed) for wish in people}
    least = [(wish.has, place, wish.person) for place, wish in enumerate(people)]
    heapq.heapify(least)
    for assignment, item in assignments:
        passed = []
        while least:
            has, place, person = heapq.heappop(least)
            if item in taken[person]:
                passed.append((has, place, person))
                continue
            given[person].append(assignment)
            taken[person].add(item)
            heapq.heappush(least, (has + 1, place, person))
            break
        for entry in passed:
            heapq.heappush(least, entry)
    return given
