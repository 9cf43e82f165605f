"""Blobs: named bytes in a directory or an S3 bucket."""
