"""What a whole sweep or run says: tables with standard errors, and figures."""
