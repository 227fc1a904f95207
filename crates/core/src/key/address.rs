//! The addresses a key may be used from: exact ones, ranges, and names that match themselves.
//!
//! Addresses are compared by value: an IPv4 address is the same when it comes mapped into IPv6 (`::ffff:10.0.0.1`),
//! an IPv6 address is the same in every spelling, and its zone id is not looked at. An IPv4 address is in IPv4
//! ranges only. Stored IPv4 ranges, and addresses held against them, are read as leniently as 2.9.0 read them; what
//! is newly set over HTTP is checked by [`validate`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::text::number::leading_integer;
use crate::text::trim::trim;

/// A key's address allowlist, read once so that a call does not have to.
///
/// Most keys have none, which takes one word of their record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CompiledAllowlist(Option<Box<Compiled>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Compiled {
    texts: Vec<Box<str>>,
    entries: Vec<Entry>,
}

impl CompiledAllowlist {
    /// Reads the entries of an allowlist. One that makes no sense permits nobody, and still counts as an entry.
    pub fn new(entries: impl IntoIterator<Item: Into<Box<str>>>) -> Self {
        let texts: Vec<Box<str>> = entries.into_iter().map(Into::into).collect();
        let entries: Vec<_> = texts.iter().map(|entry| Entry::new(entry)).collect();
        CompiledAllowlist((!entries.is_empty()).then(|| Box::new(Compiled { texts, entries })))
    }

    /// The entries as they were given.
    pub fn entries(&self) -> &[Box<str>] {
        self.0.as_ref().map_or(&[], |compiled| &compiled.texts)
    }

    /// Tells whether the list has no entries and so permits every address.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Tells whether a call from an address may go on. Once there is an entry, a blank address may not.
    pub fn permits(&self, address: &str) -> bool {
        let Some(compiled) = &self.0 else { return true };
        let caller = Caller::new(address);
        compiled.entries.iter().any(|entry| entry.matches(&caller))
    }
}

/// Tells whether one allowlist entry covers an address.
///
/// # Examples
/// ```
/// # use paygate_core::key::address::matches;
/// assert!(matches("10.0.0.0/8", "::ffff:10.1.2.3"));
/// assert!(matches("2001:DB8::1", "2001:db8::1"));
/// assert!(!matches("*", "10.1.2.3"));
/// ```
pub fn matches(entry: &str, address: &str) -> bool {
    Entry::new(entry).matches(&Caller::new(address))
}

/// Why a text is no allowlist entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// What should be an address is neither IPv4 nor IPv6.
    #[error("not an IP address")]
    Address,
    /// What follows the slash is not a number of bits the address has.
    #[error("prefix length must be a whole number from 0 to {max}")]
    PrefixLength {
        /// The bits of an address of this kind.
        max: u8,
    },
}

/// Checks that an entry is an IPv4 or IPv6 address, or a range of such in CIDR notation.
///
/// What passes is read alike by the lenient reading; host bits in a range are ignored.
pub fn validate(entry: &str) -> Result<(), AddressError> {
    let entry = trim(entry);
    let (address, prefix) = match entry.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (entry, None),
    };
    let max = match read(address).ok_or(AddressError::Address)? {
        IpAddr::V4(_) => Ipv4Addr::BITS as u8,
        IpAddr::V6(_) => Ipv6Addr::BITS as u8,
    };
    let Some(prefix) = prefix else { return Ok(()) };
    let digits_only = prefix.bytes().all(|digit| digit.is_ascii_digit());
    match prefix.parse::<u8>() {
        Ok(length) if digits_only && length <= max => Ok(()),
        _ => Err(AddressError::PrefixLength { max }),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    /// A host name or any other text, which matches itself.
    Verbatim(String),
    Address {
        text: String,
        address: IpAddr,
    },
    /// `None` is a range that cannot be read and holds no address.
    Range(Option<IpNet>),
}

impl Entry {
    fn new(entry: &str) -> Self {
        let entry = trim(entry);
        if entry.contains('/') {
            return Entry::Range(range(entry));
        }
        match read(entry) {
            Some(address) => Entry::Address { text: entry.to_owned(), address: address.to_canonical() },
            None => Entry::Verbatim(entry.to_owned()),
        }
    }

    fn matches(&self, caller: &Caller<'_>) -> bool {
        if caller.text.is_empty() {
            return false;
        }
        match self {
            Entry::Verbatim(text) => text == caller.text,
            Entry::Address { text, address } => caller.address == Some(*address) || text == caller.text,
            Entry::Range(range) => {
                range.is_some_and(|range| caller.in_ranges.is_some_and(|address| range.contains(&address)))
            }
        }
    }
}

/// Where a call comes from.
struct Caller<'a> {
    text: &'a str,
    /// The address in the strict sense; exact entries are held against this or the text.
    address: Option<IpAddr>,
    /// The address in the lenient sense that ranges use.
    in_ranges: Option<IpAddr>,
}

impl<'a> Caller<'a> {
    fn new(address: &'a str) -> Self {
        let text = trim(address);
        let address = read(text).map(|address| address.to_canonical());
        let in_ranges = address.or_else(|| lenient_ipv4(text).map(IpAddr::V4));
        Caller { text, address, in_ranges }
    }
}

/// Reads an address, with or without a zone id (`fe80::1%eth0`).
fn read(text: &str) -> Option<IpAddr> {
    match text.split_once('%') {
        Some((address, _zone)) => address.parse().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    }
}

/// Reads a range: what stands before the first slash, and the integer that begins what stands behind it.
fn range(entry: &str) -> Option<IpNet> {
    let mut parts = entry.split('/');
    let (network, length) = (parts.next()?, parts.next().and_then(leading_integer)?);
    // Negative zero, too, is a length of zero.
    let length = if (0.0..=128.0).contains(&length) { length as u8 } else { return None };
    match read(trim(network)) {
        Some(IpAddr::V6(network)) => ipv6_range(network, length),
        _ => Ipv4Net::new(lenient_ipv4(network)?, length).ok().map(IpNet::V4),
    }
}

fn ipv6_range(network: Ipv6Addr, length: u8) -> Option<IpNet> {
    /// The bits that say that an IPv4 address is mapped into an IPv6 one.
    const MAPPED: u8 = 96;
    match network.to_ipv4_mapped() {
        Some(network) if length >= MAPPED => Ipv4Net::new(network, length - MAPPED).ok().map(IpNet::V4),
        _ => Ipv6Net::new(network, length).ok().map(IpNet::V6),
    }
}

/// Reads four dot-separated parts that each begin with an integer in 0–255: `010.0.0.5:443` is 10.0.0.5.
fn lenient_ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut parts = text.split('.');
    let mut octets = [0; 4];
    for octet in &mut octets {
        let number = leading_integer(parts.next()?)?;
        *octet = if (0.0..=255.0).contains(&number) { number as u8 } else { return None };
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ipv4_ranges_cover_their_addresses() {
        for (entry, address, matched) in [
            ("10.0.0.0/8", "10.255.1.2", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("0.0.0.0/0", "::1", false),
            ("foo/0", "8.8.8.8", false),
            ("192.168.1.77/24", "192.168.1.1", true),
            ("10.0.0.0/31", "10.0.0.1", true),
            ("10.0.0.0/31", "10.0.0.2", false),
            ("1.2.3.4/32", "1.2.3.4", true),
            ("255.255.255.255/1", "128.0.0.0", true),
            ("255.255.255.255/1", "127.0.0.0", false),
            ("10.0.0.0/33", "10.0.0.0", false),
            ("10.0.0.0/-1", "10.0.0.0", false),
            ("10.0.0.0/", "10.0.0.0", false),
            ("10.0.0.0/abc", "10.0.0.0", false),
            ("10.0.0/8", "10.0.0.1", false),
            ("256.0.0.0/8", "10.0.0.1", false),
        ] {
            assert_eq!(matches(entry, address), matched, "{entry} {address}");
        }
    }

    #[test]
    fn stored_ipv4_ranges_are_read_leniently() {
        for (entry, address, matched) in [
            ("10.0.0.0/24abc", "10.0.0.9", true),
            ("10.0.0.0/ 24", "10.0.0.9", true),
            ("10.0.0.0/24.9", "10.0.0.9", true),
            ("10.0.0.0/+24", "10.0.0.9", true),
            ("10.0.0.0/24/32", "10.0.0.9", true),
            ("10.0.0.0/0x18", "8.8.8.8", true),
            ("10.0.0.0/-0", "8.8.8.8", true),
            ("192.0.0.0/1e1", "255.0.0.1", true),
            ("10.0.0.0/24", "010.0.0.5", true),
            ("10.0.0.0/24", "10.0.0.5x", true),
            ("10.0.0.0/24", "10.0.0.5:443", true),
            ("10.0.0.0/24", "10.0.0.5, 1.1.1.1", false),
            ("10.0.0.0/24", "10.0.0.-0", true),
            ("10.0.0.0/24", "10.0.0.-1", false),
            ("10.0.0.0/24", "10.0.0.", false),
            ("10.0.0.0/24", "10.0.0.256", false),
            ("10.0.0.0/24", " 10.0.0.5 ", true),
        ] {
            assert_eq!(matches(entry, address), matched, "{entry} {address}");
        }
    }

    #[test]
    fn addresses_are_compared_by_value() {
        for (entry, address, matched) in [
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "::ffff:10.0.0.1", true),
            ("::FFFF:a00:1", "10.0.0.1", true),
            ("10.0.0.1", "010.0.0.1", false),
            ("10.0.0.1", "10.0.0.1x", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("::ffff:10.0.0.0/104", "10.1.2.3", true),
            ("::ffff:10.0.0.0/104", "11.1.2.3", false),
            ("::ffff:0:0/96", "10.1.2.3", true),
            ("::ffff:0:0/95", "10.1.2.3", false),
            ("::/0", "10.1.2.3", false),
            ("::/0", "::ffff:10.1.2.3", false),
            ("::/0", "2001:db8::1", true),
            ("::1", "::1", true),
            ("::1", "0:0:0:0:0:0:0:1", true),
            ("2001:DB8::1", "2001:db8::1", true),
            ("2001:db8::/32", "2001:db8::1", true),
            ("2001:db8::/32", "2001:DB9::1", false),
            ("2001:db8::/128", "2001:db8::", true),
            ("2001:db8::/129", "2001:db8::", false),
            ("2001:db8::/x", "2001:db8::", false),
            ("fe80::1", "fe80::1%eth0", true),
            ("fe80::1%eth1", "fe80::1%eth0", true),
            ("fe80::%eth1/64", "fe80::1%eth0", true),
            ("10.0.0.1%eth0", "10.0.0.1", false),
            ("*", "1.2.3.4", false),
            ("a.b.c.d", "a.b.c.d", true),
            (" a.b.c.d ", "a.b.c.d\t", true),
            ("A.b.c.d", "a.b.c.d", false),
            ("10.0.0.1", "", false),
            ("", "", false),
        ] {
            assert_eq!(matches(entry, address), matched, "{entry} {address}");
        }
    }

    #[test]
    fn a_list_permits_what_one_of_its_entries_covers() {
        let list = |entries: &[&str]| CompiledAllowlist::new(entries.iter().copied());
        let office = list(&["junk", "10.0.0.0/8", "2001:db8::/32", "host.example"]);
        assert!(
            office.permits("10.9.9.9") && office.permits("2001:db8::9") && office.permits("host.example")
        );
        assert!(!office.permits("9.9.9.9") && !office.permits("") && !office.is_empty());
        assert_eq!(list(&[" 10.0.0.0/8 ", "::1"]).entries().join("|"), " 10.0.0.0/8 |::1");
        assert!(list(&[]).is_empty() && list(&[]).permits("9.9.9.9") && list(&[]).permits(""));
        for senseless in [list(&["10.0.0.0/33"]), list(&[" "])] {
            assert!(!senseless.permits("10.0.0.0") && !senseless.permits(""));
        }
    }

    #[test]
    fn only_addresses_and_ranges_are_valid() {
        for entry in [
            "10.0.0.1",
            " 10.0.0.1 ",
            "10.0.0.0/8",
            "10.1.2.3/0",
            "10.0.0.0/32",
            "::",
            "::1",
            "2001:DB8::/32",
            "::/0",
            "::ffff:10.0.0.1",
            "::/128",
            "fe80::1%eth0",
        ] {
            assert_eq!(validate(entry), Ok(()), "{entry}");
        }
        for entry in [
            "",
            "junk",
            "*",
            "a.b.c.d",
            "010.0.0.1",
            "10.0.0/8",
            "256.0.0.0/8",
            "10.0.0.1:80",
            "[::1]",
            "/8",
            "x/8",
        ] {
            assert_eq!(validate(entry), Err(AddressError::Address), "{entry}");
        }
        for entry in [
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "10.0.0.0/ 8",
            "1.1.1.1/8x",
        ] {
            assert_eq!(validate(entry), Err(AddressError::PrefixLength { max: 32 }), "{entry}");
        }
        for entry in ["::/129", "::/999", "::/"] {
            assert_eq!(validate(entry), Err(AddressError::PrefixLength { max: 128 }), "{entry}");
        }
        assert_eq!(
            validate("::/129").unwrap_err().to_string(),
            "prefix length must be a whole number from 0 to 128"
        );
    }

    proptest! {
        #[test]
        fn a_valid_range_covers_exactly_the_addresses_that_share_its_prefix(
            network: u32, flipped in 0..32_u32, length in 0..=32_u8,
        ) {
            let entry = format!("{}/{length}", Ipv4Addr::from(network));
            let neighbour = Ipv4Addr::from(network ^ (1 << 31 >> flipped));
            prop_assert_eq!(validate(&entry), Ok(()));
            prop_assert_eq!(matches(&entry, &neighbour.to_string()), flipped >= u32::from(length));
            prop_assert_eq!(matches(&entry, &format!("::ffff:{neighbour}")), flipped >= u32::from(length));
        }

        #[test]
        fn reading_never_panics(entry in "[0-9a-f:./% +-]{0,30}|\\PC{0,20}", address in "[0-9a-f:.%]{0,30}|\\PC{0,20}") {
            let matched = matches(&entry, &address);
            prop_assert_eq!(CompiledAllowlist::new([entry]).permits(&address), matched);
        }
    }
}
