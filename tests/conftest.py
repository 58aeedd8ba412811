"""Fixtures that several test files share: real parts, each started once a session."""

from __future__ import annotations

import pytest
from support.cluster import control_plane, gpu_service  # noqa: F401  # fixtures
from support.node import real_node  # noqa: F401  # a fixture


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`make test-node` looks into files of one name alone, so that it need not collect thousands of other tests."""
    for item in items:
        if item.get_closest_marker("node") and not item.path.stem.endswith("_node"):
            raise pytest.UsageError(f"{item.path.name}: tests on the real node belong into a file test_*_node.py")
