"""What a user asks for: options declared once, checked before any cluster time is spent."""
