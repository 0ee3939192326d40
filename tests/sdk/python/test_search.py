"""Google Search with code: the results, and the citations in the answer, in bytes."""

from google.genai import types

MODEL = "gemini-3-flash-preview"
QUESTION = "How tall is the tallest mountain, in feet?"
EVEREST = "https://en.wikipedia.org/wiki/Mount_Everest"
CITED = "Der höchste Berg ist der Mount Everest, mit 8848,86 m"


def test_a_search_is_a_step_and_its_pages_are_cited(client):
    interaction = client.interactions.create(
        model=MODEL, input=QUESTION, tools=[{"type": "google_search"}, {"type": "code_execution"}]
    )
    call, result, code, output, answer = interaction.steps
    assert call.type == "google_search_call" and call.arguments.queries == ["height of Mount Everest"]
    assert result.type == "google_search_result" and result.call_id == call.id
    assert "Mount Everest" in result.result[0].search_suggestions
    assert (code.type, output.result) == ("code_execution_call", "29032\n")
    (content,) = answer.content
    (citation,) = content.annotations
    assert (citation.type, citation.url, citation.title) == ("url_citation", EVEREST, "Mount Everest")
    text = content.text.encode()
    assert text[citation.start_index : citation.end_index].decode() == CITED
    (grounding,) = interaction.usage.grounding_tool_count
    assert (grounding.type, grounding.count) == ("google_search", 1)


def test_generate_content_returns_grounding_metadata(plain):
    config = types.GenerateContentConfig(
        tools=[
            types.Tool(google_search=types.GoogleSearch()),
            types.Tool(code_execution=types.ToolCodeExecution()),
        ]
    )
    response = plain.models.generate_content(model=MODEL, contents=QUESTION, config=config)
    metadata = response.candidates[0].grounding_metadata
    assert metadata.web_search_queries == ["height of Mount Everest"]
    assert "carousel" in metadata.search_entry_point.rendered_content
    (chunk,) = metadata.grounding_chunks
    assert (chunk.web.uri, chunk.web.title) == (EVEREST, "Mount Everest")
    (support,) = metadata.grounding_supports
    assert support.grounding_chunk_indices == [0]
    segment = support.segment
    part = response.candidates[0].content.parts[segment.part_index or 0].text.encode()
    assert part[segment.start_index or 0 : segment.end_index].decode() == segment.text == CITED

    *before, last = plain.models.generate_content_stream(model=MODEL, contents=QUESTION, config=config)
    assert all(chunk.candidates[0].grounding_metadata is None for chunk in before)
    assert last.candidates[0].grounding_metadata == metadata
