"""Batches, inline and by file."""

import io
import json
import time

import pytest
from google.genai import errors, types

DONE = {"JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED", "JOB_STATE_EXPIRED"}
TOOLS = [{"code_execution": {}}]


def finished(client, job):
    """The loop of Google's page."""
    deadline = time.monotonic() + 60
    while job.state.name not in DONE:
        assert time.monotonic() < deadline, job
        job = client.batches.get(name=job.name)
    return job


def request(code):
    return {"contents": [{"role": "user", "parts": [{"text": code}]}], "config": {"tools": TOOLS}}


def test_inline_requests_have_results_in_their_order(plain):
    job = plain.batches.create(
        model="direct",
        src=[request("print(1)"), {"contents": [{"parts": [{"text": "print(2)"}]}], "model": "direct"}, request("1 / 0")],
        config={"display_name": "night"},
    )
    assert (job.display_name, job.state.name) == ("night", "JOB_STATE_PENDING")
    job = finished(plain, job)
    assert job.state.name == "JOB_STATE_SUCCEEDED"
    assert job.end_time >= job.create_time
    first, second, third = job.dest.inlined_responses
    assert first.response.code_execution_result == "1\n"
    assert second.error or second.response.text  # `direct` without the tool
    assert "ZeroDivisionError" in third.response.code_execution_result
    assert job.name in {listed.name for listed in plain.batches.list(config={"page_size": 5})}
    plain.batches.delete(name=job.name)
    with pytest.raises(errors.ClientError) as gone:
        plain.batches.get(name=job.name)
    assert gone.value.code == 404


def test_a_file_of_requests_becomes_a_file_of_results(plain):
    line = {"contents": [{"parts": [{"text": "print(6 * 7)"}]}], "tools": TOOLS}
    lines = [json.dumps({"key": "a", "request": line}), "nonsense"]
    upload = types.UploadFileConfig(mime_type="application/jsonl")
    file = plain.files.upload(file=io.BytesIO("\n".join(lines).encode()), config=upload)
    job = finished(plain, plain.batches.create(model="direct", src=file.name))
    results = plain.files.download(file=job.dest.file_name)
    first, second = map(json.loads, results.decode().splitlines())
    parts = first["response"]["candidates"][0]["content"]["parts"]
    assert [part["codeExecutionResult"]["output"] for part in parts if "codeExecutionResult" in part] == ["42\n"]
    assert (first["key"], second["error"]["code"]) == ("a", 3)
    plain.files.delete(name=file.name)
    plain.batches.delete(name=job.name)


def test_a_batch_is_cancelled(plain):
    job = plain.batches.create(model="direct", src=[request("while True: pass")])
    plain.batches.cancel(name=job.name)
    assert plain.batches.get(name=job.name).state.name == "JOB_STATE_CANCELLED"
    plain.batches.delete(name=job.name)


def test_contents_are_embedded(plain):
    source = types.EmbeddingsBatchJobSource(
        inlined_requests=types.EmbedContentBatch(
            contents=["a red house", "red houses"], config={"output_dimensionality": 8}
        )
    )
    job = finished(plain, plain.batches.create_embeddings(model="gemini-embedding-001", src=source))
    first, second = job.dest.inlined_embed_content_responses
    assert [len(item.response.embedding.values) for item in (first, second)] == [8, 8]
    assert first.response.token_count == 3
    plain.batches.delete(name=job.name)
