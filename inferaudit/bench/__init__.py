"""The load engine: measured load on the endpoint."""
