"""The connections that are open, and which of them goes where there are too many."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence

from llmops_site.web_server.connection import Connection, State
from models_app.foundation import addresses


def counted_as(address: str, proxies: Sequence[addresses.Network]) -> str:
    """Empty for a proxy: its connections are those of many clients."""
    return "" if addresses.is_in(address, proxies) else addresses.counted(address)


class Crowd:
    def __init__(self, most: int) -> None:
        self.most = most
        self._all: set[Connection] = set()
        self._by_address: defaultdict[str, set[Connection]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._all)

    def __contains__(self, connection: object) -> bool:
        return connection in self._all

    @property
    def is_full(self) -> bool:
        return len(self._all) >= self.most

    def of(self, address: str) -> Collection[Connection]:
        return self._by_address.get(address, ())

    def add(self, connection: Connection) -> None:
        self._all.add(connection)
        self._by_address[connection.address].add(connection)

    def remove(self, connection: Connection) -> None:
        self._all.discard(connection)
        of_address = self._by_address.get(connection.address)
        if of_address is not None:
            of_address.discard(connection)
            if not of_address:
                del self._by_address[connection.address]

    def overdue(self, now: float) -> list[Connection]:
        return [connection for connection in self._all if connection.deadline < now]

    @staticmethod
    def who_goes(among: Collection[Connection]) -> Connection | None:
        """The one that uses its place least, of several the one that has had it longest; none with a request under way.

        Newcomers are thus always heard, also from an address that holds all places it may have: a client that
        sends a whole request at once does not suffer from others that do not.
        """
        able = [connection for connection in among if connection.state is not State.WORKING]
        return min(able, key=lambda connection: (connection.state, connection.since), default=None)
