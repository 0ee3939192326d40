"""File search stores: upload, import, search with a filter, and deletion."""

import io

import pytest
from google.genai import errors, types

MODEL = "gemini-3-flash-preview"
QUESTION = "Where does moss grow?"
MOSS = "Moss is green. It grows on stones, and it needs water."


@pytest.fixture
def store(plain):
    store = plain.file_search_stores.create(config={"display_name": "Plants"})
    yield store
    plain.file_search_stores.delete(name=store.name, config={"force": True})


def upload(plain, store, year):
    operation = plain.file_search_stores.upload_to_file_search_store(
        file_search_store_name=store.name,
        file=io.BytesIO(MOSS.encode()),
        config={
            "display_name": f"moss-{year}.txt",
            "mime_type": "text/plain",
            "custom_metadata": [{"key": "year", "numeric_value": year}],
            "chunking_config": {"white_space_config": {"max_tokens_per_chunk": 200, "max_overlap_tokens": 20}},
        },
    )
    while not operation.done:
        operation = plain.operations.get(operation)
    return operation


def test_a_document_is_uploaded_found_and_deleted(plain, store):
    assert store.name.startswith("fileSearchStores/plants-")
    operation = upload(plain, store, 1990)
    assert plain.operations.get(operation).response.document_name == operation.response.document_name
    (document,) = plain.file_search_stores.documents.list(parent=store.name)
    assert (document.name, document.display_name) == (operation.response.document_name, "moss-1990.txt")
    assert (document.state, document.size_bytes) == (types.DocumentState.STATE_ACTIVE, len(MOSS))
    assert document.custom_metadata[0].numeric_value == 1990
    assert plain.file_search_stores.get(name=store.name).active_documents_count == 1
    assert store.name in [listed.name for listed in plain.file_search_stores.list()]
    with pytest.raises(errors.ClientError) as refused:
        plain.file_search_stores.delete(name=store.name)
    assert refused.value.status == "FAILED_PRECONDITION"
    plain.file_search_stores.documents.delete(name=document.name, config={"force": True})
    assert list(plain.file_search_stores.documents.list(parent=store.name)) == []


def test_an_uploaded_file_is_imported(plain, store):
    file = plain.files.upload(file=io.BytesIO(MOSS.encode()), config={"mime_type": "text/plain"})
    operation = plain.file_search_stores.import_file(file_search_store_name=store.name, file_name=file.name)
    while not operation.done:
        operation = plain.operations.get(operation)
    document = plain.file_search_stores.documents.get(name=operation.response.document_name)
    assert document.size_bytes == len(MOSS)
    plain.files.delete(name=file.name)


def test_a_search_is_filtered_and_cited(plain, store):
    upload(plain, store, 1990)
    upload(plain, store, 2000)
    search = types.FileSearch(file_search_store_names=[store.name], metadata_filter="year > 1990", top_k=3)
    config = types.GenerateContentConfig(tools=[types.Tool(file_search=search)])
    response = plain.models.generate_content(model=MODEL, contents=QUESTION, config=config)
    assert response.text == "Moss grows on stones [1]."
    metadata = response.candidates[0].grounding_metadata
    (chunk,) = metadata.grounding_chunks
    assert (chunk.retrieved_context.title, chunk.retrieved_context.text) == ("moss-2000.txt", MOSS)
    assert chunk.retrieved_context.file_search_store == store.name
    assert metadata.grounding_supports[0].segment.text == "Moss grows on stones"


def test_an_excerpt_is_cited_in_an_interaction(client, plain, store):
    operation = upload(plain, store, 1990)
    tool = {"type": "file_search", "file_search_store_names": [store.name]}
    interaction = client.interactions.create(model=MODEL, input=QUESTION, tools=[tool])
    call, result, answer = interaction.steps
    assert (call.type, result.type, result.call_id) == ("file_search_call", "file_search_result", call.id)
    (citation,) = answer.content[0].annotations
    assert (citation.type, citation.document_uri) == ("file_citation", operation.response.document_name)
