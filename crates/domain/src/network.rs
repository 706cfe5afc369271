//! What counts as one sender on the network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IPv4 address, or the /64 that a single IPv6 customer is given at least. Many are given a /56 or a /48, and can send from
/// as many of these as they like: what is counted by sender is counted by [`Network::site`] as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Network {
    /// An IPv4 address, also one that was written as IPv6.
    V4(Ipv4Addr),
    /// The first 64 bits of an IPv6 address.
    V6([u16; 4]),
}

/// The first 48 bits of an IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Site([u16; 3]);

impl Network {
    /// The sender that an address belongs to.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4),
            IpAddr::V6(v6) => Self::V6(prefix(v6)),
        }
    }

    /// The /48 around an IPv6 sender: the most that one customer is commonly given. An IPv4 address has none.
    pub const fn site(&self) -> Option<Site> {
        match *self {
            Self::V4(_) => None,
            Self::V6([a, b, c, _]) => Some(Site([a, b, c])),
        }
    }

    /// Bytes that tell it from every other.
    pub fn bytes(&self) -> [u8; 9] {
        let mut bytes = [0; 9];
        let (kind, number) = match self {
            Self::V4(v4) => (4, u64::from(v4.to_bits())),
            Self::V6([a, b, c, d]) => {
                (6, [a, b, c, d].iter().fold(0, |sum, part| sum << 16 | u64::from(**part)))
            }
        };
        let parts = std::iter::once(kind).chain(number.to_be_bytes());
        bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        bytes
    }
}

fn prefix(address: Ipv6Addr) -> [u16; 4] {
    let [a, b, c, d, ..] = address.segments();
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn senders_are_apart_and_an_ipv6_customer_is_one() {
        let of = |text: &str| Network::of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1:2:3"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        let site = |text| of(text).site();
        assert_eq!(site("2001:db8:0:1::1"), site("2001:db8:0:ffff::1"));
        assert!(site("2001:db8:1::1").is_some() && site("2001:db8:1::1") != site("2001:db8:2::1"));
        assert_eq!((site("192.0.2.1"), site("::ffff:192.0.2.1")), (None, None));
        let apart = ["192.0.2.1", "192.0.2.2", "2001:db8::", "2001:db8:0:1::", "::c000:201:0:0:0:0"];
        let bytes: HashSet<[u8; 9]> = apart.iter().map(|text| of(text).bytes()).collect();
        assert_eq!(bytes.len(), apart.len());
    }
}
