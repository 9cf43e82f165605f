"""Bytes by name, in a folder or a bucket."""
