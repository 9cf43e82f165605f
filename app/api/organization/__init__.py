"""OpenAI's Administration API, under /organization.

An endpoint of OpenAI's that this gateway lacks has no route and answers 404 `unknown_url`.
"""

PREFIX = "/organization"
