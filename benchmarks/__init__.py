"""Benchmarks: CPU, time and memory of the gateway beside a proxy and a direct connection. Nothing is asserted."""
