//! Job payloads: what is to happen later, as data.
