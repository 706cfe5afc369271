//! Query strings, and ids in paths.

use super::{Aim, sound_body};
use crate::support::{Operation, System, this_month};

#[tokio::test]
async fn a_page_that_cannot_be_is_refused() {
    let system = System::shared().await;
    let aim = Aim::take(system).await;
    let long = format!("cursor={}", "x".repeat(10_000));
    let mut asked = 0;
    for operation in system.contract.those(|operation| operation.takes("cursor")) {
        let period =
            if operation.takes("period") { format!("period={}&", this_month()) } else { String::new() };
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
            let answer = aim.call(operation, &format!("{}?{period}{bad}", operation.path)).await;
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (400, "invalid-parameter"),
                "{}?{bad}",
                operation.id
            );
            asked += 1;
        }
    }
    assert!(asked > 100);
    aim.assert_missed();
}

#[tokio::test]
async fn a_parameter_that_is_not_there_is_refused() {
    let system = System::shared().await;
    let aim = Aim::take(system).await;
    for operation in system.contract.those(|operation| !operation.is_public()) {
        let period =
            if operation.takes("period") { format!("period={}&", this_month()) } else { String::new() };
        for bad in ["colour=red", "tenant=another", "period=2026-11&period=2026-12", "%00=1", "&&&=&"] {
            let path = format!("{}?{period}{bad}", aim.path(operation));
            aim.call(operation, &path).await.refused(400, "invalid-parameter");
        }
    }
    aim.assert_missed();
}

#[tokio::test]
async fn what_is_no_id_names_nothing() {
    let system = System::shared().await;
    let aim = Aim::take(system).await;
    for operation in system.contract.those(Operation::takes_id) {
        let id = aim.id(operation);
        let (prefix, digits) = id.split_at(4);
        let query =
            if operation.takes("period") { format!("?period={}", this_month()) } else { String::new() };
        for bad in [
            "x".to_owned(),
            prefix.to_owned(),
            digits.to_owned(),
            id.to_uppercase(),
            format!("{id}0"),
            id[..29].to_owned(),
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
            let path = operation.path_of(&bad) + &query;
            let call = aim.call(operation, &path);
            let answer =
                if operation.takes_body() { call.json(&sound_body(operation)).await } else { call.await };
            assert_eq!((answer.status, answer.code().as_str()), (404, "not-found"), "{} {bad}", operation.id);
        }
    }
    aim.assert_missed();
}

#[tokio::test]
async fn paths_have_one_spelling() {
    let system = System::shared().await;
    let aim = Aim::take(system).await;
    let owner = &aim.tenant.owner.caller;
    for path in [
        "//v1/users",
        "/v1//users",
        "/v1/users/",
        "/v1/users//",
        "/v1/users;x=1",
        "/v1/users%00",
        "/v1/users%2f",
        "/v1/users%3flimit=1",
        "/v1%2fusers",
        "/V1/users",
        "/v1/Users",
        "/v2/users",
        "/v1",
        "/",
    ] {
        let answer = owner.get(path).unchecked().await;
        let expected = if path == "/" { 200 } else { 404 };
        assert_eq!(answer.status, expected, "{path}: {}", answer.show());
    }
    aim.assert_missed();
}
