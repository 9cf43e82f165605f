"""The money of a request: reserve, dispatch, settle, release, and corrections."""
