"""Prints the public names of packages with their keywords and defaults, as JSON: run by the interpreter
that has the package."""

import importlib
import inspect
import json
import sys


def parameters(thing):
    try:
        found = inspect.signature(thing).parameters.values()
    except (TypeError, ValueError):
        return None
    none = inspect.Parameter.empty
    return [[one.name, one.kind.name, None if one.default is none else repr(one.default)] for one in found]


def members(kind, package):
    found = {}
    for base in reversed(kind.__mro__):
        if base.__module__.split(".")[0] != package:
            continue
        for name, member in vars(base).items():
            if name.startswith("_") and name != "__init__":
                continue
            if isinstance(member, (staticmethod, classmethod)):
                member = member.__func__
            found[name] = parameters(member) if callable(member) else "value"
    return found


def public(names):
    table = {}
    for name in names:
        module = importlib.import_module(name)
        package = name.split(".")[0]
        for key, thing in sorted(vars(module).items()):
            if key.startswith("_") or inspect.ismodule(thing):
                continue
            ours = (getattr(thing, "__module__", None) or "").split(".")[0] == package
            if inspect.isclass(thing) and ours:
                table[f"{name}.{key}"] = members(thing, package)
            elif callable(thing) and ours:
                table[f"{name}.{key}"] = parameters(thing)
            elif isinstance(thing, (int, float, str)):
                table[f"{name}.{key}"] = repr(thing)
    return table


if __name__ == "__main__":
    json.dump(public(sys.argv[1:]), sys.stdout)
