//! The sender of a request for fair shares and counts: its address, and the networks around the address.
//!
//! A host may have a whole IPv6 /64, so a /64 is one sender. An attacker's many addresses usually lie in few networks;
//! a share by network therefore stays fair where a share by address would not.

use std::net::IpAddr;

/// One sender: an IPv4 address, or an IPv6 /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sender(IpAddr);

/// A network of senders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(IpAddr);

impl Sender {
    /// Returns the sender at an address.
    pub fn of(address: IpAddr) -> Self {
        Self(masked(address, (32, 64)))
    }

    /// Returns the network of the size that a provider or hosting company has: an IPv4 /16 or an IPv6 /32.
    pub fn network(self) -> Network {
        Network(masked(self.0, (16, 32)))
    }

    /// Returns the /8 around the sender; there are at most 256 of each address family.
    pub fn region(self) -> Network {
        Network(masked(self.0, (8, 8)))
    }
}

fn masked(address: IpAddr, (v4_bits, v6_bits): (u32, u32)) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(v4_bits)).unwrap_or(0);
            IpAddr::V4((u32::from(v4) & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(v6_bits)).unwrap_or(0);
            IpAddr::V6((u128::from(v6) & mask).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_one_sender_whichever_of_its_addresses_it_takes() {
        let of = |text: &str| Sender::of(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("2001:db8:1:2::1").network(), of("2001:db8:9:3::1").network());
        assert_eq!(of("::ffff:192.0.2.7"), of("192.0.2.7"));
        assert_ne!(of("192.0.2.7"), of("192.0.2.8"));
        assert_eq!(of("192.0.2.7").network(), of("192.0.99.8").network());
        assert_eq!(of("192.0.2.7").region(), of("192.168.1.1").region());
    }
}
