"""Ledger of requests: reserve, dispatch, settle, release, and corrections."""
