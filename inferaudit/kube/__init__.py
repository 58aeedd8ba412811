"""Kubernetes as pure domain: kinds, selectors, workloads, references. No I/O, no client library."""
