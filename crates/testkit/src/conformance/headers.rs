//! Headers that change what an operation does.

use super::aim::{Aim, query};
use crate::App;

/// An `Idempotency-Key` that is empty, too long, not ASCII, half quoted or sent twice is refused, and nothing is done.
pub async fn a_key_that_is_none_is_refused(app: &App) {
    let aim = Aim::take(app).await;
    let long = "x".repeat(256);
    for operation in app.contract.those(|operation| operation.takes("Idempotency-Key")) {
        let path = aim.path(operation) + &query(app, operation, "");
        for bad in
            [b"".as_slice(), b"\"", b"\"\"", b"a\"b", b"a\tb", "ä".as_bytes(), b"\xff", long.as_bytes()]
        {
            let answer = aim.sound_call(operation, &path).header("idempotency-key", bad).await;
            let got = (answer.status, answer.code());
            let wanted = (400, "invalid-parameter".to_owned());
            assert_eq!(got, wanted, "{}: {}", operation.shown(), bad.escape_ascii());
        }
        let twice = aim.sound_call(operation, &path).header("idempotency-key", "one");
        twice.another("idempotency-key", "one").await.refused(400, "invalid-parameter");
    }
    aim.assert_missed();
}

/// An `If-Match` that is no entity tag of ours is refused, and nothing is done.
pub async fn a_version_that_is_none_is_refused(app: &App) {
    let aim = Aim::take(app).await;
    for operation in app.contract.those(|operation| operation.takes("If-Match")) {
        let path = aim.path(operation) + &query(app, operation, "");
        for bad in [
            b"".as_slice(),
            b"1",
            b"v1",
            b"\"1\"",
            b"\"v1",
            b"\"v\"",
            b"\"v-1\"",
            b"\"v+1\"",
            b"\"v01\"",
            b"\"v1.0\"",
            b"\"v1 \"",
            b"W/\"v1\"",
            b"\"v1\", \"v2\"",
            b"\"v99999999999999999999\"",
            b"**",
            b"\xff",
        ] {
            let answer = aim.sound_call(operation, &path).header("if-match", bad).await;
            let got = (answer.status, answer.code());
            let wanted = (400, "invalid-parameter".to_owned());
            assert_eq!(got, wanted, "{}: {}", operation.shown(), bad.escape_ascii());
        }
        let twice = aim.sound_call(operation, &path).header("if-match", "\"v1\"");
        twice.another("if-match", "\"v2\"").await.refused(400, "invalid-parameter");
    }
    aim.assert_missed();
}
