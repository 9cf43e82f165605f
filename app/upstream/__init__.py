"""The relay seen from our side: sending to it, reading what it answers, and what an answer means for the books."""
