"""Compares the document of the API with the types of the newest google-genai, and names what is new:
fields, values of enums, types of steps, contents and tools, and routes.

    python newest.py OPENAPI.json DECLINED.toml

What this server does not serve stands in DECLINED.toml with a reason. An entry of it that the SDK no
longer has, or that the document has, is an error too.
"""

import enum
import json
import re
import sys
import tomllib
import types as python_types
import typing
from pathlib import Path

import pydantic
import typing_extensions
from google import genai
from google.genai import types
from google.genai._gaos.types.interactions.createmodelinteraction import CreateModelInteraction
from google.genai._gaos.types.interactions.interaction import Interaction
from google.genai._gaos.types.interactions.interactionsseevent import InteractionSSEEvent

TAGS = ("type", "event_type")
ALIASES = (typing.TypeAliasType, typing_extensions.TypeAliasType) if sys.version_info >= (3, 12) else (
    typing_extensions.TypeAliasType,
)

# Each type of the SDK, and its equivalents in the document.
REQUESTS = [
    ("GenerateContentConfig", types.GenerateContentConfig, ["VertexGenerateContentRequest", "GenerateContentRequest", "GenerationConfig"]),
    ("Content", types.Content, ["GenerateContent"]),
    ("GenerationConfig", types.GenerationConfig, ["GenerationConfig"]),
    ("Tool", types.Tool, ["GenerateTool"]),
    ("ToolConfig", types.ToolConfig, ["ToolConfig"]),
    ("File", types.File, ["File"]),
    ("interactions.create", CreateModelInteraction, ["VertexCreateInteraction", "CreateInteraction"]),
]
# Types that the SDK accepts in more forms than it sends.
ELSEWHERE = {"GenerateContentConfig.systemInstruction", "GenerateContentConfig.tools"}
ANSWERS = [
    ("GenerateContentResponse", types.GenerateContentResponse, ["VertexGenerateContentResponse", "GenerateContentResponse"]),
    ("CountTokensResponse", types.CountTokensResponse, ["CountTokensResponse"]),
    ("ComputeTokensResponse", types.ComputeTokensResponse, ["ComputeTokensResponse"]),
    ("Model", types.Model, ["Model"]),
    ("Interaction", Interaction, ["Interaction"]),
    ("InteractionSSEEvent", InteractionSSEEvent, ["InteractionEvent"]),
]


class Document:
    def __init__(self, document):
        self.components = document["components"]["schemas"]
        self.paths = document["paths"]

    def variants(self, schemas):
        """The schemas without references and alternatives around them."""
        found, left = [], list(schemas)
        while left:
            schema = left.pop(0)
            if "$ref" in schema:
                left.append(self.components[schema["$ref"].rsplit("/", 1)[1]])
            elif "contentSchema" in schema:
                left.append(schema["contentSchema"])
            else:
                found.append(schema)
            for word in ("anyOf", "oneOf", "allOf"):
                left += schema.get(word, [])
        return found

    def properties(self, variants, name):
        return [schema["properties"][name] for schema in variants if name in schema.get("properties", {})]

    def words(self, schemas):
        """The values that a string may have; empty if it is unrestricted."""
        words = set()
        for schema in self.variants(schemas):
            words.update(schema.get("enum", []))
            words.update([schema["const"]] if "const" in schema else [])
        return words

    def tagged(self, variants, tag, word):
        """The alternatives with this value of their tag, without those that accept any value."""
        return [
            schema
            for schema in variants
            if word in self.words(self.properties([schema], tag))
        ]


def plain(kind):
    """A type without its annotations."""
    while True:
        if isinstance(kind, ALIASES):
            kind = kind.__value__
        elif typing.get_origin(kind) in (typing.Annotated, typing_extensions.Annotated):
            kind = typing.get_args(kind)[0]
        else:
            return kind


def members(kind):
    """All alternatives of a type."""
    kind = plain(kind)
    origin = typing.get_origin(kind)
    if origin in (typing.Union, python_types.UnionType):
        return [member for part in typing.get_args(kind) for member in members(part)]
    if origin in (list, tuple, set, typing.Sequence) or getattr(origin, "__name__", "") in ("Sequence", "Iterable"):
        return [member for part in typing.get_args(kind) for member in members(part)]
    return [kind]


def is_model(kind):
    return isinstance(kind, type) and issubclass(kind, pydantic.BaseModel)


def fields(model):
    for name, field in model.model_fields.items():
        yield field.serialization_alias or field.alias or name, field.annotation


def words_of(kind):
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return {member.value for member in kind if member.name != "UNSPECIFIED"}
    if typing.get_origin(kind) is typing.Literal:
        return {word for word in typing.get_args(kind) if isinstance(word, str)}
    return set()


def tag_of(model):
    for name, annotation in fields(model):
        if name in TAGS:
            words = set().union(*map(words_of, members(annotation)))
            if len(words) == 1:
                return name, words.pop()
    return None


class Comparison:
    def __init__(self, document):
        self.document, self.new, self.seen = document, set(), set()

    def type(self, path, kind, schemas):
        variants = self.document.variants(schemas)
        kinds = members(kind)
        known = self.document.words(variants)
        words = set().union(*map(words_of, kinds))
        # An unrestricted string includes all values.
        if known and words:
            self.new |= {f"{path}={word}" for word in words - known - {word.upper() for word in known}}
        for model in filter(is_model, kinds):
            tag = tag_of(model)
            if tag is None:
                self.model(path, model, variants)
            elif re.search("^Unknown", model.__name__) is None:
                tagged = self.document.tagged(variants, *tag)
                if tagged:
                    self.model(f"{path}[{tag[1]}]", model, tagged)
                elif any("properties" in schema for schema in variants):
                    self.new.add(f"{path}[{tag[1]}]")

    def model(self, path, model, variants):
        described = [schema for schema in variants if "properties" in schema]
        if not described or (model, path) in self.seen or path.count(".") > 8:
            return
        self.seen.add((model, path))
        for name, annotation in fields(model):
            found = self.document.properties(described, name)
            if f"{path}.{name}" in ELSEWHERE:
                continue
            if found:
                self.type(f"{path}.{name}", annotation, found)
            else:
                self.new.add(f"{path}.{name}")


def routes_of_sdk():
    """From its source: the classic modules format paths, the generated ones name them."""
    folder = Path(genai.__file__).parent
    found = set()
    for module in folder.glob("*.py"):
        text = module.read_text()
        blocks = re.split(r"\n\s+if self\._api_client\.vertexai:", text)
        for block in blocks:
            # The `else` branch is for the Gemini API.
            _, _, gemini = block.partition("\n    else:")
            found |= set(re.findall(r"path = '([^']+)'\.format_map", gemini or ""))
    for module in (folder / "_gaos").rglob("*.py"):
        found |= set(re.findall(r'\bpath="(/\{api_version\}[^"]+)"', module.read_text()))
    # Some paths are only a name, such as `models/x` and `files/x`.
    return {path for path in map(normal, found) if not path.startswith("{}")}


def normal(path):
    """Without the version, the query and the names of parameters."""
    path = re.sub(r"^(upload/)?\{+(api_version|version)\}+/", r"\1", path.lstrip("/")).partition("?")[0]
    path = re.sub(r"^\{model\}:", "models/{}:", path)
    path = re.sub(r"^upload/\{file_search_store_name\}", "upload/fileSearchStores/{}", path)
    return re.sub(r"\{[^}]*\}", "{}", path)


def new(document):
    comparison = Comparison(document)
    for name, kind, places in REQUESTS + ANSWERS:
        comparison.type(name, kind, [document.components[place] for place in places])
    served = {normal(path) for path in document.paths}
    comparison.new |= {f"route {path}" for path in routes_of_sdk() - served}
    return comparison.new


def main():
    document = Document(json.loads(Path(sys.argv[1]).read_text()))
    groups = tomllib.loads(Path(sys.argv[2]).read_text())["declined"]
    mistakes, declined = [], {}
    for group in groups:
        if not group["reason"].strip():
            mistakes.append(f"without a reason: {group['what']}")
        for entry in group["what"]:
            if entry in declined:
                mistakes.append(f"declined twice: {entry}")
            declined[entry] = group["reason"]
    found = new(document)
    mistakes += [f"new in the SDK: {entry}" for entry in sorted(found - declined.keys())]
    mistakes += [f"declined, and not in the SDK or served: {entry}" for entry in sorted(declined.keys() - found)]
    print(*mistakes, sep="\n", file=sys.stderr)
    print(f"google-genai {genai.__version__}: {len(found)} things that this server does not serve")
    sys.exit(bool(mistakes))


main()
