"""Schemathesis loads this: how the bodies of resumable uploads are sent."""

import schemathesis

from entrypoints.http.tus import OFFSET_OCTETS

schemathesis.serializer.alias(OFFSET_OCTETS, "application/octet-stream")
