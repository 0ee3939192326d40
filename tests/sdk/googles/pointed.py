"""Google's own tests, of google-genai, against the server that GOOGLE_GEMINI_BASE_URL names.

A plugin for pytest. The tests construct their clients in a way that bypasses that variable, and would
send their requests to Google. GOOGLES.md lists the tests that cannot pass here, with the reasons; they are
expected to fail.
"""

import os
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest
from google.genai import _api_client, types

PAGE = Path(__file__).with_name("GOOGLES.md")
make = _api_client.BaseApiClient.__init__


def make_here(self, *args, vertexai=None, http_options=None, **more):
    if not vertexai:
        if not isinstance(http_options, types.HttpOptions):
            http_options = types.HttpOptions.model_validate(http_options or {})
        if not http_options.base_url:
            http_options = http_options.model_copy(update={"base_url": os.environ["GOOGLE_GEMINI_BASE_URL"]})
    make(self, *args, vertexai=vertexai, http_options=http_options, **more)


_api_client.BaseApiClient.__init__ = make_here
build = _api_client.BaseApiClient._build_request


def build_here(self, *args, **more):
    """Some tests name a host of Google's for a single request. No request is sent to it."""
    request = build(self, *args, **more)
    if not self.vertexai and not request.url.startswith(os.environ["GOOGLE_GEMINI_BASE_URL"]):
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
