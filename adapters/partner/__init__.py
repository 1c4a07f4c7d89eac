"""The partner's API over HTTP, by a client that waits, tries again and gives up within bounds."""
