"""Client of the relay: sends requests, reads and classifies answers, and reads the relay's prices and bills."""
