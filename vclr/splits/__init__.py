"""Open-world splits of official annotation files: made, recorded, compared with published ones, audited for leaks."""
