//! Redis behind TLS: the right authority is enough, anything else is refused.

use bulkhead_fixtures::CertificateAuthority;
use bulkhead_limits::Source;
use bulkhead_servers::{Binaries, Redis, RedisOptions, Scratch};

use crate::support::{admitted, ask, burst, limiter, tenant};

/// A server whose certificate `authority` has signed for `name`.
fn start(scratch: &Scratch, authority: &CertificateAuthority, name: &str) -> Redis {
    let tls = authority.certify(name, &scratch.path().join(format!("{name}-tls"))).unwrap();
    let options =
        RedisOptions { tls: Some(tls), append_only: false, ..RedisOptions::new(scratch.path().join(name)) };
    Redis::start(&Binaries::find().unwrap(), options).unwrap()
}

#[tokio::test]
async fn the_certificate_and_the_name_are_verified() {
    let scratch = Scratch::new().unwrap();
    let (ours, foreign) = (CertificateAuthority::new().unwrap(), CertificateAuthority::new().unwrap());
    let server = start(&scratch, &ours, "127.0.0.1");
    let misnamed = start(&scratch, &ours, "redis.example.com");
    let (url, misnamed_url) = (server.tls_url().unwrap(), misnamed.tls_url().unwrap());

    let both = format!("{}{}", foreign.pem(), ours.pem());
    for ca in [ours.pem(), both] {
        let good = limiter(&url, Some(ca.as_bytes()), 1);
        assert!(good.connect().await);
        assert_eq!(admitted(&good, tenant(), burst(5), 10).await, 5);
        assert_eq!(ask(&good, tenant(), burst(5)).await.source, Source::Redis);
    }
    let refused = [
        ("a foreign authority", limiter(&url, Some(foreign.pem().as_bytes()), 1)),
        ("the system's authorities", limiter(&url, None, 1)),
        ("another name", limiter(&misnamed_url, Some(ours.pem().as_bytes()), 1)),
        ("verification switched off in the address", limiter(&format!("{url}#insecure"), None, 1)),
    ];
    for (why, limiter) in refused {
        assert!(!limiter.connect().await, "{why} was accepted");
        let decision = ask(&limiter, tenant(), burst(5)).await;
        assert_eq!((decision.source, decision.allowed), (Source::Local, true));
    }
}
