//! Goal 6, its second part: a migration that has nothing to do.

use std::{process::Command, time::Instant};

use anyhow::{Result, bail};

use super::Effort;
use crate::{
    report::{Better, Row},
    slices::quantile,
    stage::{Stage, binary},
};

/// `6b`: seconds for `bulkhead migrate`, the process's start included.
pub(crate) fn nothing_to_migrate(stage: &Stage, effort: Effort) -> Result<Vec<Row>> {
    let mut seconds = Vec::new();
    for _ in 0..effort.pairs {
        let begun = Instant::now();
        let output = Command::new(binary()?).arg("migrate").env_clear().envs(stage.migrator()).output()?;
        if !output.status.success() {
            bail!("migrate: {}", String::from_utf8_lossy(&output.stderr));
        }
        seconds.push(begun.elapsed().as_secs_f64());
    }
    let figure = (quantile(&seconds, 0.5), quantile(&seconds, 0.05), quantile(&seconds, 0.95));
    let detail = format!("{} tenants", stage.tenants.len());
    Ok(vec![Row::figure(
        "6b",
        "a migration with nothing to do, in seconds",
        figure,
        (Better::Less, 2.0, 0.5),
        detail,
    )])
}
