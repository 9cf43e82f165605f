"""Database: tables, queries and the ledger. No other package contains SQL."""
