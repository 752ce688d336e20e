//! Which advertised servers may be told our credentials.
//!
//! A server lists others in `connect_urls`, and a client logs in there with the same credentials. A server that has been
//! taken over, or a network that changes what is read in clear text, could list any address. So an advertised server is
//! used only where one of these holds:
//!
//! 1. There are no credentials.
//! 2. Its connection goes through TLS: its certificate proves who it is before CONNECT is sent.
//! 3. It is of the same site as the server that advertises it: the same loopback, private or link-local network, the same
//!    public /24 (IPv4) or /64 (IPv6), the same host name, a name below it, or a name beside it in one domain.
//!
//! A domain is shared where what follows the first label is the same and its ending is not public (`n1.nats.svc`,
//! `n1.local`). Of public names it cannot be known who may have one beside another: `a.co.uk` and `b.co.uk`, or two machines
//! of a cloud.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::url::ServerAddress;

/// How we are connected to the server that advertises others.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    /// The other end of the connection; `None` where it is not known.
    pub peer: Option<IpAddr>,
    /// The list came through TLS.
    pub secured: bool,
    /// TLS is asked for, by the settings, the address or the server: the advertised servers must have it too.
    pub wants_tls: bool,
    /// CONNECT has credentials.
    pub has_credentials: bool,
}

impl Origin {
    /// Whether `advertised` by `server` may be used.
    pub(crate) fn trusts(&self, server: &ServerAddress, advertised: &ServerAddress) -> bool {
        !self.has_credentials || self.wants_tls || self.is_same_site(server, advertised)
    }

    fn is_same_site(&self, server: &ServerAddress, advertised: &ServerAddress) -> bool {
        match address_of(advertised) {
            Some(address) => {
                let known = address_of(server).or(self.peer);
                known.is_some_and(|known| is_same_network(known.to_canonical(), address.to_canonical()))
            }
            None => !server.is_ip() && is_same_domain(&server.host, &advertised.host),
        }
    }
}

fn address_of(server: &ServerAddress) -> Option<IpAddr> {
    // A zone (`fe80::1%eth0`) is this machine's affair.
    server.host.split('%').next().unwrap_or_default().parse().ok()
}

fn is_same_network(one: IpAddr, other: IpAddr) -> bool {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            let network = |address: Ipv4Addr, bits: u32| address.to_bits() >> (32 - bits);
            // Loopback, RFC 1918, RFC 6598 (carrier and cluster networks), link-local: whole.
            const INSIDE: [(Ipv4Addr, u32); 6] = [
                (Ipv4Addr::new(127, 0, 0, 0), 8),
                (Ipv4Addr::new(10, 0, 0, 0), 8),
                (Ipv4Addr::new(172, 16, 0, 0), 12),
                (Ipv4Addr::new(192, 168, 0, 0), 16),
                (Ipv4Addr::new(100, 64, 0, 0), 10),
                (Ipv4Addr::new(169, 254, 0, 0), 16),
            ];
            let is_inside =
                |address| INSIDE.iter().position(|(base, bits)| network(*base, *bits) == network(address, *bits));
            match (is_inside(one), is_inside(other)) {
                (None, None) => network(one, 24) == network(other, 24),
                (one, other) => one == other,
            }
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => {
            let network = |address: Ipv6Addr, bits: u32| address.to_bits() >> (128 - bits);
            let is_link_local = |address: Ipv6Addr| network(address, 10) == 0xfe80 >> 6;
            one == other
                || is_link_local(one) && is_link_local(other)
                // A unique local address (RFC 4193) has its owner in 48 bits.
                || network(one, 7) == 0xfc >> 1 && network(one, 48) == network(other, 48)
                || network(one, 64) == network(other, 64) && !one.is_loopback() && !other.is_loopback()
        }
        _ => false,
    }
}

/// Endings under which no registry sells names (RFC 6761, RFC 8375, ICANN's `internal`, Kubernetes).
const NOT_PUBLIC: [&str; 7] = ["local", "internal", "svc", "lan", "localhost", "test", "arpa"];

fn is_same_domain(one: &str, other: &str) -> bool {
    let lower = |name: &str| name.trim_end_matches('.').to_ascii_lowercase();
    let (one, other) = (lower(one), lower(other));
    if one == other || other.strip_suffix(&one).is_some_and(|below| below.ends_with('.') && one.contains('.')) {
        return true;
    }
    let (Some((_, domain)), Some((_, other_domain))) = (one.split_once('.'), other.split_once('.')) else {
        return false;
    };
    domain == other_domain && domain.rsplit('.').next().is_some_and(|last| NOT_PUBLIC.contains(&last))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAR: Origin = Origin { peer: None, secured: false, wants_tls: false, has_credentials: true };

    fn address(text: &str) -> ServerAddress {
        ServerAddress::parse(text).expect("it is an address")
    }

    #[test]
    fn sites() {
        let check = |server: &str, advertised: &str, expected: bool| {
            let trusted = CLEAR.trusts(&address(server), &address(advertised));
            assert_eq!(trusted, expected, "{server} advertises {advertised}");
        };
        for (one, other) in [
            ("127.0.0.1", "127.0.0.2:5"),
            ("10.0.0.1", "10.255.3.4"),
            ("172.16.0.1", "172.31.255.255"),
            ("192.168.1.1", "192.168.77.1"),
            ("100.64.0.1", "100.127.0.1"),
            ("203.0.113.7", "203.0.113.200"),
            ("[::ffff:10.0.0.1]", "10.0.0.2"),
            ("[fe80::1]", "[fe80::2]"),
            ("[fd12:3456:789a:1::1]", "[fd12:3456:789a:2::1]"),
            ("[2001:db8:0:1::1]", "[2001:db8:0:1:ffff::2]"),
            ("N1.nats.svc.", "n2.NATS.svc"),
            ("nats.example.com", "n1.nats.example.com"),
            ("nats-0.nats.prod.svc.cluster.local", "nats-1.nats.prod.svc.cluster.local"),
            ("nats-0.nats.svc", "nats-1.nats.svc"),
            ("a.local", "b.local"),
            ("a", "a:5"),
        ] {
            check(one, other, true);
        }
        for (one, other) in [
            ("127.0.0.1", "10.0.0.1"),
            ("10.0.0.1", "192.168.0.1"),
            ("172.16.0.1", "172.32.0.1"),
            ("10.0.0.1", "8.8.8.8"),
            ("203.0.113.7", "203.0.114.7"),
            ("10.0.0.1", "[fe80::1]"),
            ("[::1]", "[::2]"),
            ("[fd12:3456:789a:1::1]", "[fd12:3456:789b:1::1]"),
            ("[2001:db8:0:1::1]", "[2001:db8:0:2::1]"),
            ("10.0.0.1", "n1.example.com"),
            ("n1.nats.example.com", "10.0.0.1"),
            ("n1.nats.example.com", "n1.nats.example.org"),
            ("a.co.uk", "b.co.uk"),
            ("n1.nats.example.com", "n2.nats.example.com"),
            ("ec2-1-2-3-4.eu-west-1.compute.amazonaws.com", "ec2-5-6-7-8.eu-west-1.compute.amazonaws.com"),
            ("example.com", "evilexample.com"),
            ("com", "evil.com"),
            ("nats", "nats.dev"),
            ("nats-0.nats", "nats-1.nats"),
            ("a", "b"),
        ] {
            check(one, other, false);
        }
    }

    #[test]
    fn a_name_advertises_addresses_of_the_network_that_it_leads_to() {
        let through = |peer: &str| Origin { peer: Some(peer.parse().expect("an address")), ..CLEAR };
        let named = address("n1.nats.example.com");
        assert!(through("10.0.0.1").trusts(&named, &address("10.9.0.1")));
        assert!(!through("10.0.0.1").trusts(&named, &address("192.0.2.1")));
        assert!(!through("10.0.0.1").trusts(&address("10.0.0.1"), &address("n1.example.com")));
    }

    #[test]
    fn what_proves_the_server_or_has_nothing_to_lose_goes_anywhere() {
        let (server, elsewhere) = (address("10.0.0.1"), address("evil.example"));
        assert!(!CLEAR.trusts(&server, &elsewhere));
        assert!(Origin { wants_tls: true, ..CLEAR }.trusts(&server, &elsewhere));
        assert!(Origin { has_credentials: false, ..CLEAR }.trusts(&server, &elsewhere));
    }
}
