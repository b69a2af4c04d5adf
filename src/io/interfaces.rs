//! The addresses of this machine, and word of when they change.
//!
//! Which of them are worth a socket each: every address is one more to try with each of the others', so
//! those that lead nowhere by themselves are left out while there are better ones.

use std::io;
use std::net::{IpAddr, Ipv6Addr};

use if_addrs::Interface;

#[cfg(any(target_os = "linux", target_os = "macos"))]
pub use self::watch::Watch;

/// The most addresses that get a socket.
const MAX_ADDRESSES: usize = 16;

/// Interfaces of containers and virtual machines, which lead to those on this machine alone; they are
/// reached from every other address as well.
const VIRTUAL: [&str; 12] = [
    "docker", "br-", "veth", "virbr", "vmnet", "vboxnet", "lxcbr", "lxdbr", "cni", "podman", "flannel",
    "cali",
];

/// What the interfaces look like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The addresses that are worth a socket.
    pub addresses: Vec<IpAddr>,
    /// Where packets to elsewhere would leave from.
    routes: Vec<IpAddr>,
    /// Addresses whose cable is in.
    running: Vec<IpAddr>,
}

impl Snapshot {
    /// Looks at the interfaces. `bound`: addresses that have a socket; they stay as long as they can.
    ///
    /// # Errors
    /// Where the system does not tell.
    pub fn take(bound: &[IpAddr]) -> io::Result<Self> {
        let interfaces = if_addrs::get_if_addrs()?;
        let fleeting = fleeting();
        let mut running: Vec<IpAddr> = interfaces
            .iter()
            .filter(|interface| interface.is_oper_up())
            .map(Interface::ip)
            .collect();
        running.sort();
        let found = interfaces.iter().map(|interface| Found {
            ip: interface.ip(),
            running: interface.is_oper_up(),
            virtual_: VIRTUAL.iter().any(|name| interface.name.starts_with(name)),
            passing: fleeting.contains(&interface.ip()),
        });
        Ok(Self {
            addresses: chosen(found.collect(), bound),
            routes: ELSEWHERE
                .iter()
                .filter_map(|to| super::servers::route(*to).ok())
                .collect(),
            running,
        })
    }
}

/// Addresses in the documentation's ranges (RFC 5737, RFC 3849): as far away as any other. Nothing is sent.
const ELSEWHERE: [std::net::SocketAddr; 2] = [
    std::net::SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 9),
    std::net::SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 9),
];

/// An address as it was found.
#[derive(Clone, Copy, Debug)]
struct Found {
    ip: IpAddr,
    /// Its interface is up and has a carrier.
    running: bool,
    /// Its interface leads to this machine alone.
    virtual_: bool,
    /// It is on its way out, or not checked for duplicates yet (RFC 4862, 5.4 and 5.5.4).
    passing: bool,
}

fn chosen(mut found: Vec<Found>, bound: &[IpAddr]) -> Vec<IpAddr> {
    // They need a scope, which a candidate cannot carry.
    found.retain(|found| match found.ip {
        IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_unspecified(),
        IpAddr::V6(v6) => !v6.is_unicast_link_local() && !v6.is_unspecified(),
    });
    found.retain(|found| !found.passing || bound.contains(&found.ip));
    prefer(&mut found, |found| !found.ip.is_loopback());
    prefer(&mut found, |found| !found.virtual_);
    // A cable that is out keeps its address, and gets it back with the same mappings at the router; while
    // there is another way, nothing is to be sent there.
    prefer(&mut found, |found| found.running);
    let mut addresses: Vec<IpAddr> = found.into_iter().map(|found| found.ip).collect();
    addresses.sort();
    addresses.dedup();
    addresses.truncate(MAX_ADDRESSES);
    addresses
}

/// Keeps those that are better, if there are any.
fn prefer(found: &mut Vec<Found>, is_better: impl Fn(&Found) -> bool) {
    if found.iter().any(&is_better) {
        found.retain(is_better);
    }
}

/// IPv6 addresses that are deprecated, tentative, or found to be another's too.
#[cfg(target_os = "linux")]
fn fleeting() -> Vec<IpAddr> {
    let table = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    table.lines().filter_map(fleeting_of).collect()
}

#[cfg(not(target_os = "linux"))]
fn fleeting() -> Vec<IpAddr> {
    Vec::new()
}

/// A line of Linux's table: address, index, length of the prefix, scope, flags, name.
#[cfg(target_os = "linux")]
fn fleeting_of(line: &str) -> Option<IpAddr> {
    const DAD_FAILED: u8 = 0x08;
    const DEPRECATED: u8 = 0x20;
    const TENTATIVE: u8 = 0x40;
    let mut fields = line.split_ascii_whitespace();
    let address = u128::from_str_radix(fields.next()?, 16).ok()?;
    let flags = u8::from_str_radix(fields.nth(3)?, 16).ok()?;
    let is_fleeting = flags & (DAD_FAILED | DEPRECATED | TENTATIVE) != 0;
    is_fleeting.then(|| Ipv6Addr::from(address).into())
}

/// The kernel's word of changes: a socket that can be read when there was one. What the messages say is not
/// read; the interfaces are looked at anew.
#[cfg(any(target_os = "linux", target_os = "macos"))]
mod watch {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::time::{Duration, Instant};

    use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socket_with};
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    use crate::io::clock;

    /// An address comes with its routes, in several messages; they are waited for.
    const SETTLED_AFTER: Duration = Duration::from_millis(20);

    /// Waits for changes.
    pub struct Watch {
        socket: AsyncFd<OwnedFd>,
        /// Something changed; told when this has passed.
        due: Option<Instant>,
    }

    impl Watch {
        /// From now on.
        ///
        /// # Errors
        /// Where the system offers no such socket.
        pub fn new() -> io::Result<Self> {
            #[expect(
                deprecated,
                reason = "its successor is unsafe; an OwnedFd is nobody else's to close"
            )]
            let socket = AsyncFd::with_interest(open()?, Interest::READABLE)?;
            Ok(Self { socket, due: None })
        }

        /// Waits for a change. Cancel-safe.
        ///
        /// # Errors
        /// Where the kernel's word cannot be heard any more.
        pub async fn changed(&mut self) -> io::Result<()> {
            loop {
                let Some(due) = self.due else {
                    self.drain().await?;
                    self.due = Some(clock::now() + SETTLED_AFTER);
                    continue;
                };
                tokio::select! {
                    () = tokio::time::sleep_until(due.into()) => {
                        self.due = None;
                        return Ok(());
                    }
                    drained = self.drain() => drained?,
                }
            }
        }

        /// Waits for messages and throws them away.
        async fn drain(&self) -> io::Result<()> {
            let mut ready = self.socket.readable().await?;
            let mut buffer = [0; 8192];
            loop {
                match recv(self.socket.get_ref(), &mut buffer, RecvFlags::empty()) {
                    Ok(_) => {}
                    Err(rustix::io::Errno::WOULDBLOCK) => {
                        ready.clear_ready();
                        return Ok(());
                    }
                    // More happened than the kernel kept: which is a change.
                    Err(rustix::io::Errno::NOBUFS) => {}
                    Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    #[cfg(target_os = "linux")]
    fn open() -> io::Result<OwnedFd> {
        use rustix::net::bind;
        use rustix::net::netlink::SocketAddrNetlink;

        // `RTMGRP_…` of <linux/rtnetlink.h>.
        const LINK: u32 = 1;
        const IPV4_ADDRESS: u32 = 0x10;
        const IPV4_ROUTE: u32 = 0x40;
        const IPV6_ADDRESS: u32 = 0x100;
        const IPV6_ROUTE: u32 = 0x400;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        let groups = LINK | IPV4_ADDRESS | IPV4_ROUTE | IPV6_ADDRESS | IPV6_ROUTE;
        bind(&socket, &SocketAddrNetlink::new(0, groups))?;
        Ok(socket)
    }

    /// A routing socket hears of links, addresses and routes (route(4)).
    #[cfg(target_os = "macos")]
    fn open() -> io::Result<OwnedFd> {
        let socket = socket_with(AddressFamily::ROUTE, SocketType::RAW, SocketFlags::empty(), None)?;
        rustix::io::ioctl_fioclex(&socket)?;
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(socket)
    }
}

/// Where the system does not say, nothing ever changes.
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub struct Watch;

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
impl Watch {
    /// Of nothing.
    pub fn new() -> io::Result<Self> {
        Ok(Self)
    }

    /// Never.
    pub async fn changed(&mut self) -> io::Result<()> {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(ip: &str) -> Found {
        Found {
            ip: ip.parse().expect("an address"),
            running: true,
            virtual_: false,
            passing: false,
        }
    }

    fn chosen_of(found: &[Found], bound: &[&str]) -> Vec<String> {
        let bound: Vec<IpAddr> = bound.iter().map(|ip| ip.parse().expect("an address")).collect();
        chosen(found.to_vec(), &bound)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn what_leads_somewhere_is_preferred() {
        let local = [
            found("127.0.0.1"),
            found("::1"),
            found("169.254.7.7"),
            found("fe80::1"),
        ];
        assert_eq!(
            chosen_of(&local, &[]),
            ["127.0.0.1", "::1"],
            "better than nothing"
        );
        let bridge = Found {
            virtual_: true,
            ..found("172.17.0.1")
        };
        assert_eq!(chosen_of(&[&local[..], &[bridge]].concat(), &[]), ["172.17.0.1"]);
        let all = [&local[..], &[bridge, found("2001:db8::7"), found("192.168.1.7")]].concat();
        assert_eq!(chosen_of(&all, &[]), ["192.168.1.7", "2001:db8::7"]);
    }

    #[test]
    fn an_address_on_its_way_out_is_kept_but_not_begun_with() {
        let old = Found {
            passing: true,
            ..found("2001:db8::1")
        };
        let both = [old, found("2001:db8::2")];
        assert_eq!(chosen_of(&both, &[]), ["2001:db8::2"]);
        assert_eq!(chosen_of(&both, &["2001:db8::1"]), ["2001:db8::1", "2001:db8::2"]);
    }

    #[test]
    fn a_cable_that_is_out_is_kept_while_there_is_no_other_way() {
        let out = Found {
            running: false,
            ..found("192.168.1.7")
        };
        assert_eq!(
            chosen_of(&[out, found("127.0.0.1")], &["192.168.1.7"]),
            ["192.168.1.7"]
        );
        assert_eq!(
            chosen_of(&[out, found("10.9.8.7")], &["192.168.1.7"]),
            ["10.9.8.7"]
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernels_table_says_what_is_fleeting() {
        for (flags, is_fleeting) in [
            ("80", false),
            ("00", false),
            ("20", true),
            ("c0", true),
            ("88", true),
        ] {
            let line = format!("20010db8000000000000000000000001 02 40 00 {flags}     eth0");
            let wanted = is_fleeting.then(|| "2001:db8::1".parse().expect("an address"));
            assert_eq!(fleeting_of(&line), wanted, "{flags}");
        }
        for line in ["", "xyz", "20010db8000000000000000000000001 02"] {
            assert_eq!(fleeting_of(line), None);
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_snapshot_is_like_the_next_when_nothing_happens() {
        let first = Snapshot::take(&[]).expect("interfaces");
        assert!(!first.addresses.is_empty());
        assert_eq!(
            Snapshot::take(&first.addresses).expect("interfaces").addresses,
            first.addresses
        );
        Watch::new().expect("a socket");
    }
}
