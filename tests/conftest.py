"""Fixtures that several test files share: real parts, each started once a session."""

from __future__ import annotations

from support.cluster import control_plane, gpu_service  # noqa: F401  # fixtures
from support.node import real_node  # noqa: F401  # a fixture
