"""Under everything: the frame of a stage, parameters, tables, labels, model folders.

Small and stable. Imports no other package of the project.

    stage                  arguments, one-line errors, the end of a process
    params                 params.yaml, checked: sections with their ranges; reading words the messages
    schemas, tables        columns, and how Parquet and JSON are written and read
    labels, spelling       from probabilities to labels; class names in one value
    models                 model folders: fingerprint, size, device, loading
    speed                  metrics/speed.json
    batches                which texts a model reads together, and on which core
    memory                 what a process keeps for its next tensor
    git                    Git commands
"""
