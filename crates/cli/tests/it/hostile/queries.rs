//! Paths.

use crate::support::{Aim, System};

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
