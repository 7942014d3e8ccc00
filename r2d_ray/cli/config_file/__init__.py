"""A command as a YAML file: `--config`, `--show-config`, `--list-fields`."""
