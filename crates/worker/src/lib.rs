//! Background jobs: relay, apalis workers, schedule.
