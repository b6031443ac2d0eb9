"""The judge of the fuzz test and of the state machine."""

from __future__ import annotations

from tests.support.counter_judge import CounterJudge


def _never(_: str) -> bool:
    return False


def test_increase_is_accepted() -> None:
    judge = CounterJudge[str]()

    assert judge.check({"a": 1, "b": 0}, may_vanish=_never) == []
    assert judge.check({"a": 2, "c": 5}, may_vanish=_never) == []


def test_decrease_is_reported_even_after_an_absence() -> None:
    judge = CounterJudge[str]()
    judge.check({"a": 2}, may_vanish=_never)
    judge.check({}, may_vanish=lambda _: True)

    assert judge.check({"a": 1}, may_vanish=_never) == ["decreased from 2 to 1: a"]


def test_vanished_counter_needs_a_reason() -> None:
    judge = CounterJudge[str]()
    judge.check({"a": 2}, may_vanish=_never)

    assert judge.check({}, may_vanish=_never) == ["vanished at 2: a"]


def test_counter_of_zero_may_vanish() -> None:
    judge = CounterJudge[str]()
    judge.check({"a": 0}, may_vanish=_never)

    assert judge.check({}, may_vanish=_never) == []


def test_value_above_the_true_total_is_reported() -> None:
    judge = CounterJudge[str]()

    problems = judge.check({"a": 2, "b": 1, "c": 0}, may_vanish=_never, upper_bounds={"a": 2})

    assert problems == ["1 exceeds the total 0: b"]


def test_restored_counter_below_the_saved_value_is_reported() -> None:
    judge = CounterJudge({"a": 3.0})

    assert judge.check({"a": 2}, may_vanish=_never) == ["decreased from 3.0 to 2: a"]
