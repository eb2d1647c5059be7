"""The filter of ``--where``: an SQL expression over what is known of each run, which DuckDB evaluates.

DuckDB gets one expression, one table, and no access to files, to the network or to Python's variables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from replay.errors import InputError, printable
from replay.store.table import FILTERS, arrow, schema

__all__ = ["Filter"]

#: What DuckDB may not do while it evaluates a filter. The last entry forbids that it is changed again.
_SETTINGS = {
    "enable_external_access": "false",
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
    "python_enable_replacements": "false",
    "threads": "1",
    "memory_limit": "1GB",
    "lock_configuration": "true",
}


@dataclass(frozen=True)
class Filter:
    """A filter that has been checked: its text, and the columns that it is given."""

    text: str
    columns: tuple[str, ...] = tuple(FILTERS)

    @classmethod
    def of(cls, text: str) -> Filter:
        """A filter from its text. Raises InputError where DuckDB cannot use it, naming the columns."""
        checked = cls(text)
        fields = [field for field in schema() if field.name in FILTERS]
        checked.rows(arrow().schema(fields).empty_table())
        return checked

    def rows(self, table: Any) -> list[int]:
        """The rows of a table of FILTERS of which the expression is true."""
        duckdb = _duckdb()
        pa = arrow()
        numbered = table.select(list(FILTERS)).append_column(
            _ROW, pa.array(range(table.num_rows), pa.int64())
        )
        connection = duckdb.connect(":memory:", config=_SETTINGS)
        try:
            kept = connection.from_arrow(numbered).filter(f"({self.text}\n)").project(_ROW).fetchall()
        except (duckdb.Error, RuntimeError, ValueError) as error:
            raise InputError(self._explain(str(error))) from None
        finally:
            connection.close()
        return sorted(int(row) for (row,) in kept)

    def _explain(self, error: str) -> str:
        first = next((line for line in error.splitlines() if line.strip()), "it cannot be evaluated")
        return (
            f"--where {printable(repr(self.text))}: {printable(first)}. It is an SQL expression over these"
            f" columns: {', '.join(FILTERS)}. Texts stand in single quotes, as in model = 'x' and evals >= 20"
        )


_ROW = "row_number_of_replay"


def _duckdb() -> Any:
    try:
        import duckdb
    except ImportError:
        raise InputError(
            "--where filters with DuckDB, which is not installed. Install it with: pip install"
            " 'stop-replay[store]'"
        ) from None
    return duckdb
