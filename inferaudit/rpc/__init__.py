"""Remote procedure calls: gRPC's messages, statuses and framing (without I/O), and a small client that makes one call
at a time."""
