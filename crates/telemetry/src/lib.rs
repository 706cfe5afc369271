//! Logs, metrics and health.
//!
//! Owns how a log line looks, how an error is told with its causes, what may be filtered, and every metric family with its
//! labels. Refuses tenants as metric labels (they are on log lines and spans, as `tenant.id`: thousands of tenants would be
//! thousands of series), global registries, and any knowledge of what is being measured.

mod chain;
pub mod health;
mod line;
pub mod metrics;

pub use chain::chain;
pub use health::{Health, Phase};
pub use line::LogFormat;
pub use metrics::Metrics;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::ParseError,
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    registry,
    util::SubscriberInitExt,
};

use crate::line::{Line, Pairs};

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// Not a filter.
    #[error("not a log filter: '{filter}' ({reason})")]
    Filter {
        /// The text that was given.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The process already logs.
    #[error("logging has already been set up")]
    AlreadySet(#[from] tracing_subscriber::util::TryInitError),
}

/// Sends the process's log to standard error, one line per event: commands keep standard output for their results.
///
/// `filter` is a level, or directives like `info,bulkhead_db=debug`.
pub fn init(format: LogFormat, filter: &str) -> Result<(), InitError> {
    Ok(subscriber(format, filter, std::io::stderr)?.try_init()?)
}

fn subscriber<W>(
    format: LogFormat,
    filter: &str,
    writer: W,
) -> Result<impl Subscriber + Send + Sync, InitError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = fmt::layer().fmt_fields(Pairs).event_format(Line::new(format)).with_writer(writer);
    Ok(registry().with(layer.with_filter(parse_filter(filter)?)))
}

/// Messages of the HTTP framework that are shown only when a filter names it. It logs as errors the bytes on a socket
/// that are not HTTP, which any client can send, and it logs how its threads start.
const FRAMEWORK: [(&str, &str); 2] =
    [("actix_http", "actix_http=off"), ("actix_server", "actix_server=warn")];

/// Reads a filter, without regular expressions: they would make matching expensive.
fn parse_filter(text: &str) -> Result<EnvFilter, InitError> {
    let refused = |reason: String| InitError::Filter { filter: text.to_owned(), reason };
    // A bare word that is no level would be read as a target: `inof` would silence everything else.
    let mut words = text.split(',').filter(|part| !part.contains(['=', '[', ']', '{', '}']));
    if let Some(word) = words.find(|word| word.is_empty() || word.parse::<LevelFilter>().is_err()) {
        return Err(refused(format!("'{word}' is neither a level nor target=level")));
    }
    let mut filter =
        EnvFilter::builder().with_regex(false).parse(text).map_err(|error| refused(error.to_string()))?;
    for (target, quiet) in FRAMEWORK {
        if !text.contains(target) {
            filter =
                filter.add_directive(quiet.parse().map_err(|error: ParseError| refused(error.to_string()))?);
        }
    }
    Ok(filter)
}

#[cfg(test)]
mod tests;
