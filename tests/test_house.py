"""How the code is kept: lengths, names, docstrings, type hints, and nothing written twice."""

import ast
import itertools
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

MODULES = sorted(path for path in Path("nolabels").rglob("*.py") if path.name != "__init__.py")
STAGES = sorted(path for path in Path("stages").glob("*.py") if path.name != "__init__.py")
BENCHMARKS = sorted(Path("benchmarks").glob("*.py"))
LONGEST_STAGE, LONGEST_MODULE, LONGEST_FUNCTION, MOST_EQUAL_LINES = 120, 250, 50, 5
LONGER = {}  # module: why it is longer


@cache
def lines_of(path):
    return path.read_text(encoding="utf-8").splitlines()


@cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(path):
    """Every function and method of a file, also those inside others."""
    return [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.FunctionDef)]


def public(path):
    """(name, function) of the functions of a module, and of the methods of its classes, without a leading _."""
    for node in tree_of(path).body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        for one in inner:
            if isinstance(one, ast.FunctionDef) and not one.name.startswith("_"):
                yield f"{node.name}.{one.name}" if one is not node else one.name, one


@pytest.mark.parametrize("path", STAGES, ids=str)
def test_a_stage_is_short(path):
    assert len(lines_of(path)) <= LONGEST_STAGE


@pytest.mark.parametrize("path", [*MODULES, *BENCHMARKS], ids=str)
def test_a_module_is_short(path):
    assert (len(lines_of(path)) > LONGEST_MODULE) == (path.as_posix() in LONGER)


@pytest.mark.parametrize("path", [*MODULES, *STAGES, *BENCHMARKS], ids=str)
def test_functions_are_short(path):
    lengths = {node.name: node.end_lineno - node.lineno + 1 for node in functions(path)}
    assert {name: count for name, count in lengths.items() if count > LONGEST_FUNCTION} == {}


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_public_functions_have_type_hints(path):
    bare = []
    for name, node in public(path):
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        untyped = [one.arg for one in arguments if one.annotation is None and one.arg not in ("self", "cls")]
        if untyped or node.returns is None:
            bare.append(f"{name}({', '.join(untyped)})" + ("" if node.returns else " ->"))
    assert bare == []


def imported_names():
    """{module: names that another module of nolabels, a stage or a benchmark takes from it}."""
    names = defaultdict(set)
    for path in [*MODULES, *STAGES, *BENCHMARKS]:
        aliases = {}
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("nolabels"):
                for alias in node.names:
                    names[Path(*node.module.split(".")).with_suffix(".py")].add(alias.name)
                    aliases[alias.asname or alias.name] = Path(*node.module.split("."), f"{alias.name}.py")
        for node in ast.walk(tree_of(path)):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id in aliases
            ):
                names[aliases[node.value.id]].add(node.attr)
    return names


IMPORTED = imported_names()


def sections(docstring):
    """{title: names that stand in the section} of a docstring in numpydoc's form."""
    lines, found, title = docstring.splitlines(), {}, None
    for line, below in itertools.pairwise([*lines, ""]):
        if (
            line.strip()
            and below.strip()
            and set(below.strip()) == {"-"}
            and len(below.strip()) == len(line.strip())
        ):
            title = line.strip()
            found[title] = []
        elif title and line and not line[0].isspace() and set(line) != {"-"}:
            found[title] += [name.strip(" *") for name in line.split(" : ")[0].split(",")]
    return found


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_what_other_modules_use_is_documented(path):
    """A docstring in numpydoc's form, with every parameter and what is returned, unless one line says it all."""
    wrong = []
    for name, node in public(path):
        if "." in name or name not in IMPORTED[path]:
            continue
        docstring = ast.get_docstring(node) or ""
        arguments = [one.arg for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        arguments += [one.arg for one in (node.args.vararg, node.args.kwarg) if one]
        named = sections(docstring)
        if not docstring or (len(arguments) > 1 and sorted(named.get("Parameters", [])) != sorted(arguments)):
            wrong.append(name)
    assert wrong == []


def test_no_name_stands_for_functions_of_four_modules():
    where = defaultdict(set)
    for path in MODULES:
        for node in tree_of(path).body:
            if isinstance(node, ast.FunctionDef) and node.name != "main":
                where[node.name].add(path.as_posix())
    assert {name: sorted(paths) for name, paths in where.items() if len(paths) > 3} == {}


def docstring_lines(path):
    """Numbers of the lines that docstrings stand on."""
    bodies = [
        node.body[0]
        for node in ast.walk(tree_of(path))
        if getattr(node, "body", None) and isinstance(node.body, list)
    ]
    texts = [one for one in bodies if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant)]
    return {number for one in texts for number in range(one.lineno, one.end_lineno + 1)}


def test_nothing_is_written_twice():
    """Six equal lines in a row, blank ones, imports and docstrings aside, are one function that is missing."""
    seen, twice = {}, set()
    for path in [*MODULES, *STAGES]:
        explained = docstring_lines(path)
        kept = [
            (number, line.strip())
            for number, line in enumerate(lines_of(path), 1)
            if len(line.strip()) > 1 and not line.startswith(("import ", "from ")) and number not in explained
        ]
        for start in range(len(kept) - MOST_EQUAL_LINES):
            run = tuple(line for _, line in kept[start : start + MOST_EQUAL_LINES + 1])
            place = f"{path}:{kept[start][0]}"
            if seen.setdefault(run, place) != place:
                twice.add(f"{seen[run]} and {place}")
    assert twice == set()


VAGUE = {"found", "place", "spelled", "told", "said"}  # names that do not say what they hold


@pytest.mark.parametrize("path", [*MODULES, *STAGES], ids=str)
def test_names_say_what_they_hold(path):
    names = {node.id for node in ast.walk(tree_of(path)) if isinstance(node, ast.Name)}
    names |= {node.name for node in ast.walk(tree_of(path)) if isinstance(node, ast.FunctionDef)}
    names |= {node.arg for node in ast.walk(tree_of(path)) if isinstance(node, ast.arg)}
    assert names & VAGUE == set()
