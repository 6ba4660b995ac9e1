"""Fields of the records of a group: functions of the class for them, and what these get."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ._choice import Choice
from ._field_names import FIELD_NAMES
from ._near import nearest

if TYPE_CHECKING:
    from ._instance import Instance
    from ._property import pvproperty


def field_name(word: str) -> str:
    """The name of a field: itself, or what caproto's word for it means.

    Raises:
        AttributeError: it is neither.
    """
    if word.isupper() and not word.startswith("_"):
        return word
    if word in FIELD_NAMES:
        return FIELD_NAMES[word]
    raise AttributeError(f"{word!r} is no field: give its name, as RVAL{nearest(word, FIELD_NAMES)}")


class FieldSpec:
    """The fields of a `pvproperty` with ``record``: ``@position.fields.RVAL.putter`` decorates a function of one."""

    def __init__(self, prop: pvproperty) -> None:
        self._prop = prop
        #: Functions by field and what they are (``put``).
        self.functions: dict[tuple[str, str], Callable[..., Any]] = {}

    @property
    def record_type(self) -> str | None:
        return self._prop.record

    @property
    def fields(self) -> tuple:
        return tuple(self.functions.items())

    def __getattr__(self, word: str) -> FieldProxy:
        return FieldProxy(self, field_name(word))

    def __repr__(self) -> str:
        return f"<FieldSpec record={self.record_type} fields={self.fields}>"


class FieldProxy:
    """A field, for decorators."""

    def __init__(self, spec: FieldSpec, field: str) -> None:
        self._spec = spec
        self._field = field

    def _keep(self, kind: str, function: Callable[..., Any]) -> pvproperty:
        self._spec.functions[self._field, kind] = function
        return self._spec._prop

    def putter(self, putter: Callable[..., Any]) -> pvproperty:
        """Decorates ``function(fields, instance, value)``, which decides what clients write to the field."""
        return self._keep("put", putter)

    def startup(self, startup: Callable[..., Any]) -> pvproperty:
        """Decorates ``function(fields, instance, async_lib)``, which runs when the IOC has started."""
        return self._keep("startup", startup)

    def __repr__(self) -> str:
        return f"<FieldProxy {self._field}>"


class FieldInstance:
    """A field of a record that is served."""

    def __init__(self, parent: Instance, field: str) -> None:
        self.parent = parent
        self.field = field
        self.pvname = self.name = f"{parent.name}.{field}"

    @property
    def value(self) -> Any:
        """Its value; of one that has choices, the text, which is equal to its number as well."""
        core = self.parent.group.ioc._core
        value = core.read(self.pvname)[0]
        if not isinstance(value, int):
            return value
        text = core.text(self.pvname)
        return value if text.lstrip("-").isdigit() else Choice(text, value)

    def write(self, value: Any, **_: Any) -> Any:
        """Sets it. It may be awaited, and need not be."""
        return self.parent.write_field(self.field, value)

    def __repr__(self) -> str:
        return f"<field {self.pvname!r}>"


class Fields(Mapping):
    """The fields of a record that is served, by their names; also as attributes, by caproto's words for them."""

    def __init__(self, parent: Instance) -> None:
        self.parent = parent

    def __getattr__(self, word: str) -> FieldInstance:
        return FieldInstance(self.parent, field_name(word))

    def __getitem__(self, field: str) -> FieldInstance:
        return FieldInstance(self.parent, field)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(FIELD_NAMES.values()))

    def __len__(self) -> int:
        return len(set(FIELD_NAMES.values()))
