//! What a run has found, for people and for the next run.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};
use bulkhead_domain::{Clock as _, SystemClock};
use bulkhead_servers::Binaries;
use serde::{Deserialize, Serialize};

use crate::slices::Compared;

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    More,
    Less,
}

/// One line of the table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    /// As in the table of goals; a letter tells several figures of one goal apart.
    pub(crate) id: String,
    /// What was compared with what.
    pub(crate) what: String,
    /// The figure, and the 5th and 95th percentile of what it may be.
    pub(crate) ratio: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// What it has to be, and what it should be.
    pub(crate) must: f64,
    pub(crate) aim: f64,
    /// Whether it is what it has to be; `None` when that cannot be said: the machine was too noisy, or the run too short.
    pub(crate) met: Option<bool>,
    /// The figures behind it, in words.
    pub(crate) detail: String,
}

impl Row {
    /// A line from pairs of slices.
    pub(crate) fn compared(
        id: &str,
        what: &str,
        compared: &Compared,
        (better, must, aim): (Better, f64, f64),
        unit: &str,
    ) -> Self {
        let detail = format!(
            "{} beside {} {unit}; the limit's slices differ by {:.0} %",
            rounded(compared.ours),
            rounded(compared.limit),
            compared.noise * 100.0
        );
        let figure = (compared.ratio, compared.low, compared.high);
        if compared.is_quiet() {
            Self::figure(id, what, figure, (better, must, aim), detail)
        } else {
            let detail = format!("{detail}: too noisy");
            Self { met: None, ..Self::figure(id, what, figure, (better, must, aim), detail) }
        }
    }

    /// A line from a figure.
    pub(crate) fn figure(
        id: &str,
        what: &str,
        (ratio, low, high): (f64, f64, f64),
        (better, must, aim): (Better, f64, f64),
        detail: String,
    ) -> Self {
        let met = match better {
            Better::More => ratio >= must,
            Better::Less => ratio <= must,
        };
        Self { id: id.to_owned(), what: what.to_owned(), ratio, low, high, must, aim, met: Some(met), detail }
    }

    /// Where it stands in the table: by number, then by letter.
    pub(crate) fn place(&self) -> (u8, String) {
        let digits = self.id.trim_end_matches(|c: char| !c.is_ascii_digit());
        (digits.parse().unwrap_or(u8::MAX), self.id.clone())
    }

    fn verdict(&self) -> &'static str {
        match self.met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "no verdict",
        }
    }
}

/// Rates are large and durations small: enough digits of either.
fn rounded(figure: f64) -> String {
    if figure < 10.0 { format!("{figure:.2}") } else { format!("{figure:.0}") }
}

/// What a step of a request costs.
#[derive(Clone, Debug)]
pub(crate) struct Price {
    pub(crate) step: &'static str,
    /// Processor time, in microseconds.
    pub(crate) micros: f64,
    /// Its part of the whole request, with a 90 % interval.
    pub(crate) part: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// What a part does alone.
#[derive(Clone, Debug)]
pub(crate) struct Limit {
    pub(crate) what: &'static str,
    pub(crate) per_second: f64,
}

/// A run.
pub(crate) struct Findings {
    pub(crate) rows: Vec<Row>,
    pub(crate) prices: Vec<Price>,
    pub(crate) limits: Vec<Limit>,
    /// What was not measured, and why.
    pub(crate) left_out: Vec<&'static str>,
    /// Where and when.
    about: String,
}

impl Findings {
    /// Nothing is measured yet.
    pub(crate) fn new(quick: bool, tenants: usize) -> Result<Self> {
        let Binaries { postgres_major, redis_major, .. } = Binaries::find()?;
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let about = format!(
            "{}, {} x {}, PostgreSQL {postgres_major}, Redis {redis_major}, {tenants} tenants{}",
            SystemClock.now().format("%Y-%m-%d"),
            std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            model.map_or("processor", |(_, model)| model),
            if quick { "; QUICK: whether it works, not how fast, so no verdicts" } else { "" },
        );
        Ok(Self { rows: Vec::new(), prices: Vec::new(), limits: Vec::new(), left_out: Vec::new(), about })
    }

    /// The tables.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("{}\n\n{}", self.about, table(&self.rows));
        let mut line = |line: std::fmt::Arguments<'_>| {
            let _: std::fmt::Result = writeln!(text, "{line}");
        };
        if !self.prices.is_empty() {
            line(format_args!("\n| step | processor time | of a whole read (90 %) |\n|---|---|---|"));
        }
        for Price { step, micros, part, low, high } in &self.prices {
            let [part, low, high] = [part, low, high].map(|part| part * 100.0);
            line(format_args!("| {step} | {micros:.0} µs | {part:.0} % ({low:.0}–{high:.0} %) |"));
        }
        if !self.limits.is_empty() {
            line(format_args!("\n| what the parts do alone | a second |\n|---|---|"));
        }
        for Limit { what, per_second } in &self.limits {
            line(format_args!("| {what} | {per_second:.0} |"));
        }
        for what in &self.left_out {
            line(format_args!("\nLeft out: {what}."));
        }
        text
    }

    /// Writes `latest.json`, `latest.md` and `latest.svg`.
    pub(crate) fn write(&self, dir: &Path) -> Result<()> {
        fs::create_dir_all(dir)?;
        let save = |name: &str, text: String| {
            let path = dir.join(name);
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
        };
        save("latest.json", serde_json::to_string_pretty(&self.rows)?)?;
        save("latest.md", self.markdown() + "\n![](latest.svg)\n")?;
        save("latest.svg", plot(&self.rows))
    }
}

/// The table of goals, in Markdown.
fn table(rows: &[Row]) -> String {
    let mut text = String::from("| # | what | figure (90 %) | must | aim | |\n|---|---|---|---|---|---|\n");
    for row in rows {
        let Row { id, what, ratio, low, high, must, aim, detail, .. } = row;
        let line = format!(
            "| {id} | {what}: {detail} | {ratio:.3} ({low:.3}–{high:.3}) | {must} | {aim} | {} |",
            row.verdict()
        );
        let _: std::fmt::Result = writeln!(text, "{line}");
    }
    text
}

/// Bars of the figures as parts of what they must be; beyond the line is better.
fn plot(rows: &[Row]) -> String {
    let height = 30 * rows.len() + 20;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"640\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n"
    );
    for (place, row) in rows.iter().enumerate() {
        let y = 10 + 30 * place;
        // Twice as good as it must be fills the width.
        let good = if row.must <= row.aim { row.ratio / row.must } else { row.must / row.ratio };
        let width = (good.clamp(0.0, 2.0) * 200.0).round();
        let colour = if row.met == Some(false) { "#c0392b" } else { "#2d7d46" };
        let line = format!(
            "<text x=\"0\" y=\"{}\">{}</text><rect x=\"60\" y=\"{y}\" width=\"{width}\" height=\"18\" fill=\"{colour}\"/>\
             <text x=\"470\" y=\"{}\">{:.3} (must {})</text>",
            y + 13,
            row.id,
            y + 13,
            row.ratio,
            row.must
        );
        let _: std::fmt::Result = writeln!(svg, "{line}");
    }
    let end = height - 5;
    let _: std::fmt::Result =
        writeln!(svg, "<line x1=\"260\" y1=\"5\" x2=\"260\" y2=\"{end}\" stroke=\"black\"/></svg>");
    svg
}

/// What has changed since an earlier run.
pub(crate) fn compare(before: &Path, after: &Path) -> Result<String> {
    let read = |path: &Path| -> Result<Vec<Row>> {
        let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))
    };
    let (before, after) = (read(before)?, read(after)?);
    let mut text = String::from("| # | what | before | after | |\n|---|---|---|---|---|\n");
    for row in &after {
        let Some(old) = before.iter().find(|old| old.id == row.id) else { continue };
        let differs = row.low > old.high || row.high < old.low;
        let word = if differs { "differs" } else { "within the intervals" };
        let line = format!("| {} | {} | {:.3} | {:.3} | {word} |", row.id, row.what, old.ratio, row.ratio);
        let _: std::fmt::Result = writeln!(text, "{line}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_knows_which_way_is_better() {
        let row = |better, figure| {
            Row::figure("1", "a", (figure, figure, figure), (better, 0.2, 0.3), String::new()).met
        };
        assert_eq!([row(Better::More, 0.25), row(Better::More, 0.1)], [Some(true), Some(false)]);
        assert_eq!([row(Better::Less, 0.1), row(Better::Less, 0.25)], [Some(true), Some(false)]);
    }

    #[test]
    fn a_run_is_compared_with_an_earlier_one() {
        let dir = std::env::temp_dir().join(format!("bulkhead-bench-{}", std::process::id()));
        let row = |ratio: f64| {
            Row::figure(
                "1a",
                "reads",
                (ratio, ratio - 0.01, ratio + 0.01),
                (Better::More, 0.2, 0.3),
                "x".to_owned(),
            )
        };
        let write = |row: Row| {
            let mut findings = Findings::new(true, 10).unwrap();
            findings.rows.push(row);
            findings.write(&dir).unwrap();
        };
        write(row(0.1));
        let before = dir.join("before.json");
        fs::rename(dir.join("latest.json"), &before).unwrap();
        write(row(0.3));
        let told = compare(&before, &dir.join("latest.json")).unwrap();
        assert!(told.contains("| 1a | reads | 0.100 | 0.300 | differs |"), "{told}");
        assert!(fs::read_to_string(dir.join("latest.md")).unwrap().contains("| met |"));
        fs::remove_dir_all(dir).unwrap();
    }
}
