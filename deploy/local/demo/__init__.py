"""A phone's whole journey through the gateway of a running platform, step by step, each held against what must come."""
