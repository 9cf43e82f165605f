"""Pydantic models of what the API answers and takes: the one form of each thing, with its example.

Instants end in `_at` and are whole Unix seconds; money ends in `_micros` or has the unit `micros`, millionths of the book's
currency. Where OpenAI has a form, ours is that form, and what OpenAI does not have stands at its end.
"""
