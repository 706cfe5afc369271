//! Which tenant the next request is of.

use std::fmt::Write as _;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::stage::Tenant;

/// How requests are spread over tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mix {
    /// The n-th tenant gets 1/n of what the first gets (exponent 1.0).
    Zipf,
    /// Each gets the same.
    Uniform,
}

/// How long a sequence is; then it begins again.
const LENGTH: usize = 50_000;

impl Mix {
    /// A sequence of tenants; the same for the same number of them.
    pub(crate) fn sequence(self, tenants: usize) -> Vec<usize> {
        let mut random = StdRng::seed_from_u64(42);
        match self {
            Self::Uniform => (0..LENGTH).map(|_| random.random_range(0..tenants)).collect(),
            Self::Zipf => {
                let mut reached = 0.0;
                let steps: Vec<f64> = (1..=tenants)
                    .map(|n| {
                        reached += 1.0 / n as f64;
                        reached
                    })
                    .collect();
                (0..LENGTH)
                    .map(|_| {
                        let drawn = random.random_range(0.0..reached);
                        steps.partition_point(|step| *step <= drawn).min(tenants - 1)
                    })
                    .collect()
            }
        }
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// One resource by its id.
    Read,
    /// A new resource.
    Write,
    /// The plain route that needs nothing: no credential, no database.
    Plain,
}

/// A script for wrk that sends the requests of a sequence.
pub(crate) fn wrk_script(tenants: &[Tenant], sequence: &[usize], request: Request) -> String {
    let mut script = String::from("local path, key, body = {}, {}, nil\n");
    for (place, tenant) in tenants.iter().enumerate() {
        let _: std::fmt::Result = writeln!(
            script,
            "path[{}] = \"{}\"; key[{}] = \"{}\"",
            place + 1,
            tenant.path,
            place + 1,
            tenant.key
        );
    }
    script.push_str("local order = {");
    for place in sequence {
        let _: std::fmt::Result = write!(script, "{},", place + 1);
    }
    script.push_str("}\n");
    script.push_str(match request {
        Request::Read => READ,
        Request::Write => WRITE,
        Request::Plain => PLAIN,
    });
    script.push_str(IN_TURN);
    script
}

const READ: &str = r#"
local function ask(place)
  return wrk.format("GET", path[place], { ["X-API-Key"] = key[place], ["Host"] = "bench" })
end
"#;

const WRITE: &str = r#"
local function ask(place)
  return wrk.format("POST", "/v1/resources",
    { ["X-API-Key"] = key[place], ["Content-Type"] = "application/json", ["Host"] = "bench" },
    '{"name":"A resource","kind":"document","data":{"pages":12}}')
end
"#;

const PLAIN: &str = r#"
local function ask(place)
  return wrk.format("GET", "/livez", { ["Host"] = "bench" })
end
"#;

/// Requests are put together once for each tenant, and each run begins elsewhere in the sequence.
const IN_TURN: &str = r"
local ready, at = {}, 0
function init()
  for place = 1, #path do
    ready[place] = ask(place)
  end
  math.randomseed(os.time())
  at = math.random(#order)
end
function request()
  at = at % #order + 1
  return ready[order[at]]
end
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zipf_sequence_favours_the_first_as_it_should() {
        let sequence = Mix::Zipf.sequence(100);
        let share = |tenant: usize| sequence.iter().filter(|one| **one == tenant).count() as f64;
        // 1/H(100) is 0.193.
        assert!((share(0) / LENGTH as f64 - 0.193).abs() < 0.01);
        assert!((share(0) / share(9) - 10.0).abs() < 1.5);
        assert!(sequence.iter().all(|tenant| *tenant < 100));
        assert_eq!(sequence, Mix::Zipf.sequence(100));
    }
}
