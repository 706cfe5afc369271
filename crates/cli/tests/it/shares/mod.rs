//! What one tenant may have of a process: memory, connections, time. However much it asks for, its neighbours do not notice.

mod content;
mod crowds;
mod deadline;
mod farewell;
