from google import genai
from google.genai import types


def test_the_answer_comes_from_code_that_ran():
    client = genai.Client()
    answer = client.models.generate_content(
        model="gemini-2.5-flash",
        contents="How long is the word 'Donaudampfschiff'?",
        config=types.GenerateContentConfig(tools=[types.Tool(code_execution=types.ToolCodeExecution())]),
    )
    results = [part.code_execution_result for part in answer.candidates[0].content.parts]
    assert [result.output for result in results if result] == ["16\n"]
    assert answer.text == "It has 16 letters."
