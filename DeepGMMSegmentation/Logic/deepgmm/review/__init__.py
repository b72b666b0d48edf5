"""What is made of a result: metrics, numbers, pictures and reports."""
