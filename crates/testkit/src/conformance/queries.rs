//! Query strings, and ids in paths.

use super::aim::{Aim, query};
use crate::{App, Operation};

/// A limit or a cursor that cannot be is refused, in every list.
pub async fn a_page_that_cannot_be_is_refused(app: &App) {
    let aim = Aim::take(app).await;
    let long = format!("cursor={}", "x".repeat(10_000));
    for operation in app.contract.those(|operation| operation.takes("cursor")) {
        for bad in [
            "limit=0",
            "limit=101",
            "limit=-1",
            "limit=abc",
            "limit=1.5",
            "limit=1e1",
            "limit=",
            "limit=%00",
            "limit=%ff",
            "limit=99999999999999999999",
            "limit=1&limit=2",
            "limit[]=1",
            "cursor=",
            "cursor=x",
            "cursor=%00",
            "cursor=%27%20OR%201%3D1%20--",
            "cursor=ses_01jd3e2x6m7k9v4q8t5b2n0c1c",
            "cursor=x&cursor=y",
            "colour=red",
            "=",
            "Limit=5",
            long.as_str(),
        ] {
            let path = operation.path.clone() + &query(app, operation, bad);
            let answer = aim.call(operation, &path).await;
            let got = (answer.status, answer.code());
            let wanted = (400, "invalid-parameter".to_owned());
            assert_eq!(got, wanted, "{}?{bad}: {}", operation.shown(), answer.show());
        }
    }
    aim.assert_missed();
}

/// A parameter that the operation does not have is refused, and so is one that it has when it is sent twice.
pub async fn a_parameter_that_is_not_there_is_refused(app: &App) {
    let aim = Aim::take(app).await;
    for operation in app.contract.those(|operation| !operation.is_public()) {
        for bad in ["colour=red", "tenant=another", "period=2026-11&period=2026-12", "%00=1", "&&&=&"] {
            let name = bad.split('=').next().unwrap_or_default();
            if operation.takes(name) && bad.matches(name).count() == 1 {
                continue;
            }
            let path = aim.path(operation) + &query(app, operation, bad);
            let answer = aim.call(operation, &path).await;
            let got = (answer.status, answer.code());
            let wanted = (400, "invalid-parameter".to_owned());
            assert_eq!(got, wanted, "{}?{bad}: {}", operation.shown(), answer.show());
        }
    }
    aim.assert_missed();
}

/// What is no id, or one of another type, names nothing.
pub async fn what_is_no_id_names_nothing(app: &App) {
    let aim = Aim::take(app).await;
    for operation in app.contract.those(Operation::takes_id) {
        let id = aim.id(operation).to_owned();
        let (prefix, digits) = id.split_at(id.find('_').map_or(0, |at| at + 1));
        for bad in [
            "x".to_owned(),
            prefix.to_owned(),
            digits.to_owned(),
            id.to_uppercase(),
            format!("{id}0"),
            id[..id.len() - 1].to_owned(),
            format!("{prefix}{}", "z".repeat(26)),
            format!("{prefix}{}", "u".repeat(26)),
            format!("ses_{digits}"),
            format!("%20{id}"),
            format!("{id}%00"),
            format!("{id}%20"),
            "%00".to_owned(),
            "%ff%fe".to_owned(),
            "..%2f..%2fme".to_owned(),
            "%27%20OR%201%3D1%20--".to_owned(),
            "%7Bid%7D".to_owned(),
            "*".to_owned(),
            "x".repeat(5000),
        ] {
            // An id without a type has no prefix, and all of it is digits.
            if bad.is_empty() || bad == id {
                continue;
            }
            let path = operation.path_of(&bad) + &query(app, operation, "");
            let answer = aim.sound_call(operation, &path).await;
            let got = (answer.status, answer.code());
            assert_eq!(got, (404, "not-found".to_owned()), "{} {bad}: {}", operation.shown(), answer.show());
        }
    }
    aim.assert_missed();
}
