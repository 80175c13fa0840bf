"""Arithmetic over the fields of one reading: `max(in_bps, out_bps) / speed_bps > 0.8`.

    or      = and {"or" and}                       truths are 1 and 0; any number but 0 is true
    and     = not {"and" not}
    not     = "not" not | compare
    compare = sum [("<" | "<=" | ">" | ">=" | "==" | "!=") sum]
    sum     = product {("+" | "-") product}
    product = sign {("*" | "/") sign}
    sign    = "-" sign | atom
    atom    = number | field | ("min" | "max" | "abs") "(" or {"," or} ")" | "(" or ")"

Parsed once into closures; nothing of Python can be reached from it. Every operand is computed, so
that an answer never depends on the order of the parts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

LONGEST = 500
"""Characters of an expression."""
DEEPEST = 40
"""Parentheses, signs and functions inside one another."""

Compute = Callable[[Mapping[str, float]], float]

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<sign><=|>=|==|!=|[-+*/()<>,]))"
)
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}
_FUNCTIONS: dict[str, Callable[..., float]] = {"min": min, "max": max, "abs": abs}
_WORDS = {"and", "or", "not", *_FUNCTIONS}


class ExpressionError(ValueError):
    """Text that is no expression; `column` counts from 1."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__(f"column {column}: {message}")
        self.column = column


class Expression:
    """Made from its text once; equal when the text is. Raises `ExpressionError`."""

    __slots__ = ("_compute", "fields", "is_truth", "text")

    def __init__(self, text: str) -> None:
        parser = _Parser(text)
        self._compute, self.is_truth = parser.whole()
        self.text = " ".join(text.split())
        self.fields = tuple(sorted(parser.fields))
        """The fields that a reading must have."""

    def value(self, fields: Mapping[str, object]) -> float | None:
        """None: a field is missing or no number, or the result is none (a division by 0)."""
        numbers: dict[str, float] = {}
        for name in self.fields:
            value = fields.get(name)
            if not isinstance(value, int | float):
                return None
            numbers[name] = value
        try:
            result = float(self._compute(numbers))
        except (ArithmeticError, ValueError):
            return None
        return result if math.isfinite(result) else None

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


class _Parser:
    """Recursive descent: a method for each line of the grammar. All return what computes it and
    whether that is a truth."""

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST:
            raise ExpressionError(f"longer than {LONGEST} characters", LONGEST + 1)
        self.fields: set[str] = set()
        self._tokens = list(_tokens(text))
        self._at = 0
        self._depth = 0

    def whole(self) -> tuple[Compute, bool]:
        found = self._or()
        kind, token, column = self._tokens[self._at]
        if kind != "end":
            raise ExpressionError(f"`{token}` is not expected here", column)
        if not self.fields:
            raise ExpressionError("it names no field", 1)
        return found

    def _take(self, *wanted: str) -> str:
        """The next token if it is one of these, else the empty string."""
        token = self._tokens[self._at][1]
        if token not in wanted:
            return ""
        self._at += 1
        return token

    def _need(self, wanted: str) -> None:
        _, token, column = self._tokens[self._at]
        if not self._take(wanted):
            raise ExpressionError(f"`{wanted}` is expected, here is {_named(token)}", column)

    def _or(self) -> tuple[Compute, bool]:
        left, truth = self._and()
        while self._take("or"):
            left, truth = _either(left, self._and()[0]), True
        return left, truth

    def _and(self) -> tuple[Compute, bool]:
        left, truth = self._not()
        while self._take("and"):
            left, truth = _both(left, self._not()[0]), True
        return left, truth

    def _not(self) -> tuple[Compute, bool]:
        if self._take("not"):
            with self:
                inner, _ = self._not()
            return (lambda fields: float(not inner(fields))), True
        return self._compare()

    def _compare(self) -> tuple[Compute, bool]:
        left, truth = self._sum()
        sign = self._take(*_COMPARE)
        if not sign:
            return left, truth
        right = self._sum()[0]
        _, token, column = self._tokens[self._at]
        if token in _COMPARE:
            raise ExpressionError("one comparison at a time: write `a < b and b < c`", column)
        return _compared(_COMPARE[sign], left, right), True

    def _sum(self) -> tuple[Compute, bool]:
        left, truth = self._product()
        while sign := self._take("+", "-"):
            left, truth = _added(left, self._product()[0], 1 if sign == "+" else -1), False
        return left, truth

    def _product(self) -> tuple[Compute, bool]:
        left, truth = self._sign()
        while sign := self._take("*", "/"):
            right = self._sign()[0]
            left = _times(left, right) if sign == "*" else _divided(left, right)
            truth = False
        return left, truth

    def _sign(self) -> tuple[Compute, bool]:
        if self._take("-"):
            with self:
                inner, _ = self._sign()
            return (lambda fields: -inner(fields)), False
        return self._atom()

    def _atom(self) -> tuple[Compute, bool]:
        kind, word, column = self._tokens[self._at]
        self._at += kind != "end"
        if kind == "number":
            number = float(word)
            return (lambda fields: number), False
        if kind == "word" and word in _FUNCTIONS:
            return self._function(word, column), False
        if kind == "word" and word not in _WORDS:
            self.fields.add(word)
            return (lambda fields: fields[word]), False
        if word != "(":
            raise ExpressionError(
                f"a number, a field or `(` is expected, here is {_named(word)}", column
            )
        with self:
            inner = self._or()
        self._need(")")
        return inner

    def _function(self, name: str, column: int) -> Compute:
        self._need("(")
        with self:
            given = [self._or()[0]]
            while self._take(","):
                given.append(self._or()[0])
        self._need(")")
        if (name == "abs") != (len(given) == 1):
            many = "one value" if name == "abs" else "two values or more"
            raise ExpressionError(f"`{name}` takes {many}", column)
        function = _FUNCTIONS[name]
        return lambda fields: function(*(one(fields) for one in given))

    def __enter__(self) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ExpressionError("too deep", self._tokens[self._at][2])

    def __exit__(self, *_: object) -> None:
        self._depth -= 1


def _tokens(text: str) -> list[tuple[str, str, int]]:
    """(kind, text, column) of each token, and an `end`."""
    found, at, end = [], 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            column = at + len(text[at:]) - len(text[at:].lstrip())
            hint = ": a comparison is `==`" if text[column] == "=" else ""
            raise ExpressionError(f"{text[column]!r} has no meaning here{hint}", column + 1)
        kind = match.lastgroup or ""
        found.append((kind, match[kind], match.start(kind) + 1))
        at = match.end()
    return [*found, ("end", "", end + 1)]


def _named(token: str) -> str:
    return f"`{token}`" if token else "the end"


def _either(left: Compute, right: Compute) -> Compute:
    return lambda fields: float(bool(left(fields)) | bool(right(fields)))


def _both(left: Compute, right: Compute) -> Compute:
    return lambda fields: float(bool(left(fields)) & bool(right(fields)))


def _compared(compare: Callable[[float, float], bool], left: Compute, right: Compute) -> Compute:
    return lambda fields: float(compare(left(fields), right(fields)))


def _added(left: Compute, right: Compute, sign: int) -> Compute:
    return lambda fields: left(fields) + sign * right(fields)


def _times(left: Compute, right: Compute) -> Compute:
    return lambda fields: left(fields) * right(fields)


def _divided(left: Compute, right: Compute) -> Compute:
    return lambda fields: left(fields) / right(fields)
