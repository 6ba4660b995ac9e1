"""The transform record of the module calc of synApps: sixteen values, expressions and comments."""

from __future__ import annotations

from ..device import Device


class Transform(Device):
    """A transform record, by its rows A to P."""

    attr_fmts = {"Value": "%s", "Input": "INP%s", "Input_Valid": "I%sV", "Expression": "CLC%s",
                 "Output": "OUT%s", "Output_Valid": "O%sV", "Comment": "CMT%s", "Previous": "L%s"}  # fmt: skip
    rows = "ABCDEFGHIJKLMNOP"

    def __init__(self, prefix, **kwargs):
        prefix = prefix.removesuffix(".")
        attrs = ["COPT", "PREC", "EGU"]
        attrs += [form % row for row in self.rows for form in self.attr_fmts.values()]
        super().__init__(prefix, delim=".", attrs=attrs, **kwargs)

    def _row(self, row) -> str:
        if isinstance(row, int) and 0 <= row < len(self.rows):
            return self.rows[row]
        row = str(row).upper()
        if len(row) != 1 or row not in self.rows:
            raise ValueError(f"row {row!r} of {self._prefix}: rows are A to P, or 0 to 15")
        return row

    def get_row(self, row="A"):
        """What a row has, by words."""
        row = self._row(row)
        return {word: self.get(form % row) for word, form in self.attr_fmts.items()}

    def set_row(self, row="A", data=None):
        """Sets of a row what a dictionary has by words."""
        row = self._row(row)
        for word, value in (data or {}).items():
            form = self.attr_fmts.get(word)
            if form is not None:
                it = self.PV(form % row)
                if it.write_access:
                    it.put(value)

    def set_calc(self, row="A", calc=""):
        """Sets an expression."""
        self.put(f"CLC{self._row(row)}", calc)

    def set_comment(self, row="A", comment=""):
        """Sets a comment."""
        self.put(f"CMT{self._row(row)}", comment)

    def set_input(self, row="A", input=""):  # noqa: A002 - its name is what users give
        """Sets where a value comes from."""
        self.put(f"INP{self._row(row)}", input)
