"""The server of a student: what a container ships as one file, so nothing here imports another part of the project."""
