//! Whose request it is, as far as the network tells: the address of the peer, or the one that the outermost trusted proxy
//! has seen.
//!
//! Each proxy appends the address of its own peer to `X-Forwarded-For`. With `n` trusted proxies the last `n` entries are
//! theirs, and whatever stands before those is the caller's own words. So the client is the first of the last `n` entries;
//! where there are fewer, the request came in behind the outermost proxies, and the first entry is still one of ours.
//!
//! An entry is an IPv4 or IPv6 address, with or without a port, brackets, quotes and a zone. Empty entries are none
//! (RFC 9110 section 5.6.1). What a trusted proxy writes in place of an address (`unknown`, `_hidden`) is a caller of its own
//! for each spelling: falling back to the peer's address would put all clients for which the proxy writes so into the
//! proxy's own bucket.

use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use actix_web::http::header::{HeaderMap, HeaderValue};

/// How much of an entry that is no address is shown.
const SHOWN: usize = 64;

/// A caller, by address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClientAddress {
    /// An address.
    Ip(IpAddr),
    /// What a trusted proxy has written where an address was expected.
    Other(String),
}

impl ClientAddress {
    /// The caller of a request that came from `peer`, with so many trusted proxies in front of us.
    pub(crate) fn of(peer: Option<IpAddr>, headers: &HeaderMap, trusted_hops: u8) -> Self {
        let peer = || Self::Ip(peer.unwrap_or(IpAddr::from([0, 0, 0, 0])));
        if trusted_hops == 0 {
            return peer();
        }
        // Bytes, for what the caller has sent ahead of our proxies' entries may be no text.
        let lines: Vec<&[u8]> = headers.get_all("x-forwarded-for").map(HeaderValue::as_bytes).collect();
        let entries = lines.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b','));
        let entries = entries.map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty());
        entries.take(usize::from(trusted_hops)).last().map_or_else(peer, Self::read)
    }

    fn read(entry: &[u8]) -> Self {
        let text = String::from_utf8_lossy(entry);
        let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(&text);
        parse(bare).map_or_else(|| Self::Other(bare.chars().take(SHOWN).collect()), Self::Ip)
    }

    /// The address, if it is one: what a proxy has written in its place is in no network.
    pub(crate) const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Other(_) => None,
        }
    }

    /// The address whose bucket the caller's requests are counted in. An entry that is no address stands for one in
    /// `100::/8`, made from its spelling: the IETF has reserved that block, so no host sends from it.
    pub(crate) fn bucket(&self) -> IpAddr {
        match self {
            Self::Ip(address) => *address,
            Self::Other(text) => {
                let mut hasher = DefaultHasher::new();
                text.hash(&mut hasher);
                let [_, rest @ ..] = hasher.finish().to_be_bytes();
                let mut octets = [0; 16];
                for (octet, byte) in octets.iter_mut().zip(std::iter::once(1).chain(rest)) {
                    *octet = byte;
                }
                IpAddr::V6(Ipv6Addr::from(octets))
            }
        }
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.to_canonical().fmt(f),
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// An address in any of the forms that proxies write.
fn parse(text: &str) -> Option<IpAddr> {
    // A zone names an interface of the proxy's host: `fe80::1%eth0`, `[fe80::1%25eth0]:443`.
    let unzoned = match text.split_once('%') {
        Some((before, zone)) => {
            format!("{before}{}", zone.find(']').and_then(|at| zone.get(at..)).unwrap_or_default())
        }
        None => text.to_owned(),
    };
    let bracketed = unzoned.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    bracketed
        .unwrap_or(&unzoned)
        .parse()
        .ok()
        .or_else(|| unzoned.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderName;

    use super::*;

    fn client(hops: u8, lines: &[&[u8]]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            let name = HeaderName::from_static("x-forwarded-for");
            headers.append(name, HeaderValue::from_bytes(line).unwrap());
        }
        ClientAddress::of(Some("192.0.2.9".parse().unwrap()), &headers, hops).to_string()
    }

    #[test]
    fn an_entry_is_read_in_every_form_that_proxies_write() {
        for (entry, address) in [
            ("203.0.113.7", "203.0.113.7"),
            ("198.51.100.7:40001", "198.51.100.7"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("\"[2001:db8::1]:443\"", "2001:db8::1"),
            ("\"203.0.113.7\"", "203.0.113.7"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%25eth0]:443", "fe80::1"),
            ("[fe80::1%eth0]", "fe80::1"),
            (" 203.0.113.7\t", "203.0.113.7"),
            ("203.0.113.7,", "203.0.113.7"),
            ("203.0.113.7, ,", "203.0.113.7"),
        ] {
            assert_eq!(client(1, &[entry.as_bytes()]), address, "{entry}");
        }
    }

    #[test]
    fn the_client_is_what_the_outermost_trusted_proxy_has_seen() {
        let chain: &[&[u8]] = &[b"10.9.9.9, 203.0.113.1", b"203.0.113.2 ,203.0.113.3"];
        assert_eq!(client(0, chain), "192.0.2.9");
        assert_eq!(
            [client(1, chain), client(2, chain), client(3, chain)],
            ["203.0.113.3", "203.0.113.2", "203.0.113.1"]
        );
        // Fewer entries than proxies: the request came in behind the outermost one.
        assert_eq!(client(3, &[b"203.0.113.1"]), "203.0.113.1");
        for none in [&[][..], &[b"".as_slice()], &[b" , ".as_slice()]] {
            assert_eq!(client(2, none), "192.0.2.9");
        }
        // What the caller puts in front hides nothing of what the proxy has appended.
        assert_eq!(client(1, &[b"\xff\xfe, 203.0.113.1"]), "203.0.113.1");
        assert_eq!(client(1, &[b"\xff", b"203.0.113.1"]), "203.0.113.1");
    }

    #[test]
    fn what_is_no_address_is_a_caller_of_its_own_and_never_the_peer() {
        let bucket = |entry: &str| ClientAddress::read(entry.as_bytes()).bucket();
        let peer: IpAddr = "192.0.2.9".parse().unwrap();
        let others = [
            "unknown",
            "_hidden",
            "203.0.113.7:port",
            "203.0.113.700",
            "2001:db8::1::2",
            "localhost",
            "%",
            "[",
            "]:1",
        ];
        for (index, entry) in others.iter().enumerate() {
            assert_eq!(ClientAddress::read(entry.as_bytes()), ClientAddress::Other((*entry).to_owned()));
            let IpAddr::V6(address) = bucket(entry) else { panic!("{entry}") };
            assert_eq!((address.octets()[0], bucket(entry)), (1, bucket(entry)));
            assert_ne!(bucket(entry), peer);
            // The limiter counts by /64.
            let prefix = |address: Ipv6Addr| address.octets()[..8].to_vec();
            for other in &others[..index] {
                let IpAddr::V6(other) = bucket(other) else { panic!("{other}") };
                assert_ne!(prefix(address), prefix(other));
            }
        }
        assert_eq!(client(1, &["x".repeat(5_000).as_bytes()]).len(), SHOWN);
    }
}
