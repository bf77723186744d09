"""A region of the space that always fails, and failures by bad luck: how many trials do they cost?"""
