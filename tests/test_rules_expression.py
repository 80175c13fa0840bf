"""Expressions: what they compute, what they refuse and where, and that nothing else gets in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.expression import DEEPEST, LONGEST, Expression, ExpressionError

FIELDS = {"a": 3.0, "b": 4, "zero": 0, "text": "x"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a", 3),
        ("-a + 2 * b", 5),
        ("a - b - 1", -2),
        ("12 / a / 2", 2),
        ("(a + b) * 1.5e1", 105),
        ("--a", 3),
        ("max(a, b, 9) - min(a, b) + abs(-a)", 9),
        ("a < b", 1),
        ("a >= b or b == 4", 1),
        ("a > 2 and b > 5", 0),
        ("not a > 2", 0),
        ("not zero and a != 3.5", 1),
        ("a * 2 > b and not (b < 1 or zero)", 1),
        (".5 * b", 2),
    ],
)
def test_an_expression_computes_what_it_says(text: str, value: float) -> None:
    assert Expression(text).value(FIELDS) == value


@pytest.mark.parametrize("text", ["a / zero", "a + missing", "a + text", "a * 1e308 * 1e308"])
def test_without_a_number_there_is_no_answer(text: str) -> None:
    assert Expression(text).value(FIELDS) is None


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("", 1, "the end"),
        ("a +", 4, "the end"),
        ("a b", 3, "`b` is not expected"),
        ("(a", 3, "`)` is expected"),
        ("a = 3", 3, "a comparison is `==`"),
        ("a < b < 5", 7, "one comparison at a time"),
        ("a.real", 2, "no meaning"),
        ("a[0]", 2, "no meaning"),
        ("'a'", 1, "no meaning"),
        ("1 + 2", 1, "no field"),
        ("min(a)", 1, "two values"),
        ("abs(a, b)", 1, "one value"),
        ("open(a)", 5, "not expected"),
        ("and a", 1, "`and`"),
        ("a ** 2", 4, "`*`"),
        ("lambda: a", 7, "no meaning"),
        ("(" * (DEEPEST + 1) + "a", DEEPEST + 2, "too deep"),
        ("a" * (LONGEST + 1), LONGEST + 1, "longer"),
    ],
)
def test_a_mistake_is_named_with_its_column(text: str, column: int, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        Expression(text)
    assert caught.value.column == column
    assert message in str(caught.value)


def test_a_truth_is_told_from_a_number() -> None:
    truths = ["a > 1", "not a", "a and b", "(a > 1)", "a or b > 1"]
    numbers = ["a", "(a > 1) + 1", "-(a > 1)", "max(a > 1, b)"]
    assert [Expression(text).is_truth for text in truths + numbers] == [True] * 5 + [False] * 4


@given(st.text(alphabet="ab01.()+-*/<>=!,& \t\nandornotmixs_[]{}'\"\\é", max_size=40))
def test_no_text_does_more_than_compute_or_fail(text: str) -> None:
    column, value = 1, None
    try:
        found = Expression(text)
        value = found.value(dict.fromkeys(found.fields, 2.0))
    except ExpressionError as error:
        column = error.column
    assert 1 <= column <= len(text) + 1
    assert value is None or isinstance(value, float)


plain = st.recursive(
    st.sampled_from(["a", "b", "2", "0.5"]),
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from("+-*/"), inner),
        st.builds(
            "({} {} {})".format, inner, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), inner
        ),
        st.builds("{}({}, {})".format, st.sampled_from(["min", "max"]), inner, inner),
        st.builds("abs({})".format, inner),
        st.builds("(- {})".format, inner),
    ),
    max_leaves=12,
)


@given(plain, st.floats(-9, 9), st.floats(-9, 9))
def test_it_agrees_with_python_about_arithmetic(text: str, a: float, b: float) -> None:
    text = f"{text} + 0 * a"
    try:
        wanted = float(eval(text, {"a": a, "b": b}))  # made above, not from outside
    except ZeroDivisionError:
        assert Expression(text).value({"a": a, "b": b}) is None
        return
    assert Expression(text).value({"a": a, "b": b}) == wanted
