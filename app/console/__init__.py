"""Console: pages for people, rendered on the server. `application.py` serves them under /console."""
