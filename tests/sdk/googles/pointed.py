"""Google's own tests, of google-genai, against the server that GOOGLE_GEMINI_BASE_URL names.

A plugin for pytest. The tests construct their clients in a way that bypasses that variable, and would
send their requests to Google. GOOGLES.md lists the tests that cannot pass here, with the reasons, and VERTEX.md
those in the mode of Vertex AI; they are expected to fail.
"""

import os
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest
from google.oauth2.credentials import Credentials
from google.genai import _api_client, types

SERVER = os.environ["GOOGLE_GEMINI_BASE_URL"]
IS_VERTEX = "GOOGLE_GENAI_RUN_VERTEX_ONLY_IN_API_MODE" in os.environ
PAGE = Path(__file__).with_name("VERTEX.md" if IS_VERTEX else "GOOGLES.md")
make = _api_client.BaseApiClient.__init__


def make_here(self, *args, vertexai=None, http_options=None, **more):
    if bool(vertexai) == IS_VERTEX:
        if not isinstance(http_options, types.HttpOptions):
            http_options = types.HttpOptions.model_validate(http_options or {})
        if not http_options.base_url:
            http_options = http_options.model_copy(update={"base_url": SERVER})
    if vertexai and IS_VERTEX and not more.get("api_key"):
        # With a base URL the SDK would ignore the project and the location of the environment.
        more["project"] = more.get("project") or os.environ["GOOGLE_CLOUD_PROJECT"]
        more["location"] = more.get("location") or os.environ["GOOGLE_CLOUD_LOCATION"]
        more["credentials"] = more.get("credentials") or Credentials(token="anything")
    make(self, *args, vertexai=vertexai, http_options=http_options, **more)


_api_client.BaseApiClient.__init__ = make_here
build = _api_client.BaseApiClient._build_request


def build_here(self, *args, **more):
    """Some tests name a host of Google's for a single request. No request is sent to it."""
    request = build(self, *args, **more)
    if bool(self.vertexai) == IS_VERTEX and not request.url.startswith(SERVER):
        raise ConnectionError(f"{request.url} is Google's own host")
    return request


_api_client.BaseApiClient._build_request = build_here


def reasons():
    """The rows of the page's tables that begin with the name of a test: `module.py::name`, with wildcards."""
    for line in PAGE.read_text().splitlines():
        row = re.match(r"\| `([^`]+\.py::[^`]+)` \| (.+) \|$", line)
        if row:
            yield row.groups()


def pytest_collection_modifyitems(items):
    listed = list(reasons())
    for item in items:
        place = item.nodeid.split("genai/tests/")[-1].split("[")[0]
        for pattern, reason in listed:
            if fnmatch(place, pattern):
                # A test that passes must be removed from the page.
                item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
                break
