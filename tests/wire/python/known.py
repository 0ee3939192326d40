"""Reads all recorded answers with the types of Google's SDK. The SDK ignores unknown members; here they
are failures.

    python known.py ANSWERS.jsonl
"""

import json
import re
import sys
from collections import Counter
from pathlib import Path

import pydantic
from google import genai
from google.genai import types

sys.path.insert(0, str(Path(__file__).parents[2] / "sdk/python"))

from google.genai._gaos.types.interactions.interactionsseevent import InteractionSSEEvent  # noqa: E402
from recorder import UNDECLARED as UNDECLARED_MEMBERS  # noqa: E402
from recorder import unknown  # noqa: E402

# generateContent: members that the real service sends although the SDK's types lack them.
UNDECLARED = {
    ("GenerateContentResponseUsageMetadata", "serviceTier"),  # recorded from the real service
    ("Model", "supportedGenerationMethods"),  # the SDK calls it supported_actions, and renames it
    ("CountTokensResponse", "promptTokensDetails"),  # documented, and dropped by the SDK
    ("CountTokensResponse", "totalBillableCharacters"),  # of Vertex AI: recorded, and dropped by the SDK
    ("GenerateContentResponseUsageMetadata", "promptTokenDetails"),  # of embeddings: recorded from the real service
    ("EmbedContentResponse", "usageMetadata"),  # recorded from the real service; older SDKs drop it
}
# Steps and contents of other servers are passed on unchanged, and not checked.
FOREIGN = re.compile("^(tool_call|from_the_future|of_tomorrow|.*_of_tomorrow)$")

EVENT = pydantic.TypeAdapter(InteractionSSEEvent)
# A step of a server's tool is announced without its payload, which the types call required.
PAYLOADS = {
    "code_execution_call": {"arguments": {"language": "python", "code": ""}},
    "code_execution_result": {"result": ""},
    "google_search_call": {"arguments": {"queries": []}},
    "google_search_result": {"result": []},
    "url_context_call": {"arguments": {"urls": []}},
    "url_context_result": {"result": []},
    "google_maps_call": {"arguments": {"queries": []}},
    "google_maps_result": {"result": []},
    "mcp_server_tool_call": {"name": "", "server_name": "", "arguments": {}},
    "mcp_server_tool_result": {"result": []},
    "tool_search_call": {"arguments": {"function_names": []}},
}


def interaction(body):
    if "object" not in body:
        return "nothing", []  # `{}`, after a deletion
    return "Interaction", unknown(genai.interactions.Interaction.model_validate(body), FOREIGN)


def event(body):
    if body.get("event_type") == "step.start":
        body = {**body, "step": {**PAYLOADS.get(body["step"]["type"], {}), **body["step"]}}
    read = EVENT.validate_python(body)
    return type(read).__name__, unknown(read, FOREIGN)


def classic(name):
    def check(body):
        try:
            getattr(types, name).model_validate(body)
        except pydantic.ValidationError as error:
            return name, [
                f"{mistake['msg']}: {'.'.join(map(str, mistake['loc']))}"
                for mistake in error.errors()
                if not declared(name, mistake)
            ]
        return name, []

    return check


def cached(body):
    return classic("CachedContent" if "name" in body else "ListCachedContentsResponse")(body)


def file_search(one, many):
    return lambda body: classic(one if "name" in body else many)(body)


def operation(body):
    """The SDK reads the type of the response from the class of the operation, and drops the file's size and type."""
    response = {name: body["response"].get(name) for name in ("parent", "documentName")}
    return classic("ImportFileOperation")({**body, "response": response})


def declared(root, mistake):
    if mistake["type"] != "extra_forbidden":
        return False
    place, member = mistake["loc"][:-1], mistake["loc"][-1]
    owner = {"usageMetadata": "GenerateContentResponseUsageMetadata", "models": "Model"}
    names = [owner.get(name, root) for name in place if isinstance(name, str)] or [root]
    return (names[-1], member) in UNDECLARED


def publisher_model(body):
    """The SDK reads `versionId` as `version`."""
    return "Model", [name for name in body if name not in ("name", "versionId")]


def publisher_models(body):
    return "PublisherModels", [name for model in body["publisherModels"] for name in publisher_model(model)[1]]


def embedding(body):
    """The SDK reads `embedding` as one of `embeddings`, and makes statistics of `truncated` and the counts."""
    return "EmbedContentResponse", [name for name in body if name not in ("embedding", "usageMetadata", "truncated")]


def predictions(body):
    """The SDK reads each of `predictions` as one of `embeddings`, which it finds in it."""
    read = [embedding for prediction in body["predictions"] for embedding in prediction.values()]
    return classic("EmbedContentResponse")({"embeddings": read, "metadata": body["metadata"]})


ROUTES = [
    ("answer", r":embedContent$", embedding),
    ("answer", r":predict$", predictions),
    ("answer", r"/publishers/[^/]+/models/[^/:]+$", publisher_model),
    ("answer", r"/publishers/[^/]+/models$", publisher_models),
    ("answer", r":computeTokens$", classic("ComputeTokensResponse")),
    ("answer", r":batchEmbedContents$", classic("EmbedContentResponse")),
    ("answer", r"/interactions(/|$)", interaction),
    ("event", r"^/(?!x/)", event),  # those of sessions are our own
    ("piece", r"", classic("GenerateContentResponse")),
    ("answer", r":generateContent$", classic("GenerateContentResponse")),
    ("answer", r":countTokens$", classic("CountTokensResponse")),
    ("answer", r"/models/[^/:]+$", classic("Model")),
    ("answer", r"/models$", classic("ListModelsResponse")),
    ("answer", r"/cachedContents$", cached),
    ("answer", r"/cachedContents/[^:]+$", classic("CachedContent")),
    ("answer", r"/fileSearchStores$", file_search("FileSearchStore", "ListFileSearchStoresResponse")),
    ("answer", r"/fileSearchStores/[^/:]+$", classic("FileSearchStore")),
    ("answer", r"/documents$", classic("ListDocumentsResponse")),
    ("answer", r"/documents/[^/]+$", classic("Document")),
    ("answer", r"/fileSearchStores/.*(/operations/|:importFile|:uploadToFileSearchStore)", operation),
    ("answer", r"^/upload/", lambda body: classic("File")(body["file"])),
    ("answer", r"^/v1[a-z]*/files$", classic("ListFilesResponse")),
    ("answer", r"^/v1[a-z]*/files/[^:]+$", classic("File")),
]


def check(answer):
    if answer["status"] != 200 or "error" in answer["body"] and answer["kind"] == "piece":
        return None  # the SDK's error classes depend on the status only
    if "/openai/" in answer["path"]:
        return None  # of another SDK, see tests/clients
    for kind, path, read in ROUTES:
        if answer["kind"] == kind and re.search(path, answer["path"]) and answer["body"]:
            return read(answer["body"])
    return None


counts, found = Counter(), 0
for line in Path(sys.argv[1]).read_text().splitlines():
    answer = json.loads(line)
    try:
        name, mistakes = check(answer) or (None, [])
    except (pydantic.ValidationError, KeyError, TypeError) as error:
        name, mistakes = "unreadable", [str(error)]
    if name:
        counts[name] += 1
    if mistakes:
        found += 1
        print(f"{answer['path']}: {line[:800]}", *mistakes, sep="\n  ", file=sys.stderr)
print(f"google-genai {genai.__version__}:", dict(counts), f"and by name {sorted(map(str, UNDECLARED | UNDECLARED_MEMBERS))}")
sys.exit(found > 0)
