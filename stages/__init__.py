"""The stages of the pipeline: scripts of one name with the stages of dvc.yaml."""
