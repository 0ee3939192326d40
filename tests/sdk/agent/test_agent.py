"""The agent's tests. `belljar exec -- pytest` sets the address of the model."""

import pytest

from agent import ask


def test_the_answer_comes_from_code_that_ran():
    text, proof = ask("How many days has the year 2028?")
    assert text == "It has 366 days."
    assert proof == ["366\n"]


def test_the_same_question_about_another_year_runs_other_code():
    assert ask("How many days has the year 2027?") == ("It has 365 days.", ["365\n"])


def test_an_unexpected_question_is_refused_with_the_expected_ones():
    with pytest.raises(Exception, match="The nearest is `days of a year`"):
        ask("How many weeks has the year 2028?")
