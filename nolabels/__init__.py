"""What the stages share: texts, tables, teachers, calibration. Pure functions; the stages open the files."""
