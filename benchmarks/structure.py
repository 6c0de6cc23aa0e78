"""The structure of the code in figures: rooms, arrows, floors and circles of each app, and how long its parts are.

    python benchmarks/structure.py [DIRECTORY]    of this checkout, or of another one

A room is a package of an app, or a module that stands beside the packages. An arrow is a room that imports another,
imports for types and imports inside functions included; tables (`models`) and doors (`web`, `api`, `jobs`, `admin`,
`management`) are rooms like any other. Rooms that import each other in a circle are one floor together. A floor is how
many rooms one goes down from a room to the lowest.
"""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grimp

APPS = ("reviews", "models_app")
#: SQL that is no query of tables: locks, notifications, settings of a session.
NO_QUERIES = ("SET LOCAL", "LISTEN", "NOTIFY")


def rooms(graph: grimp.ImportGraph, app: str) -> dict[str, set[str]]:
    """By room the rooms of the same app that it imports."""
    modules = {name for name in graph.modules if name.startswith(f"{app}.") and ".migrations" not in name}
    inside: dict[str, set[str]] = {room_of(name): set() for name in modules}
    for name in modules:
        for other in graph.find_modules_directly_imported_by(name):
            if other in modules and room_of(other) != room_of(name):
                inside[room_of(name)].add(room_of(other))
    return {room: others for room, others in inside.items() if room not in ("apps",)}


def room_of(module: str) -> str:
    return module.split(".")[1]


def circles(arrows: dict[str, set[str]]) -> list[set[str]]:
    """Groups of rooms each of which can be reached from each other one (Tarjan's components with several rooms)."""
    reached = {room: below(arrows, room) for room in arrows}
    groups: list[set[str]] = []
    for room in sorted(arrows):
        group = {other for other in reached[room] if room in reached[other]}
        if group and not any(room in known for known in groups):
            groups.append(group | {room})
    return groups


def below(arrows: dict[str, set[str]], room: str) -> set[str]:
    found: set[str] = set()
    todo = list(arrows[room])
    while todo:
        other = todo.pop()
        if other not in found:
            found.add(other)
            todo += arrows[other]
    return found


def floors(arrows: dict[str, set[str]]) -> dict[str, int]:
    groups = circles(arrows)
    at: dict[str, int] = {}

    def floor(room: str) -> int:
        if room not in at:
            together = next((group for group in groups if room in group), {room})
            lower = {other for one in together for other in arrows[one]} - together
            height = 1 + max((floor(other) for other in lower), default=0)
            at.update(dict.fromkeys(together, height))
        return at[room]

    for room in arrows:
        floor(room)
    return at


def functions(root: Path) -> Iterator[int]:
    for path in sources(root):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield (node.end_lineno or node.lineno) - node.lineno + 1


def sources(root: Path) -> list[Path]:
    return [
        path for app in APPS for path in sorted((root / app).rglob("*.py")) if "migrations" not in path.parts
    ]


def sql_outside(root: Path) -> list[str]:
    """Places that give a cursor something to execute, outside `statements.py` and the foundation."""
    found = []
    for path in sources(root):
        if path.name == "statements.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "execute"
                and ast.unparse(node.func.value) != "super()"
            ):
                said = ast.unparse(node.args[0]) if node.args else ""
                if not any(words in said for words in NO_QUERIES):
                    found.append(f"{path.relative_to(root)}:{node.lineno}")
    return found


def percentile(values: list[int], share: float) -> int:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def main(root: Path) -> None:
    sys.path.insert(0, str(root))
    graph = grimp.build_graph(*APPS, include_external_packages=False, cache_dir=None)
    print(f"{'':12} rooms  arrows  floors  circles")
    for app in APPS:
        arrows = rooms(graph, app)
        count = sum(map(len, arrows.values()))
        print(
            f"{app:12} {len(arrows):5}  {count:6}  {max(floors(arrows).values()):6}  {len(circles(arrows)):7}"
        )
    for app in APPS:
        arrows = rooms(graph, app)
        print(f"\n{app}")
        at = floors(arrows)
        for height in sorted(set(at.values()), reverse=True):
            print(f"  {height}  " + " · ".join(sorted(room for room in at if at[room] == height)))
        for group in circles(arrows):
            print(f"  in a circle: {', '.join(sorted(group))}")
    files = [len(path.read_text(encoding="utf-8").splitlines()) for path in sources(root)]
    lengths = list(functions(root))
    print(
        f"\nlines of a file: median {statistics.median(files):.0f}, 90th percentile {percentile(files, 0.9)}, "
        f"most {max(files)}"
    )
    print(
        f"lines of a function: median {statistics.median(lengths):.0f}, 90th percentile {percentile(lengths, 0.9)}, "
        f"most {max(lengths)}"
    )
    templates = [
        line
        for path in (root / "templates").rglob("*.html")
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    long = sum(len(line) > 120 for line in templates)
    print(
        f"lines of templates: {len(templates):,}, {long:,} over 120 characters ({100 * long / len(templates):.1f} %)"
    )
    outside = sql_outside(root)
    print(
        f"SQL executed outside statements.py: {len(outside)}" + "".join(f"\n  {place}" for place in outside)
    )


if __name__ == "__main__":
    if len(sys.argv) == 2:  # in a process of its own, so that the modules of that checkout are found
        subprocess.run([sys.executable, __file__, sys.argv[1], "here"], cwd=sys.argv[1], check=True)
    else:
        main(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else Path(__file__).resolve().parents[1])
