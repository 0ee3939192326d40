"""The official Python client, and the one of OpenAI's Agents SDK."""

import os
from contextlib import asynccontextmanager

import anyio
import httpx2
import pytest
from agents.mcp import MCPServerStreamableHttp
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

URL = os.environ["BELLJAR_URL"]
PNG = "iVBORw0KGgo"
PLOT = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@asynccontextmanager
async def over_http(key="first"):
    http = httpx2.AsyncClient(headers={"x-goog-api-key": key}, timeout=60)
    async with http, Client(streamable_http_client(f"{URL}/mcp", http_client=http)) as client:
        yield client


@asynccontextmanager
async def over_stdio():
    socket = os.environ["BELLJAR_SANDBOX_SOCKET"]
    command = StdioServerParameters(
        command=os.environ["BELLJAR_PROGRAM"], args=["mcp", "--sandbox-socket", socket]
    )
    async with Client(command) as client:
        yield client


async def run(client, code, **options):
    result = await client.call_tool("run_python", {"code": code}, **options)
    assert not result.is_error, result
    return result


@pytest.mark.parametrize("connect", [over_http, over_stdio])
async def test_three_calls_with_state_and_a_picture(connect):
    async with connect() as client:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        assert tools == {"run_python", "list_files", "read_file", "write_file", "reset"}
        await run(client, "x = 6")
        printed = await run(client, "print(x * 7)")
        assert printed.content[0].text == "42\n"
        assert printed.structured_content["outcome"] == "ok"
        picture = (await run(client, PLOT)).content[1]
        assert (picture.mime_type, picture.data[: len(PNG)]) == ("image/png", PNG)


@pytest.mark.parametrize("connect", [over_http, over_stdio])
async def test_files_are_written_listed_and_read(connect):
    async with connect() as client:
        await client.call_tool("write_file", {"path": "d/in.txt", "text": "hé"})
        await client.call_tool("write_file", {"path": "bytes", "base64": "/wA="})
        ran = await run(client, "open('out.csv', 'w').write(open('d/in.txt').read() + '!')")
        link = ran.content[1]
        assert (link.type, link.name, link.size) == ("resource_link", "out.csv", 4)
        resource = await client.read_resource(link.uri)
        assert resource.contents[0].text == "hé!"
        listed = (await client.call_tool("list_files", {})).content[0].text
        assert listed == "bytes\t2 bytes\nd/in.txt\t3 bytes\nout.csv\t4 bytes\n"
        text = await client.call_tool("read_file", {"path": "out.csv"})
        assert text.content[0].text == "hé!"
        binary = await client.call_tool("read_file", {"path": "bytes"})
        assert binary.content[0].resource.blob == "/wA="
        outside = await client.call_tool("read_file", {"path": "../x"})
        assert outside.is_error and "invalid path" in outside.content[0].text


async def test_reset_discards_everything():
    async with over_http() as client:
        await run(client, "x = 1\nopen('f', 'w').close()")
        await client.call_tool("reset", {})
        printed = await run(client, "import os; print('x' in globals(), os.listdir())")
        assert printed.content[0].text == "False []\n"


async def test_code_that_fails_or_ends_its_interpreter_is_a_result():
    async with over_http() as client:
        failed = await run(client, "x = 1\n1/0")
        assert "ZeroDivisionError" in failed.content[0].text
        assert failed.structured_content["outcome"] == "failed"
        assert (await run(client, "print(x)")).content[0].text == "1\n"
        ended = (await run(client, "import os; os._exit(3)")).content[0].text
        assert "The session has ended" in ended and "exit code 3" in ended
        again = await run(client, "print('x' in globals())")
        assert again.content[0].text == "False\n"
        assert "new interpreter" in again.content[1].text


async def test_output_is_reported_as_progress():
    async with over_http() as client:
        seen = []

        async def report(progress, total, message):
            seen.append(message)

        code = "import time\nprint('first')\ntime.sleep(0.3)\nprint('second')"
        await run(client, code, progress_callback=report)
        assert "first\n" in seen


async def test_a_cancelled_call_is_interrupted_and_the_state_is_kept():
    async with over_http() as client:
        await run(client, "kept = 1")
        with anyio.move_on_after(1) as scope:
            await run(client, "import time\ntime.sleep(60)")
        assert scope.cancelled_caught
        with anyio.fail_after(4):  # the time limit of the code would come later
            assert (await run(client, "print(kept)")).content[0].text == "1\n"


async def test_wrong_calls_are_explained():
    async with over_http() as client:
        for arguments in ({}, {"code": 1}, {"code": "1", "timeout_s": 0}, {"code": "1", "other": 1}):
            wrong = await client.call_tool("run_python", arguments)
            assert wrong.is_error and "invalid arguments" in wrong.content[0].text
        with pytest.raises(MCPError, match="unknown tool"):
            await client.call_tool("fly", {})
        gone = await client.call_tool("list_files", {"session": "session-of-another"})
        assert gone.is_error and "not found" in gone.content[0].text


async def test_each_connection_has_a_session_of_its_own_that_ends_with_it():
    headers = {"x-goog-api-key": "second"}
    async with httpx2.AsyncClient(base_url=URL, headers=headers) as http:

        async def sessions():
            return len((await http.get("/x/sessions")).json()["sessions"])

        assert await sessions() == 0
        async with over_http("second") as one, over_http("second") as other:
            await run(one, "x = 1")
            assert (await run(other, "print('x' in globals())")).content[0].text == "False\n"
            assert await sessions() == 2
        with anyio.fail_after(10):
            while await sessions():
                await anyio.sleep(0.05)


async def test_a_connection_does_not_exist_for_another_key():
    start = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    }
    headers = {"accept": "application/json, text/event-stream", "x-goog-api-key": "first"}
    async with httpx2.AsyncClient(base_url=URL) as http:
        assert (await http.post("/mcp", json=start)).status_code == 403
        started = await http.post("/mcp", json=start, headers=headers)
        assert started.status_code == 200, started.text
        headers["mcp-session-id"] = started.headers["mcp-session-id"]
        listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
        theirs = headers | {"x-goog-api-key": "second"}
        refused = await http.post("/mcp", json=listing, headers=theirs)
        assert (refused.status_code, refused.json()["error"]["status"]) == (404, "NOT_FOUND")
        await http.delete("/mcp", headers=theirs)
        assert (await http.post("/mcp", json=listing, headers=headers)).status_code == 200


async def test_openais_agents_sdk_calls_the_tools():
    params = {"url": f"{URL}/mcp", "headers": {"x-goog-api-key": "first"}}
    server = MCPServerStreamableHttp(params, client_session_timeout_seconds=60)
    async with server:
        assert len(await server.list_tools()) == 5
        for code, wanted in (("x = 6", ""), ("print(x * 7)", "42\n")):
            result = await server.call_tool("run_python", {"code": code})
            assert result.content[0].text == wanted
        plot = await server.call_tool("run_python", {"code": PLOT})
        assert plot.content[1].data.startswith(PNG)
