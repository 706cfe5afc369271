//! Settings: read from the environment once, validated, one section per file.
