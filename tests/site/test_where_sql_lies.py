"""The ORM is the rule. A statement that a benchmark asked for lies in its package's `statements.py`, nowhere else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BEGINS_A_STATEMENT = re.compile(
    r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|COPY|TRUNCATE|MERGE INTO)\s+\S"
)
RAW = {"execute", "executemany", "raw", "extra", "RawSQL"}
#: They ask for no rows, so that there is nothing the ORM could ask.
NO_QUERIES = {
    "models_app/foundation/locks.py": "advisory locks",
    "models_app/releases/deploying.py": "NOTIFY",
    "models_app/serving/supervising.py": "LISTEN",
}
#: Still to be asked of the ORM, or to be moved.
LEFT = ("reviews/lists/compiled.py",)
BENCHMARK = re.compile(r"benchmarks/\w+\.py")
#: What a statement says that no benchmark can ask for.
WITHOUT_ORM = re.compile(r"ORM\s+has\s+no\s+words|ORM\s+is\s+not\s+there")


def sql_in(source: str) -> Iterator[tuple[int, str]]:
    """(line, what) of each raw query and each text that begins like a statement."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            # a command that carries out what it inherits asks no database by that
            inherited = isinstance(called, ast.Attribute) and ast.unparse(called.value) == "super()"
            if name in RAW and not inherited:
                yield node.lineno, name
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and BEGINS_A_STATEMENT.match(node.value)
        ):
            yield node.lineno, " ".join(node.value.split())[:40]


def modules() -> list[Path]:
    found = [path for app in ("reviews", "models_app", "llmops_site") for path in (ROOT / app).rglob("*.py")]
    return [path for path in found if "migrations" not in path.parts]


def asking_functions(path: Path) -> list[ast.FunctionDef]:
    """Those that others call and that ask the database, by themselves or by a function of the same module."""
    tree = ast.parse(path.read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    private = {function.name for function in functions if function.name.startswith("_")}
    asks = {"execute", "copy", *private}
    return [
        function
        for function in functions
        if function.name not in private and any(_name_of(node) in asks for node in ast.walk(function))
    ]


def _name_of(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


STATEMENTS = [path for path in modules() if path.name == "statements.py"]


def test_sql_lies_in_statements_alone() -> None:
    strays = [
        f"{path.relative_to(ROOT)}:{line} {what}"
        for path in modules()
        if path.name != "statements.py" and str(path.relative_to(ROOT)) not in (*NO_QUERIES, *LEFT)
        for line, what in sql_in(path.read_text())
    ]
    assert not strays, "\n".join(strays)


@pytest.mark.parametrize("name", NO_QUERIES)
def test_an_exception_is_needed_and_asks_for_nothing(name: str) -> None:
    found = [what for _, what in sql_in((ROOT / name).read_text())]
    assert found, "it has no SQL any more: take it off the list"
    assert len(found) <= 2, "it has grown: what asks for rows belongs in statements.py"


@pytest.mark.parametrize("path", STATEMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_statement_says_its_result_and_who_asked_for_it(path: Path) -> None:
    functions = asking_functions(path)
    assert functions
    for function in functions:
        says = ast.get_docstring(function) or ""
        assert function.returns is not None, function.name
        named = BENCHMARK.findall(says)
        assert named or WITHOUT_ORM.search(says), f"{function.name}: which benchmark asked for it?"
        assert all((ROOT / benchmark).exists() for benchmark in named), f"{function.name}: {named}"


@pytest.mark.parametrize("path", STATEMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_statement_is_handed_out_as_text(path: Path) -> None:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and any(sql_in(ast.unparse(node))):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            assert all(name.startswith("_") for name in names), f"{names}: others could join pieces of it"


@pytest.mark.parametrize(
    "source",
    [
        "cursor.execute(statement)",
        "connection.cursor().executemany('x', rows)",
        "Review.objects.raw('x')",
        "rows.extra(where=['x'])",
        "rows.annotate(n=RawSQL('now()', []))",
        "_WAITING = '''\n SELECT count(*) FROM reviews_review'''",
        "text = f'WITH found AS ({other}) SELECT 1'",
        "text = 'UPDATE reviews_review SET state = 1'",
    ],
)
def test_sql_is_found_wherever_it_hides(source: str) -> None:
    assert list(sql_in(source))


@pytest.mark.parametrize("source", ["method = 'DELETE'", "'Select one.'", "rows.filter(pk=1)", "'WITH'"])
def test_other_words_are_left_alone(source: str) -> None:
    assert not list(sql_in(source))
