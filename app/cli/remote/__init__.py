"""Commands for a gateway elsewhere: `address` says which, `client` speaks to it, the rest asks it what `Administration` says."""
