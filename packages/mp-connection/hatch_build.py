"""Compile the package's ``_native`` when a wheel is built; used by hatchling.

One extension against the limited API serves every CPython with a GIL from 3.11 on; a
free-threaded one gets its own.  Where there is no compiler the wheel is built without
it, with one line of warning: everything installs, and Python does what the extension
would.

A variable such as ``MP_SYNC_EXTENSION`` says ``auto`` (the default), ``require`` (fail
without; for every build that is published) or ``skip``.

This file is the same in each package with an extension, as its source distribution has
to bring it along; a test compares them.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = "native"
LIMITED_API = (3, 11)
FLAGS = ("-g0", "-pthread", "-fvisibility=hidden", "-Wall", "-Wextra")


class CustomBuildHook(BuildHookInterface[Any]):
    """Puts the extension into a wheel, or into ``src`` for an editable install."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and tell hatchling what came of it."""
        switch = f"{self._package.upper()}_EXTENSION"
        wanted = os.environ.get(switch, "auto")
        if wanted not in ("auto", "require", "skip"):
            raise ValueError(f"{switch} is auto, require or skip, not {wanted!r}")
        if version == "editable":
            self.clean([version])  # one that is there would be imported, however old
        if wanted == "skip":
            return
        self._place = tempfile.mkdtemp()
        try:
            built = self._compile(Path(self._place))
        except Exception as error:
            if wanted == "require":
                raise
            self.app.display_warning(f"{self._module} is left out: {error}")
            return
        if version == "editable":
            # Moved into place: a process that runs may have an older one mapped.
            target = Path(self.root, "src", self._package, built.name)
            partial = target.with_suffix(".partial")
            shutil.copy2(built, partial)
            partial.replace(target)
        else:
            build_data["force_include"][str(built)] = f"{self._package}/{built.name}"
        build_data["pure_python"] = False
        build_data["tag"] = _tag()

    def finalize(self, version: str, build_data: dict[str, Any], artifact: str) -> None:
        """Remove what was compiled."""
        place = getattr(self, "_place", None)
        if place is not None:
            shutil.rmtree(place, ignore_errors=True)

    def clean(self, versions: list[str]) -> None:
        """Remove the extension of an editable install."""
        for stale in Path(self.root, "src", self._package).glob("_native*.so"):
            stale.unlink()

    def _compile(self, place: Path) -> Path:
        from setuptools import Distribution, Extension
        from setuptools.command.build_ext import build_ext

        linux = sysconfig.get_platform().startswith("linux")
        if not linux or sys.implementation.name != "cpython":
            raise NotImplementedError("it is for CPython on Linux")
        macros: list[tuple[str, str | None]] = []
        if _limited():
            macros = [("Py_LIMITED_API", "0x{:02X}{:02X}0000".format(*LIMITED_API))]
        sources = Path(self.root, SOURCES)
        extension = Extension(
            self._module,
            sorted(str(p.relative_to(self.root)) for p in sources.glob("*.c")),
            depends=sorted(str(p.relative_to(self.root)) for p in sources.glob("*.h")),
            define_macros=macros,
            # Errors where we build, in a clone; a later compiler of a user's may find
            # something to warn of, and still compiles.
            extra_compile_args=[*FLAGS, *self._strict()],
            extra_link_args=["-pthread"],
            py_limited_api=_limited(),
        )
        distribution = Distribution({"name": self._package, "ext_modules": [extension]})
        command = build_ext(distribution)
        command.build_lib = str(place)
        command.build_temp = str(place / "objects")
        directory = os.getcwd()
        os.chdir(self.root)
        try:
            command.ensure_finalized()
            command.run()
        finally:
            os.chdir(directory)
        return Path(command.get_ext_fullpath(self._module))

    @property
    def _package(self) -> str:
        # Of the directory nothing is known: a source distribution's has the version.
        (place,) = Path(self.root, "src").glob("*/__init__.py")
        return place.parent.name

    @property
    def _module(self) -> str:
        return f"{self._package}._native"

    def _strict(self) -> list[str]:
        clone = Path(self.root).parents[1]
        return ["-Werror"] if (clone / "tools" / "hatch").exists() else []


def _limited() -> bool:
    return not sysconfig.get_config_var("Py_GIL_DISABLED")


def _tag() -> str:
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    major, minor = LIMITED_API if _limited() else sys.version_info[:2]
    abi = "abi3" if _limited() else f"cp{major}{minor}t"
    return f"cp{major}{minor}-{abi}-{platform}"
