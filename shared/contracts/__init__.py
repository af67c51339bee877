"""What services exchange through object storage."""
