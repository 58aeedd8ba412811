"""Fixtures that several test files share: real parts, each started once a session."""

from __future__ import annotations

from support.cluster import control_plane, gpu_service  # noqa: F401  # fixtures
