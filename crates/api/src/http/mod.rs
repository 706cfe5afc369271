//! What every request passes through: connection, pipeline, extractors, handler, answer.

pub(crate) mod address;
pub(crate) mod answer;
pub(crate) mod background;
pub(crate) mod call;
pub(crate) mod connections;
pub(crate) mod context;
pub(crate) mod cors;
pub(crate) mod docs;
pub(crate) mod error;
pub(crate) mod extract;
pub(crate) mod handler;
pub(crate) mod health;
pub(crate) mod needs;
pub(crate) mod once;
pub mod openapi;
pub(crate) mod operation;
pub(crate) mod paced;
pub(crate) mod pipeline;
pub(crate) mod policies;
pub(crate) mod problem;
pub(crate) mod routing;
pub(crate) mod server;
pub(crate) mod state;
pub(crate) mod wire;
