//! Logs and metrics: initialisation and the metric families.
