"""Fixtures that several test files share: real parts, each started once a session."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from support.cluster import control_plane, gpu_service  # noqa: F401  # fixtures
from support.node import real_node  # noqa: F401  # a fixture

# Both measure the machine, which other work may slow down, and nothing of what a test asserts.
settings.register_profile("inferaudit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("inferaudit")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`make test-node` looks into files of one name alone, so that it need not collect thousands of other tests."""
    for item in items:
        if item.get_closest_marker("node") and not item.path.stem.endswith("_node"):
            raise pytest.UsageError(f"{item.path.name}: tests on the real node belong into a file test_*_node.py")
