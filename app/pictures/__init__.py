"""Library of pictures: what was bought and is kept."""
