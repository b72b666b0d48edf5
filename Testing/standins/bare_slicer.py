"""Imports a module as a Slicer would that has nothing but its own packages.

Run by a Python without site-packages, `python -I -S bare_slicer.py FOLDER MODULE...`: FOLDER is
the module's own, the only one that Slicer puts on `sys.path`. The packages that every Slicer
brings and that a file may import at its top are stand-ins that take anything; any other that is
not Python's own cannot be imported. Prints, as JSON, where each module was found.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import sys
import types

#: Slicer's own, which files of the panel may import at their top.
OWN = ("ctk", "numpy", "qt", "slicer", "vtk")


class Anything(type):
    """A class that has every attribute, and that as a decorator changes nothing."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything(name, (), {})

    def __call__(cls, *words, **named):
        if len(words) == 1 and not named and isinstance(words[0], (type, types.FunctionType)):
            return words[0]
        made = super().__call__()
        return made

    def __getitem__(cls, key):
        return cls

    def __iter__(cls):
        return iter(())


class _Module(types.ModuleType):
    __path__: list = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything(name, (), {})


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in OWN:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return _Module(spec.name)

    def exec_module(self, module):
        pass


def main():
    folder, *names = sys.argv[1:]
    sys.path.insert(0, folder)
    sys.meta_path.append(_Finder())
    for name in names:
        importlib.import_module(name)
    print(json.dumps({
        "files": {name: importlib.import_module(name).__file__ for name in (*names, "deepgmm")},
        "path": sys.path[:2],
    }))


if __name__ == "__main__":
    main()
