"""What type checkers say to users of the wheels; ``hatch run verify:installed``.

    ./tools/hatch run verify:installed [INSTALL ...]

`tests-integration/typing/` has an application for each of four installs, made from the
wheels as they would be published.  mypy and basedpyright, both strict, check it against
what is installed and nothing else; then it is run.  Mistakes that must be errors stand
in the files named ``*_mistakes.py``, each with what both say of it, at its end or alone
on a line before it:

    desk.send(1)  # error: mypy[arg-type] pyright[reportArgumentType]

Anything else that they say is a failure, and so is what they fail to say.  So is a
public name of the layers in question that the application does without.
"""

from __future__ import annotations

import ast
import io
import json
import re
import subprocess
import sys
import tempfile
import time
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from dists import ROOT, all_dists, build, clean_environ, install, make_venv

HOME = ROOT / "tests-integration" / "typing"
MISTAKES = "_mistakes.py"
RUN_SECONDS = 120


@dataclass(frozen=True)
class Install:
    """What a user installs, and which packages the application has to know whole."""

    requirements: tuple[str, ...]
    packages: tuple[str, ...]


INSTALLS = {
    "connection": Install(("mp-connection",), ("mp_connection",)),
    "process_pool": Install(("mp-process", "mp-pool"), ("mp_process", "mp_pool")),
    "sharedctypes": Install(("mp-sharedctypes",), ("mp_sharedctypes", "mp_sync")),
    "everything": Install(
        ("mp-multiprocessing",), ("mp_multiprocessing", "mp_managers")
    ),
}


@dataclass(frozen=True, order=True)
class Finding:
    """An error of a checker: where, whose, and its code; the rest is for the reader."""

    file: str
    line: int
    checker: str
    code: str
    message: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.checker}[{self.code}]"


_EXPECTED = re.compile(r"#\s*error:(.*)")
_CODES = re.compile(r"\s*(mypy|pyright)\[([\w,-]+)\]")


def expected(name: str, text: str) -> Iterator[Finding]:
    """Yield what the comments in *text* announce.

    Raises:
        ValueError: one announces nothing that is understood.
    """
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        found = _EXPECTED.match(token.string)  # strings begin with a quote
        if found is None:
            continue
        line = token.start[0]
        if re.sub(_CODES, "", found[1]).strip() or not found[1].strip():
            raise ValueError(f"{name}:{line}: not understood: {token.string}")
        alone = not token.line[: token.start[1]].strip()
        for checker, codes in _CODES.findall(found[1]):
            for code in codes.split(","):
                yield Finding(name, line + alone, checker, code)


def of_mypy(output: str) -> Iterator[Finding]:
    """Yield the errors in the lines that ``mypy --output json`` has written."""
    for line in output.splitlines():
        said = json.loads(line)
        if said["severity"] == "error":
            name = Path(said["file"]).name
            yield Finding(name, said["line"], "mypy", said["code"], said["message"])


def of_pyright(output: str) -> Iterator[Finding]:
    """Yield what ``basedpyright --outputjson`` has written, warnings included."""
    for said in json.loads(output)["generalDiagnostics"]:
        line = said["range"]["start"]["line"] + 1
        code, message = said.get("rule", "none"), said["message"]
        yield Finding(Path(said["file"]).name, line, "pyright", code, message)


def differences(wanted: Iterable[Finding], found: Iterable[Finding]) -> list[str]:
    """Describe what is missing and what nobody has announced."""
    wanted, found = [*wanted], [*found]
    # One mistake may be the same error twice, as for two overloads.
    missing, extra = set(wanted) - set(found), set(found) - set(wanted)
    return [
        *(f"{finding}: expected, and not reported" for finding in sorted(missing)),
        *(f"{more}: not expected: {more.message}" for more in sorted(extra)),
    ]


def public_names(package: Path) -> set[str]:
    """Return the names in ``__all__`` of the *package*'s source."""
    for node in ast.parse((package / "__init__.py").read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    raise ValueError(f"{package}: no __all__")


def used_names(text: str, package: str) -> set[str]:
    """Return the names that a program imports from a *package* or takes out of it."""
    tree, aliases, found = ast.parse(text), {package}, set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            aliases |= {a.asname for a in node.names if a.name == package and a.asname}
        elif isinstance(node, ast.ImportFrom) and node.module == package:
            found |= {alias.name for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in aliases:
            found.add(node.attr)
    return found


def programs_of(name: str) -> list[Path]:
    files = sorted((HOME / name).glob("*.py"))
    return [file for file in files if not file.name.endswith(MISTAKES)]


def unused_names(package: Path, programs: Iterable[Path]) -> list[str]:
    """Describe the public names of a *package*, a directory, that *programs* lack."""
    texts = [file.read_text("utf-8") for file in programs]
    used = {name for text in texts for name in used_names(text, package.name)}
    unused = sorted(public_names(package) - used)
    return [f"{package.name}.{name}: the application does without" for name in unused]


def output_of(*command: str | Path, cwd: Path) -> str:
    """Run a checker and return its standard output; its status says nothing new."""
    environ = clean_environ()
    done = subprocess.run(
        command, cwd=cwd, env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{command}: {done.stdout}{done.stderr}")
    return done.stdout


def run_mypy(python: Path, files: list[Path], name: str) -> Iterator[Finding]:
    config = ROOT / ".mypy.ini"
    cache = ROOT / ".mypy_cache" / "installed" / name
    options = ("--strict", "--output", "json", "--config-file", config)
    where = ("--python-executable", python, "--cache-dir", cache)
    mypy = (sys.executable, "-m", "mypy", *options, *where)
    return of_mypy(output_of(*mypy, *files, cwd=files[0].parent))


def run_pyright(python: Path, files: list[Path], place: Path) -> Iterator[Finding]:
    settings = {
        "typeCheckingMode": "strict",
        "include": [str(file) for file in files],
        "extraPaths": [str(files[0].parent)],
        # This one is of style: that a match without a hit does nothing is the language.
        "reportMatchNotExhaustive": False,
    }
    config = place / "pyrightconfig.json"
    config.write_text(json.dumps(settings), "utf-8")
    pyright = (sys.executable, "-m", "basedpyright", "--outputjson")
    options = ("--project", config, "--pythonpath", python)
    return of_pyright(output_of(*pyright, *options, cwd=files[0].parent))


def run_program(python: Path, program: Path, place: Path) -> list[str]:
    done = subprocess.run(
        [python, "-W", "error", "-W", "ignore::DeprecationWarning", program],
        cwd=place,
        env=clean_environ(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    if done.returncode:
        return [f"{program.name}: status {done.returncode}", done.stdout, done.stderr]
    return []


def check_install(name: str, built: Path, place: Path) -> list[str]:
    """Return all that is wrong with the types of one install."""
    wanted = INSTALLS[name]
    python = make_venv(place / "env")
    install(python, built, wanted.requirements)
    files = sorted((HOME / name).glob("*.py"))
    programs = programs_of(name)
    problems: list[str] = []
    for package in wanted.packages:
        (source,) = (place / "env").glob(f"lib/*/site-packages/{package}")
        problems += unused_names(source, programs)
    announced = [f for file in files for f in expected(file.name, file.read_text())]
    found = [*run_mypy(python, files, name), *run_pyright(python, files, place)]
    problems += differences(announced, found)
    for program in programs:
        problems += run_program(python, program, place)
    counts = Counter(finding.checker for finding in announced)
    said = ", ".join(f"{n} of {checker}" for checker, n in sorted(counts.items()))
    print(f"{name}: {len(problems)} problems; errors as expected: {said}", flush=True)
    return [f"{name}: {problem}" for problem in problems]


def uncovered() -> set[str]:
    """Return the packages that no application knows whole: a new one, for example."""
    packages = {dist.import_name for dist in all_dists().values()}
    return packages.difference(*(wanted.packages for wanted in INSTALLS.values()))


def main(names: list[str]) -> int:
    if unknown := set(names) - INSTALLS.keys():
        sys.exit(f"no such install: {', '.join(sorted(unknown))}")
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mp-installed-") as directory:
        built = Path(directory, "built")
        built.mkdir()
        build(built)

        def one(name: str) -> list[str]:
            place = Path(directory, name)
            place.mkdir()
            return check_install(name, built, place)

        with ThreadPoolExecutor(2) as executor:
            problems = sum(executor.map(one, names or INSTALLS), start=list[str]())
    print(*problems, sep="\n")
    print(f"{len(problems)} problems, {time.monotonic() - start:.0f} s")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
