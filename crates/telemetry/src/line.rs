//! How a log line looks.
//!
//! Every event is exactly one line, whatever its values contain: control characters are escaped in both formats. The
//! fields of all spans around an event are merged (the inner span wins), so that `request_id`, `trace_id` and
//! `tenant.id` are found in one place however deep the event happened.
//!
//! A value is written as JSON when it is recorded, and copied from then on: a request records the fields of its span one by
//! one, and the library's own JSON would read all earlier ones again for each of them.

use std::{
    error::Error,
    fmt::{self, Write},
};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::Record,
};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    registry::{LookupSpan, Scope},
};

use crate::chain;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `{"timestamp":…,"level":…,"target":…,"message":…,…,"span":{…}}` with the event's own fields before the spans', for
    /// machines. A field of the event that is named like one of these five gives way.
    Json,
    /// `timestamp level target: message key=value … | key=value …`, the spans' fields after the bar, for people. A text
    /// that is not one plain word stands there as in JSON, so that it cannot look like another pair.
    Text,
}

/// What a JSON line says about itself.
const OWN: [&str; 5] = ["timestamp", "level", "target", "message", "span"];

/// Writes events as lines.
pub(crate) struct Line {
    format: LogFormat,
}

impl Line {
    pub(crate) const fn new(format: LogFormat) -> Self {
        Self { format }
    }
}

impl<S> FormatEvent<S, Pairs> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, Pairs>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut recorded = Recorded::default();
        event.record(&mut recorded);
        let mut of_spans = String::new();
        for span in ctx.event_scope().into_iter().flat_map(Scope::from_root) {
            if let Some(pairs) = span.extensions().get::<FormattedFields<Pairs>>() {
                of_spans.push_str(pairs);
            }
        }
        let spans = latest(&of_spans);
        match self.format {
            LogFormat::Json => write_json(writer, event, &recorded, &spans),
            LogFormat::Text => write_text(writer, event, &recorded, &spans),
        }
    }
}

fn write_json(
    mut writer: Writer<'_>,
    event: &Event<'_>,
    recorded: &Recorded,
    spans: &[(&str, &str)],
) -> fmt::Result {
    writer.write_str("{\"timestamp\":\"")?;
    SystemTime.format_time(&mut writer)?;
    write!(writer, "\",\"level\":\"{}\",\"target\":\"", event.metadata().level().as_str())?;
    Escaped(&mut writer).write_str(event.metadata().target())?;
    writer.write_str("\",\"message\":\"")?;
    Escaped(&mut writer).write_str(&recorded.message)?;
    writer.write_char('"')?;
    for (name, value) in latest(&recorded.pairs).iter().filter(|(name, _)| !OWN.contains(name)) {
        write!(writer, ",\"{name}\":{value}")?;
    }
    writer.write_str(",\"span\":{")?;
    for (index, (name, value)) in spans.iter().enumerate() {
        let separator = if index == 0 { "" } else { "," };
        write!(writer, "{separator}\"{name}\":{value}")?;
    }
    writer.write_str("}}\n")
}

fn write_text(
    mut writer: Writer<'_>,
    event: &Event<'_>,
    recorded: &Recorded,
    spans: &[(&str, &str)],
) -> fmt::Result {
    SystemTime.format_time(&mut writer)?;
    write!(writer, " {:>5} {}: ", event.metadata().level().as_str(), event.metadata().target())?;
    for c in recorded.message.chars() {
        if is_hidden(c) {
            write!(writer, "{}", c.escape_default())?;
        } else {
            writer.write_char(c)?;
        }
    }
    write_words(&mut writer, &latest(&recorded.pairs))?;
    if !spans.is_empty() {
        writer.write_str(" |")?;
        write_words(&mut writer, spans)?;
    }
    writer.write_char('\n')
}

/// Writes ` name=value` for each pair; the quotes of a text that is one plain word are left out.
fn write_words(writer: &mut Writer<'_>, pairs: &[(&str, &str)]) -> fmt::Result {
    for (name, value) in pairs {
        let text = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        let word = text.filter(|text| !text.is_empty() && !text.contains([' ', '\\', '=', '|']));
        write!(writer, " {name}={}", word.unwrap_or(value))?;
    }
    Ok(())
}

/// Fields of spans, as pairs of a name and a value in JSON. Neither has control characters, so two of them hold the pairs
/// together.
#[derive(Debug)]
pub(crate) struct Pairs;

const AFTER_NAME: char = '\u{1f}';
const AFTER_VALUE: char = '\u{1e}';

impl<'writer> FormatFields<'writer> for Pairs {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut recorded = Recorded::default();
        fields.record(&mut recorded);
        writer.write_str(&recorded.pairs)
    }

    fn add_fields(&self, current: &'writer mut FormattedFields<Self>, fields: &Record<'_>) -> fmt::Result {
        self.format_fields(current.as_writer(), fields)
    }
}

/// The pairs of a text, each name once, with the value that was recorded last.
fn latest(pairs: &str) -> Vec<(&str, &str)> {
    let mut latest: Vec<(&str, &str)> = Vec::with_capacity(8);
    for (name, value) in pairs.split_terminator(AFTER_VALUE).filter_map(|pair| pair.split_once(AFTER_NAME)) {
        match latest.iter_mut().find(|(known, _)| *known == name) {
            Some((_, earlier)) => *earlier = value,
            None => latest.push((name, value)),
        }
    }
    latest
}

/// What an event or a span records: the message as it is, everything else as pairs.
#[derive(Default)]
struct Recorded {
    message: String,
    pairs: String,
}

impl Recorded {
    /// Adds a pair whose value is JSON already.
    fn put(&mut self, field: &Field, json: fmt::Arguments<'_>) {
        if field.name() == "message" {
            let _ = self.message.write_fmt(json);
            return;
        }
        // Writing to a `String` does not fail.
        let _ = write!(self.pairs, "{}{AFTER_NAME}{json}{AFTER_VALUE}", name(field));
    }

    /// Adds a pair whose value is a text.
    fn put_text(&mut self, field: &Field, text: fmt::Arguments<'_>) {
        if field.name() == "message" {
            let _ = self.message.write_fmt(text);
            return;
        }
        let _ = write!(self.pairs, "{}{AFTER_NAME}\"", name(field));
        // The value of a field may refuse to be written: the text ends there.
        let _ = Escaped(&mut self.pairs).write_fmt(text);
        let _ = write!(self.pairs, "\"{AFTER_VALUE}");
    }
}

fn name(field: &Field) -> &'static str {
    field.name().trim_start_matches("r#")
}

impl Visit for Recorded {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put_text(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, format_args!("{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, format_args!("{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no word for infinity, nor for what is no number.
        if value.is_finite() {
            self.put(field, format_args!("{value:?}"));
        } else {
            self.put(field, format_args!("null"));
        }
    }

    /// The error with its causes, since the log is the one place that is told them.
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.put_text(field, format_args!("{}", chain(value)));
    }
}

/// Writes text as the inside of a JSON string. What a terminal would obey, or take for the end of a line, is escaped too.
struct Escaped<'w, W>(&'w mut W);

impl<W: Write> Write for Escaped<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| matches!(c, '"' | '\\') || is_hidden(*c))
        {
            let (plain, from) = rest.split_at(at);
            self.0.write_str(plain)?;
            match c {
                '"' => self.0.write_str("\\\"")?,
                '\\' => self.0.write_str("\\\\")?,
                '\n' => self.0.write_str("\\n")?,
                '\r' => self.0.write_str("\\r")?,
                '\t' => self.0.write_str("\\t")?,
                other => write!(self.0, "\\u{:04x}", u32::from(other))?,
            }
            rest = from.get(c.len_utf8()..).unwrap_or_default();
        }
        self.0.write_str(rest)
    }
}

/// Control characters, and the separators of lines and paragraphs.
fn is_hidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}
