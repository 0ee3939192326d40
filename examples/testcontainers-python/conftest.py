"""Starts the image once for all tests, with the scenarios of this folder, and points Google's SDK at it."""

import os
from pathlib import Path

import pytest
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import HealthcheckWaitStrategy

PORT = 8080


@pytest.fixture(scope="session", autouse=True)
def belljar():
    container = (
        DockerContainer(os.environ.get("BELLJAR_IMAGE", "belljar"))
        .with_exposed_ports(PORT)
        .with_copy_into_container(Path(__file__).parent / "scenarios", "/")
        .with_env("BELLJAR_SCENARIOS", "/scenarios")
        .waiting_for(HealthcheckWaitStrategy().with_startup_timeout(120))
    )
    with container, pytest.MonkeyPatch.context() as environment:
        url = f"http://{container.get_container_host_ip()}:{container.get_exposed_port(PORT)}"
        environment.setenv("GOOGLE_GEMINI_BASE_URL", url)
        environment.setenv("GEMINI_API_KEY", "anything")
        yield url
