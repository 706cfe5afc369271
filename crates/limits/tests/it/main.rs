//! Admission against real Redis servers, some of them in trouble.

mod outage;
mod script;
mod sharing;
mod support;
mod tls;
