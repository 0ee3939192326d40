from agent import ask


def test_the_agent_looks_the_price_up():
    assert ask("What does cheese cost?") == "It costs 11.0 euros."
