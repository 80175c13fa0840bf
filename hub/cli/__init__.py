"""The command line: `main` lists every verb; a module each for the verbs of one noun."""
