//! Variables that Kubernetes sets in every pod, for each Service of its namespace ("service links"). Those of a Service
//! named `bulkhead`, or `bulkhead-…`, begin like our settings and are none of them.

/// The protocols that a Service's address begins with.
const SCHEMES: [&str; 3] = ["tcp://", "udp://", "sctp://"];
const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];

/// Whether a value is a Service's address: no setting may have such a value.
pub(crate) fn is_service_address(value: &str) -> bool {
    SCHEMES.iter().any(|scheme| value.starts_with(scheme))
}

/// Whether a variable is a service link: `…_SERVICE_HOST`, `…_SERVICE_PORT`, `…_SERVICE_PORT_HTTP`, `…_PORT` with an
/// address, `…_PORT_8080_TCP` and what follows that (`_PROTO`, `_PORT`, `_ADDR`).
pub(crate) fn is_service_link(name: &str, value: &str) -> bool {
    let parts: Vec<&str> = name.split('_').collect();
    let is_of_service = match parts.as_slice() {
        [_, .., "SERVICE", "HOST"] => true,
        [_, rest @ ..] => rest.windows(2).any(|pair| pair == ["SERVICE", "PORT"]),
        [] => false,
    };
    let is_of_port = |words: &[&str]| match words {
        ["PORT", number, protocol] => number.parse::<u16>().is_ok() && PROTOCOLS.contains(protocol),
        _ => false,
    };
    let is_of_port = match parts.as_slice() {
        [_, rest @ .., "PROTO" | "PORT" | "ADDR"]
            if rest.last_chunk::<3>().is_some_and(|last| is_of_port(last)) =>
        {
            true
        }
        [_, rest @ ..] => rest.last_chunk::<3>().is_some_and(|last| is_of_port(last)),
        [] => false,
    };
    is_of_service || is_of_port || (name.ends_with("_PORT") && is_service_address(value))
}
