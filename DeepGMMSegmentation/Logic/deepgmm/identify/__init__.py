"""Which component is which tissue, without truth."""
