"""Stored bytes: on the local disk, or in a bucket of S3."""
