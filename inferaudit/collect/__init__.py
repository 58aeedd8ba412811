"""Collectors: all I/O that turns a target into facts."""
