//! Goal 3: what more tenants cost: the exponent `a` of requests/s ~ tenants^-a.

use anyhow::Result;

use super::Effort;
use crate::{
    mix::{Mix, Request, wrk_script},
    report::{Better, Row},
    slices::quantile,
    stage::Stage,
    tools::{script, wrk},
};

/// `3a` with requests spread by Zipf, `3b` uniformly.
pub(crate) fn growth(stage: &Stage, effort: Effort) -> Result<Vec<Row>> {
    Ok(vec![
        exponent(stage, effort, "3a", Mix::Zipf, (0.05, 0.02))?,
        exponent(stage, effort, "3b", Mix::Uniform, (0.12, 0.06))?,
    ])
}

/// The numbers of tenants that are asked, on a stage of so many.
pub(crate) fn sizes(tenants: usize) -> impl Iterator<Item = usize> {
    [10, 100, 1_000, 10_000].into_iter().filter(move |size| *size <= tenants)
}

fn exponent(stage: &Stage, effort: Effort, id: &str, mix: Mix, (must, aim): (f64, f64)) -> Result<Row> {
    let sizes: Vec<usize> = sizes(stage.tenants.len()).collect();
    let mut scripts = Vec::new();
    for size in &sizes {
        let text = wrk_script(&stage.tenants, &mix.sequence(*size), Request::Read);
        scripts.push(script(stage.scratch(), &format!("{id}-{size}.lua"), &text)?);
    }
    let mut exponents = Vec::new();
    let mut rates = vec![Vec::new(); sizes.len()];
    for round in 0..=effort.pairs {
        let mut points = Vec::new();
        // To and fro, so that what drifts hits all sizes alike.
        let order: Vec<usize> =
            if round % 2 == 0 { (0..sizes.len()).collect() } else { (0..sizes.len()).rev().collect() };
        for place in order {
            let (Some(size), Some(path)) = (sizes.get(place), scripts.get(place)) else { continue };
            // What other tenants have left behind, and what these have lost meanwhile, is not a matter of how many they are.
            if !effort.lead.is_zero() {
                wrk(&stage.url(), path, effort.lead)?;
            }
            let rate = wrk(&stage.url(), path, effort.slice)?.per_second;
            points.push(((*size as f64).ln(), rate.ln()));
            if let Some(rates) = rates.get_mut(place).filter(|_| round > 0) {
                rates.push(rate);
            }
        }
        if round > 0 {
            exponents.push(-slope(&points));
        }
    }
    let detail = std::iter::zip(&sizes, &rates)
        .map(|(size, rates)| format!("{size}: {:.0}/s", quantile(rates, 0.5)))
        .collect::<Vec<_>>()
        .join(", ");
    let what = match mix {
        Mix::Zipf => "slowdown exponent, Zipf",
        Mix::Uniform => "slowdown exponent, uniform",
    };
    let figure = (quantile(&exponents, 0.5), quantile(&exponents, 0.05), quantile(&exponents, 0.95));
    Ok(Row::figure(id, what, figure, (Better::Less, must, aim), detail))
}

/// The slope of the line through the points, by least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / n, y + point.1 / n));
    let (up, down) = points.iter().fold((0.0, 0.0), |(up, down), point| {
        (up + (point.0 - x) * (point.1 - y), down + (point.0 - x).powi(2))
    });
    up / down
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_that_of_the_line() {
        let points: Vec<(f64, f64)> = (1..=4).map(|x| (f64::from(x), 7.0 - 0.5 * f64::from(x))).collect();
        assert!((slope(&points) + 0.5).abs() < 1e-9);
    }
}
