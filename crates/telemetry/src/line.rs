//! How a log line looks.
//!
//! Every event is exactly one line, whatever its values contain: control characters are escaped in both formats. The
//! fields of all spans around an event are merged (the inner span wins), so that `request_id`, `trace_id` and
//! `tenant.id` are found in one place however deep the event happened.

use std::fmt;

use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormattedFields,
        format::{JsonFields, Writer},
        time::{FormatTime, SystemTime},
    },
    registry::{LookupSpan, Scope},
};

use crate::chain;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `{"level":…,"message":…,"span":{…},"target":…,"timestamp":…}` with the event's own fields beside these, for
    /// machines. A field of the event that is named like one of these five gives way.
    Json,
    /// `timestamp level target: message key=value … | key=value …`, the spans' fields after the bar, for people.
    Text,
}

/// Writes events as lines.
pub(crate) struct Line {
    format: LogFormat,
}

impl Line {
    pub(crate) const fn new(format: LogFormat) -> Self {
        Self { format }
    }
}

impl<S> FormatEvent<S, JsonFields> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, JsonFields>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let mut fields = Fields::default();
        event.record(&mut fields);
        let spans = span_fields(ctx);
        match self.format {
            LogFormat::Json => write_json(writer, event, timestamp, fields, spans),
            LogFormat::Text => write_text(writer, event, &timestamp, &fields, &spans),
        }
    }
}

fn write_json(
    mut writer: Writer<'_>,
    event: &Event<'_>,
    timestamp: String,
    fields: Fields,
    spans: Map<String, Value>,
) -> fmt::Result {
    let mut line = fields.others;
    line.insert("timestamp".to_owned(), Value::String(timestamp));
    line.insert("level".to_owned(), Value::from(event.metadata().level().as_str()));
    line.insert("target".to_owned(), Value::from(event.metadata().target()));
    line.insert("message".to_owned(), Value::String(fields.message));
    line.insert("span".to_owned(), Value::Object(spans));
    writeln!(writer, "{}", Value::Object(line))
}

fn write_text(
    mut writer: Writer<'_>,
    event: &Event<'_>,
    timestamp: &str,
    fields: &Fields,
    spans: &Map<String, Value>,
) -> fmt::Result {
    write!(writer, "{timestamp} {:>5} {}: ", event.metadata().level().as_str(), event.metadata().target())?;
    write_escaped(&mut writer, &fields.message)?;
    write_pairs(&mut writer, &fields.others)?;
    if !spans.is_empty() {
        writer.write_str(" |")?;
        write_pairs(&mut writer, spans)?;
    }
    writeln!(writer)
}

fn write_pairs(writer: &mut Writer<'_>, pairs: &Map<String, Value>) -> fmt::Result {
    for (key, value) in pairs {
        write!(writer, " {key}=")?;
        match value {
            // Quoted like Rust's strings unless it is one plain word: a value cannot look like another pair.
            Value::String(text) if text.is_empty() || text.contains([' ', '"', '=', '|']) => {
                write!(writer, "{text:?}")?;
            }
            Value::String(text) => write_escaped(writer, text)?,
            other => write!(writer, "{other}")?,
        }
    }
    Ok(())
}

/// Writes text with its control characters and its line and paragraph separators escaped.
fn write_escaped(writer: &mut Writer<'_>, text: &str) -> fmt::Result {
    for c in text.chars() {
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            write!(writer, "{}", c.escape_default())?;
        } else {
            writer.write_char(c)?;
        }
    }
    Ok(())
}

/// The fields of the spans around the event, outermost first.
fn span_fields<S>(ctx: &FmtContext<'_, S, JsonFields>) -> Map<String, Value>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let mut merged = Map::new();
    for span in ctx.event_scope().into_iter().flat_map(Scope::from_root) {
        let extensions = span.extensions();
        let Some(written) = extensions.get::<FormattedFields<JsonFields>>() else { continue };
        if let Ok(Value::Object(fields)) = serde_json::from_str(written) {
            merged.extend(fields);
        }
    }
    merged
}

/// An event's message and its other fields.
#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            ("message", other) => self.message = other.to_string(),
            (name, value) => {
                self.others.insert(name.trim_start_matches("r#").to_owned(), value);
            }
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, Value::String(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Value::from(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, Value::from(value));
    }

    /// The error with its causes, since the log is the one place that is told them.
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, Value::String(chain(value)));
    }
}
