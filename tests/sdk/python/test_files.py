"""Uploaded files: upload, get, list, delete, and their use by code."""

import asyncio
import hashlib
import io

import pytest
from google import genai
from google.genai import errors, types

from conftest import ASSETS

CSV = ASSETS / "measurements.csv"
CODE = [{"type": "code_execution"}]
CONFIG = types.GenerateContentConfig(tools=[types.Tool(code_execution=types.ToolCodeExecution())])


@pytest.fixture
def uploaded(plain):
    file = plain.files.upload(file=CSV, config={"display_name": "Measurements"})
    yield file
    plain.files.delete(name=file.name)


def test_a_file_is_uploaded_found_and_deleted(plain):
    file = plain.files.upload(file=CSV)
    assert file.mime_type == "text/csv"
    assert file.size_bytes == CSV.stat().st_size
    assert file.state == types.FileState.ACTIVE
    assert file.source == types.FileSource.UPLOADED
    assert 47 * 3600 < (file.expiration_time - file.create_time).total_seconds() <= 48 * 3600
    assert plain.files.get(name=file.name) == file
    plain.files.delete(name=file.name)
    with pytest.raises(errors.ClientError) as gone:
        plain.files.get(name=file.name)
    assert gone.value.code == 403 and gone.value.status == "PERMISSION_DENIED"


def test_a_file_of_several_chunks_arrives_complete(plain):
    content = b"0123456789abcdef" * (1 << 20)  # 16 MiB, which are two chunks and one byte
    file = plain.files.upload(file=io.BytesIO(content + b"!"), config={"mime_type": "text/plain"})
    try:
        assert file.size_bytes == len(content) + 1
        response = plain.models.generate_content(
            model="direct",
            contents=["import hashlib\nprint(hashlib.sha256(open('input_file_0.txt', 'rb').read()).hexdigest())", file],
            config=CONFIG,
        )
        assert response.code_execution_result.strip() == hashlib.sha256(content + b"!").hexdigest()
    finally:
        plain.files.delete(name=file.name)


def test_an_empty_file_is_accepted(plain):
    file = plain.files.upload(file=io.BytesIO(b""), config={"mime_type": "text/plain"})
    assert not file.size_bytes
    plain.files.delete(name=file.name)


def test_a_file_is_used_in_both_apis(plain, uploaded):
    code = "print(open('input_file_0.csv').readline(), end='')"
    first_line = CSV.read_text().splitlines(keepends=True)[0]
    response = plain.models.generate_content(model="direct", contents=[code, uploaded], config=CONFIG)
    assert response.code_execution_result == first_line
    interaction = plain.interactions.create(
        model="direct",
        input=[
            {"type": "text", "text": code},
            {"type": "document", "uri": uploaded.uri, "mime_type": uploaded.mime_type},
        ],
        tools=CODE,
    )
    assert interaction.steps[1].result == first_line


def test_files_are_listed_in_pages(plain, uploaded):
    names = [plain.files.upload(file=CSV).name for _ in range(3)]
    pager = plain.files.list(config={"page_size": 2})
    assert len(pager.page) == 2
    listed = [file.name for file in plain.files.list(config={"page_size": 2})]
    assert {*names, uploaded.name} <= set(listed)
    assert len(listed) == len(set(listed))
    for name in names:
        plain.files.delete(name=name)


def test_a_file_may_have_a_chosen_name(plain):
    file = plain.files.upload(file=CSV, config={"name": "a-name-of-my-own", "mime_type": "text/csv"})
    try:
        assert file.name == "files/a-name-of-my-own"
        with pytest.raises(errors.ClientError):
            plain.files.upload(file=CSV, config={"name": "a-name-of-my-own"})
    finally:
        plain.files.delete(name="a-name-of-my-own")


def test_an_unsupported_type_is_refused(plain):
    with pytest.raises(errors.ClientError, match="Unsupported MIME"):
        plain.files.upload(file=CSV, config={"mime_type": "bad/mime_type"})


def test_an_uploaded_file_cannot_be_downloaded(plain, uploaded):
    with pytest.raises(errors.ClientError):
        plain.files.download(file=uploaded.name)


def test_the_async_client_uploads_too():
    async def upload():
        async with genai.Client().aio as client:
            file = await client.files.upload(file=CSV)
            found = await client.files.get(name=file.name)
            await client.files.delete(name=file.name)
            return file, found

    file, found = asyncio.run(upload())
    assert file == found
