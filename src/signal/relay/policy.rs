//! Whom a relay may send to. Without limits it is a way around the firewall before it, into the network
//! of whoever runs it (CVE-2020-26262, and others before).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether packets may be relayed to and from this address; `private`: to this machine and its network
/// too.
pub fn is_allowed(ip: IpAddr, private: bool) -> bool {
    match ip {
        IpAddr::V4(ip) => is_allowed_v4(ip, private),
        IpAddr::V6(ip) => is_allowed_v6(ip, private),
    }
}

fn is_allowed_v4(ip: Ipv4Addr, private: bool) -> bool {
    let [a, b, c, _] = ip.octets();
    // Nobody's address, or everybody's: "this network", multicast, reserved, broadcast.
    let never = a == 0 || a >= 224;
    let inside = ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        // Of a carrier's NAT (RFC 6598), for protocols (RFC 6890), for benchmarks (RFC 2544).
        || (a == 100 && (64..128).contains(&b))
        || (a, b, c) == (192, 0, 0)
        || (a == 198 && (18..20).contains(&b));
    !never && (private || !inside)
}

fn is_allowed_v6(ip: Ipv6Addr, private: bool) -> bool {
    // Those that mean an IPv4 address are judged by it: mapped (RFC 4291), NAT64 (RFC 6052), 6to4
    // (RFC 3056).
    let s = ip.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    if let Some(ip) = ip.to_ipv4_mapped() {
        return is_allowed_v4(ip, private);
    }
    if s[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        return is_allowed_v4(v4(s[6], s[7]), private);
    }
    if s[0] == 0x2002 {
        return is_allowed_v4(v4(s[1], s[2]), private);
    }
    // Tunnels (Teredo) and the local NAT64 prefix end who knows where.
    let never = ip.is_unspecified()
        || ip.is_multicast()
        || (s[0], s[1]) == (0x2001, 0)
        || s[..3] == [0x64, 0xff9b, 1]
        // Deprecated: IPv4-compatible.
        || (s[..6] == [0; 6] && !ip.is_loopback());
    let inside =
        ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unique_local() || s[0] & 0xffc0 == 0xfec0;
    !never && (private || !inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inside_is_closed_unless_it_is_opened() {
        let ip = |text: &str| text.parse::<IpAddr>().expect(text);
        for open in [
            "203.0.113.5",
            "8.8.8.8",
            "100.128.0.1",
            "2001:db8::1",
            "2a00::1",
            "64:ff9b::808:808",
        ] {
            assert!(is_allowed(ip(open), false), "{open}");
        }
        for inside in [
            "10.0.0.1",
            "172.16.3.4",
            "192.168.1.1",
            "127.0.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.8",
            "198.18.0.1",
            "::1",
            "fe80::1",
            "fd00::1",
            "fec0::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::1",
            "2002:c0a8:101::",
        ] {
            assert!(!is_allowed(ip(inside), false), "{inside}");
            assert!(is_allowed(ip(inside), true), "{inside}");
        }
        for never in [
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "239.1.2.3",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "ff02::1",
            "::ffff:224.0.0.1",
            "2001::1",
            "::10.0.0.1",
            "64:ff9b:1::1",
        ] {
            assert!(!is_allowed(ip(never), true), "{never}");
        }
    }
}
