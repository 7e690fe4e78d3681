"""Downloads: what is where, what a fetch would do, and doing it."""
