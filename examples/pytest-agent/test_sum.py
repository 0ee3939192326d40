from google import genai


def test_sum(belljar):
    belljar.script(
        when={"input": {"contains": "sum"}},
        script=[{"code": "print(40 + 2)"}, {"text": "It is {{ stdout | trim }}."}],
    )
    client = genai.Client()
    answer = client.interactions.create(
        model="gemini-3-flash-preview", input="the sum?", tools=[{"type": "code_execution"}]
    )
    assert answer.output_text == "It is 42."
    assert belljar.requests[-1].scenario
    assert belljar.runs[-1].stdout == "42\n"
