//! The backend of a multi-tenant service, as a library.
//!
//! An application is an [`App`] with its extensions, and one line of `main`:
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     bulkhead::App::new().run()
//! }
//! ```
//!
//! It has every command (`api`, `worker`, `migrate`, `dev`, `operator`, `doctor`, `openapi`), with what its extensions bring
//! in each of them. Owns the command line, and how settings become what the other crates work with. Refuses to know what a
//! route, a job or a table does.

mod app;
mod commands;
mod extension;
mod out;
mod stop;
mod wiring;

pub use app::App;
#[doc(inline)]
pub use bulkhead_api::operations;
#[doc(inline)]
pub use bulkhead_db::migrations;
pub use extension::Extension;

/// For every application: it has to perform like the one that was measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
