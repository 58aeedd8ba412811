"""Renderers: a report turned into text, one module a format."""
