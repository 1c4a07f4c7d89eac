"""What is kept: SQLModel rows, repositories and transactions, on SQLite or PostgreSQL."""
