"""Prints the keywords of cothread's catools as JSON. Its functions take what others, which they call, know."""

import inspect
import json

from cothread import catools


def inner(function):
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    return next((found for found in cells if inspect.isfunction(found)), function)


def keywords(function):
    found = inspect.signature(inner(function)).parameters.values()
    return {one.name: repr(one.default) for one in found if one.default is not one.empty}


print(
    json.dumps(
        {
            "caget": keywords(catools.caget_one),
            "caput": {**keywords(catools.caput_one), **keywords(catools.caput_array)},
            "connect": keywords(catools.connect_one),
            "camonitor": keywords(catools._Subscription.__init__),
        }
    )
)
