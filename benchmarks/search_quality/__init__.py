"""How good are the configurations that are found, and how far can the reported best be believed?"""
