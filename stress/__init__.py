"""All that lowthread does, at random and all at once, for as long as one likes: `make stress`."""
