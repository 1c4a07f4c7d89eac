"""Statements: built with SQLModel, compiled once for a dialect, run on the driver's own connection.

What SQLAlchemy does for each execution (a cache key, a context, a result object) costs several times what the
drivers do. The statements of this package never change their shape, so all of that can be done once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, ClauseElement, DateTime, Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement

Processor = Callable[[Any], Any]
Row = Sequence[Any]


class Statement:
    """A statement with named parameters, made from SQLModel or SQLAlchemy Core. Made once, at import or in a cache."""

    __slots__ = ("clause",)

    def __init__(self, clause: ClauseElement) -> None:
        self.clause = clause


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a driver needs to run a statement."""

    sql: str
    parameters: Sequence[tuple[str, Any, Processor | None]]
    """For each position: the parameter's name, the value it has if none is given, and what makes it fit the driver."""
    results: Sequence[tuple[int, Processor]]
    """For those columns that the driver doesn't give as they are wanted: the position and what is to be done."""

    def bind(self, values: Mapping[str, Any]) -> list[Any]:
        """The values in the order of their positions."""
        return [
            values.get(name, default) if process is None else process(values.get(name, default))
            for name, default, process in self.parameters
        ]

    def load(self, rows: Sequence[Row]) -> Sequence[Row]:
        """The rows with every column as it is wanted."""
        if not self.results:
            return rows
        loaded = []
        for row in rows:
            values = list(row)
            for index, process in self.results:
                values[index] = process(values[index])
            loaded.append(values)
        return loaded


def prepare(statement: Statement, dialect: Dialect) -> Prepared:
    """Compile the statement for a dialect with positional parameters."""
    compiled = statement.clause.compile(dialect=dialect)
    assert isinstance(compiled, SQLCompiler)
    parameters = tuple(
        (name, compiled.params[name], compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect))
        for name in compiled.positiontup or ()
    )
    columns = getattr(statement.clause, "exported_columns", ())
    processors = ((i, c.type.dialect_impl(dialect).result_processor(dialect, None)) for i, c in enumerate(columns))
    return Prepared(str(compiled), parameters, tuple((i, process) for i, process in processors if process))


class PreparedStatements(dict[Statement, Prepared]):
    """What was compiled for one dialect so far."""

    def __init__(self, dialect: Dialect) -> None:
        super().__init__()
        self._dialect = dialect

    def __missing__(self, statement: Statement) -> Prepared:
        prepared = self[statement] = prepare(statement, self._dialect)
        return prepared


class now_ms(FunctionElement[int]):  # noqa: N801 - reads as a function in SQL expressions
    """The database's clock, in milliseconds since the epoch."""

    type = BigInteger()
    inherit_cache = True


@compiles(now_ms, "sqlite")
def _now_ms_in_sqlite(_element: now_ms, _compiler: SQLCompiler, **_options: Any) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"


@compiles(now_ms, "postgresql")
def _now_ms_in_postgresql(_element: now_ms, _compiler: SQLCompiler, **_options: Any) -> str:
    # Not clock_timestamp: that is volatile, so an index on a time could not be used
    return "CAST(extract(epoch FROM statement_timestamp()) * 1000 AS BIGINT)"


class texts_in(FunctionElement[str]):  # noqa: N801 - reads as a function in SQL expressions
    """The texts in a JSON array, as what follows `IN`: a statement for any number of them."""

    inherit_cache = True


@compiles(texts_in, "sqlite")
def _texts_in_sqlite(element: texts_in, compiler: SQLCompiler, **options: Any) -> str:
    array = compiler.process(element.clauses, **options)
    return f"(SELECT value FROM json_each({array}))"  # noqa: S608


@compiles(texts_in, "postgresql")
def _texts_in_postgresql(element: texts_in, compiler: SQLCompiler, **options: Any) -> str:
    return f"(SELECT json_array_elements_text(CAST({compiler.process(element.clauses, **options)} AS JSON)))"


class moment_ago(FunctionElement[datetime]):  # noqa: N801 - reads as a function in SQL expressions
    """The moment that was so many seconds ago, by the database's clock, as a column of moments holds it."""

    type = DateTime(timezone=True)
    inherit_cache = True


@compiles(moment_ago, "sqlite")
def _moment_ago_in_sqlite(element: moment_ago, compiler: SQLCompiler, **options: Any) -> str:
    return (
        f"strftime('%Y-%m-%d %H:%M:%f000', 'now', '-' || {compiler.process(element.clauses, **options)} || ' seconds')"
    )


@compiles(moment_ago, "postgresql")
def _moment_ago_in_postgresql(element: moment_ago, compiler: SQLCompiler, **options: Any) -> str:
    return f"statement_timestamp() - make_interval(secs => {compiler.process(element.clauses, **options)})"


class has_word(FunctionElement[bool]):  # noqa: N801 - reads as a function in SQL expressions
    """Whether a text has the word anywhere in it, every character being a plain one.

    Not `LIKE`: a text and a word that nearly match over and over cost it a hundred times as much in SQLite, and nobody
    must be able to keep all readers busy with a few searches.
    """

    type = Boolean()
    inherit_cache = True


@compiles(has_word, "sqlite")
def _has_word_in_sqlite(element: has_word, compiler: SQLCompiler, **options: Any) -> str:
    return f"instr({compiler.process(element.clauses, **options)}) > 0"


@compiles(has_word, "postgresql")
def _has_word_in_postgresql(element: has_word, compiler: SQLCompiler, **options: Any) -> str:
    return f"strpos({compiler.process(element.clauses, **options)}) > 0"
