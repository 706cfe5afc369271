//! Networks from which a credential works.
//!
//! Owns their text: an address with the length of its prefix (RFC 4632, RFC 4291), or an address alone. What is written so that two
//! readers could understand two things is refused: bits behind the prefix, and IPv4 inside of IPv6. Addresses are compared as
//! what they are: `::ffff:203.0.113.7` is 203.0.113.7, and `::/0` has IPv6 addresses alone.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;

use crate::text::TextError;

/// One network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressRange(IpNet);

impl AddressRange {
    /// Whether all of another network is in it.
    pub fn covers(&self, other: &Self) -> bool {
        self.0.contains(&other.0)
    }

    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for AddressRange {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let form = "must be a network like 203.0.113.0/24 or 2001:db8::/32, or an address";
        let address = text.parse::<IpAddr>().map(IpNet::from);
        let net =
            address.or_else(|_no_address| text.parse::<IpNet>()).map_err(|_other| TextError::new(form))?;
        if let IpNet::V6(v6) = net
            && v6.addr().to_ipv4_mapped().is_some()
        {
            return Err(TextError::new("must be written as IPv4, like 203.0.113.0/24"));
        }
        if net != net.trunc() {
            return Err(TextError::new(
                "must have no bits behind its prefix: 203.0.113.0/24, not 203.0.113.7/24",
            ));
        }
        Ok(Self(net))
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(text: &str) -> AddressRange {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_has_what_begins_with_its_prefix() {
        for (network, inside, outside) in [
            ("203.0.113.0/24", "203.0.113.255", "203.0.114.0"),
            ("203.0.113.7", "203.0.113.7", "203.0.113.6"),
            ("203.0.113.7", "::ffff:203.0.113.7", "::203.0.113.7"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
            ("::/0", "2001:db8::1", "::ffff:10.0.0.1"),
            ("2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::"),
            ("2001:db8::1/128", "2001:db8::1", "2001:db8::2"),
        ] {
            assert!(range(network).contains(inside.parse().unwrap()), "{network} {inside}");
            assert!(!range(network).contains(outside.parse().unwrap()), "{network} {outside}");
        }
        assert_eq!(range("203.0.113.7").to_string(), "203.0.113.7/32");
        assert_eq!(range("2001:DB8:0::/32").to_string(), "2001:db8::/32");
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for bad in [
            "",
            "all",
            "203.0.113.7/24",
            "203.0.113.0/33",
            "203.0.113.0/-1",
            "203.0.113/24",
            "203.0.113.0/24 ",
            " 203.0.113.0/24",
            "203.0.113.0/255.255.255.0",
            "0203.0.113.0/24",
            "2001:db8::1/64",
            "2001:db8::/129",
            "[2001:db8::]/32",
            "fe80::1%eth0",
            "::ffff:203.0.113.0/120",
            "::ffff:203.0.113.7",
            "::ffff:0:0/96",
            "localhost",
        ] {
            assert!(bad.parse::<AddressRange>().is_err(), "{bad:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_as_the_same(bits: u128, length in 0_u8..=128) {
            let net = IpNet::new(IpAddr::from(bits.to_be_bytes()), length).unwrap().trunc();
            if let Ok(range) = net.to_string().parse::<AddressRange>() {
                prop_assert_eq!(range.to_string().parse::<AddressRange>().unwrap(), range);
            }
        }
    }
}
