"""google-genai: the page's code. `tests/sdk` has the rest."""

from conftest import test_of_the_page  # noqa: F401

HEADING = "google-genai"
