"""What compares experiments: tables, curves, pictures, the report, the study."""
