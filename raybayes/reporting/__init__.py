"""What a sweep found, for people: tables, figures and one page, made from stored data alone."""
