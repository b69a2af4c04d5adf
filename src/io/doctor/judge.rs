//! What the network's answers mean for calls.

use super::nat::{Nat, View};
use super::report::{Check, Finding, Verdict};
use super::stun::Asked;
use super::turn::{Relayed, Tried};
use crate::call::paths::{IcePolicy, Transport};

const NO_RELAY: &str = "run facetty serve on a machine that others can reach and name it with --server, or name a \
                        TURN server with --ice-server turn:USER:PASSWORD@HOST";

const BLOCKED: &str = "allow it in the firewall, here and at the server";

/// What is known of the ways to others.
pub(super) struct Network<'a> {
    pub(super) policy: IcePolicy,
    pub(super) stun: &'a [Asked],
    pub(super) view: &'a View,
    pub(super) turn: &'a [Tried],
}

impl Network<'_> {
    /// All lines about it.
    pub(super) fn judge(&self) -> Vec<Finding> {
        if self.stun.is_empty() && self.turn.is_empty() {
            let message = "no STUN and no TURN server is known: people on other networks may not be reached";
            let finding = match self.policy {
                IcePolicy::All => Finding::warning(Check::Stun, message, NO_RELAY),
                IcePolicy::Relay => Finding::failure(Check::TurnUdp, RELAY_WANTED, NO_RELAY),
            };
            return vec![finding];
        }
        let mut findings = self.stun();
        findings.extend(self.nat());
        findings.extend(self.turn());
        findings
    }

    fn has_relay(&self) -> bool {
        self.turn.iter().any(|tried| tried.result.is_ok())
    }

    fn stun(&self) -> Vec<Finding> {
        let answered: Vec<_> = self
            .stun
            .iter()
            .filter_map(|asked| Some((asked, asked.answer.as_ref().ok()?)))
            .collect();
        let mut findings = Vec::new();
        if let Some((asked, answer)) = answered.first() {
            // The same place answers at two ports; once is enough to be read.
            let others = answered
                .iter()
                .filter(|(other, _)| other.server.host != asked.server.host);
            let others = match others.count() {
                0 => String::new(),
                count => format!(", and {count} more"),
            };
            let message = format!(
                "seen as {} from {}{others}, {}",
                answer.mapped,
                asked.server.host,
                milliseconds(answer.took)
            );
            findings.push(
                Finding::ok(Check::Stun, message)
                    .with("mapped", answer.mapped.to_string())
                    .with("ms", rounded(answer.took)),
            );
        }
        for asked in self.stun {
            let Err(why) = &asked.answer else { continue };
            let finding = Finding::warning(
                Check::Stun,
                format!("{}: {why}", asked.server),
                remedy(why, "UDP", asked.server.port),
            );
            findings.push(match answered.is_empty() && !self.has_relay() {
                true => Finding {
                    verdict: Verdict::Failure,
                    ..finding
                },
                false => finding,
            });
        }
        findings
    }

    fn nat(&self) -> Option<Finding> {
        let nat = self.view.nat()?;
        let finding = match nat {
            Nat::None => Finding::ok(
                Check::Nat,
                "none on the way: others see this machine's own address",
            ),
            Nat::Open => Finding::ok(
                Check::Nat,
                "one port towards everyone, open to all ports of whom it was used for: direct paths work",
            ),
            Nat::PortRestricted => Finding::ok(
                Check::Nat,
                "port-restricted: one port towards everyone, open to whom it was used for: direct paths work",
            ),
            Nat::Independent => Finding::ok(Check::Nat, "one port towards everyone: direct paths work"),
            Nat::Symmetric if self.has_relay() => Finding::ok(
                Check::Nat,
                "symmetric: another port towards each destination; most calls go by the relay",
            ),
            Nat::Symmetric => Finding::failure(
                Check::Nat,
                "symmetric: another port towards each destination; only a relay joins two of these",
                NO_RELAY,
            ),
            Nat::Unknown => Finding::warning(
                Check::Nat,
                "of an unknown kind: one server answered, and it takes two to tell",
                "name a second one: --ice-server stun:HOST",
            ),
        };
        Some(finding.with("kind", nat.word()))
    }

    fn turn(&self) -> Vec<Finding> {
        if self.turn.is_empty() {
            return match self.policy {
                IcePolicy::Relay => vec![Finding::failure(Check::TurnUdp, RELAY_WANTED, NO_RELAY)],
                IcePolicy::All if self.view.nat() == Some(Nat::Symmetric) => Vec::new(),
                IcePolicy::All => vec![Finding::warning(
                    Check::TurnUdp,
                    "none is known: whom no direct path joins is not reached",
                    NO_RELAY,
                )],
            };
        }
        let mut findings: Vec<_> = self.turn.iter().map(|tried| self.relay(tried)).collect();
        findings.sort_by_key(|finding| finding.check);
        findings
    }

    fn relay(&self, tried: &Tried) -> Finding {
        let transport = tried.server.transport();
        let check = match transport {
            Transport::Udp => Check::TurnUdp,
            Transport::Tcp => Check::TurnTcp,
            Transport::Tls => Check::TurnTls,
        };
        let place = place(&tried.server.host, tried.server.port);
        let finding = match &tried.result {
            Ok(Relayed {
                address,
                took,
                echo: Some(echo),
            }) => Finding::ok(
                check,
                format!("{place} relays from {address}, {} there and back", milliseconds(*echo)),
            )
            .with("relayed", address.to_string())
            .with("allocated_ms", rounded(*took))
            .with("ms", rounded(*echo)),
            Ok(Relayed { address, took, .. }) => Finding::warning(
                check,
                format!("{place} relays from {address}, but a packet to itself does not come back"),
                "a server may refuse its own address as a peer (coturn: --allow-loopback-peers); see that its \
                 relay ports are open (UDP)",
            )
            .with("relayed", address.to_string())
            .with("allocated_ms", rounded(*took)),
            Err(why) => {
                let is_wrong = [REFUSED, BAD_TLS].iter().any(|wrong| why.starts_with(wrong));
                let is_needed = self.policy == IcePolicy::Relay
                    || matches!(self.view.nat(), None | Some(Nat::Symmetric));
                let verdict = match is_wrong || (is_needed && !self.has_relay()) {
                    true => Verdict::Failure,
                    false => Verdict::Warning,
                };
                let remedy = remedy(why, transport.name(), tried.server.port);
                Finding::ok(check, format!("{place}: {why}")).judged(verdict, remedy)
            }
        };
        finding.with("server", tried.server.url())
    }
}

const RELAY_WANTED: &str = "--ice-policy relay wants a relay, and none is known";

/// What [`crate::call::paths`] says of credentials that do not hold, and [`crate::io::servers`] of TLS.
const REFUSED: &str = "it refuses user and password";
const BAD_TLS: &str = "TLS fails";

/// What to do about it.
fn remedy(why: &str, transport: &str, port: u16) -> String {
    let carrier = if transport == "UDP" { "UDP" } else { "TCP" };
    if why.starts_with(REFUSED) {
        return "check the user and the password in --ice-server, or the server's secret".into();
    }
    if why.starts_with(BAD_TLS) {
        return "check its certificate's name and this machine's clock; a certificate of your own goes into a file \
                that SSL_CERT_FILE names"
            .into();
    }
    if why.contains("quota") {
        return "try again in ten minutes, or raise the server's quota for a user".into();
    }
    if why.contains("name") {
        return "check the host's name and this machine's network".into();
    }
    if why.contains("no route") {
        return "connect this machine to a network that leads there".into();
    }
    if why.contains("refused (os error") {
        return format!("see that the server runs, and listens on {carrier} port {port}");
    }
    if why == "no answer" {
        return format!("{carrier} to port {port} does not get through: {BLOCKED}");
    }
    "look into the server's log".into()
}

fn place(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

pub(super) fn milliseconds(time: std::time::Duration) -> String {
    let milliseconds = rounded(time);
    match milliseconds >= 10.0 {
        true => format!("{milliseconds:.0} ms"),
        false => format!("{milliseconds:.1} ms"),
    }
}

pub(super) fn rounded(time: std::time::Duration) -> f64 {
    crate::io::headless::round(time.as_secs_f64() * 1000.0, 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::nat::Seen;
    use super::super::stun::Answer;
    use super::*;

    fn stun(answer: Result<&str, &str>) -> Asked {
        Asked {
            server: "stun:meet.example.org".parse().expect("a server"),
            answer: match answer {
                Ok(mapped) => Ok(Answer {
                    mapped: mapped.parse().expect("an address"),
                    took: Duration::from_micros(12_340),
                }),
                Err(why) => Err(why.into()),
            },
        }
    }

    fn turn(url: &str, result: Result<bool, &str>) -> Tried {
        Tried {
            server: url.parse().expect(url),
            result: match result {
                Ok(echoes) => Ok(Relayed {
                    address: "203.0.113.1:50000".parse().expect("an address"),
                    took: Duration::from_millis(20),
                    echo: echoes.then_some(Duration::from_millis(8)),
                }),
                Err(why) => Err(why.into()),
            },
        }
    }

    /// A router with these ports towards two servers.
    fn view(ports: &[u16]) -> View {
        let seen = ports.iter().enumerate().map(|(at, port)| Seen {
            server: ([203, 0, 113, 1], 3478 + at as u16).into(),
            local: ([192, 168, 0, 2], 5000).into(),
            mapped: ([198, 51, 100, 9], *port).into(),
        });
        View {
            seen: seen.collect(),
            lets_others_in: Some(false),
        }
    }

    const UDP: &str = "turn:u:p@meet.example.org";
    const TCP: &str = "turn:u:p@meet.example.org?transport=tcp";
    const TLS: &str = "turns:u:p@meet.example.org:443";

    fn judged(policy: IcePolicy, stun: &[Asked], view: &View, turn: &[Tried]) -> Vec<(Check, Verdict)> {
        let network = Network {
            policy,
            stun,
            view,
            turn,
        };
        let findings = network.judge();
        for finding in &findings {
            assert_eq!(
                finding.remedy.is_some(),
                finding.verdict != Verdict::Ok,
                "{finding:?}"
            );
        }
        findings.iter().map(|f| (f.check, f.verdict)).collect()
    }

    #[test]
    fn where_a_relay_is_reached_in_one_way_others_may_be_blocked() {
        use Check::{Nat, Stun, TurnTcp, TurnTls, TurnUdp};
        use Verdict::{Failure, Ok as Fine, Warning};
        let (good, none) = ([stun(Ok("198.51.100.9:40000"))], [stun(Err("no answer"))]);
        let all = IcePolicy::All;
        let tried = [
            turn(TLS, Err("no answer")),
            turn(UDP, Ok(true)),
            turn(TCP, Err("Connection refused (os error 111)")),
        ];
        assert_eq!(
            judged(all, &good, &view(&[1, 1]), &tried),
            [
                (Stun, Fine),
                (Nat, Fine),
                (TurnUdp, Fine),
                (TurnTcp, Warning),
                (TurnTls, Warning)
            ]
        );
        // No UDP gets out: the relay by TCP will do.
        let tried = [turn(UDP, Err("no answer")), turn(TCP, Ok(true))];
        assert_eq!(
            judged(all, &none, &View::default(), &tried),
            [(Stun, Warning), (TurnUdp, Warning), (TurnTcp, Fine)]
        );
        let tried = [turn(UDP, Err("no answer")), turn(TCP, Err("no answer"))];
        assert_eq!(
            judged(all, &none, &View::default(), &tried),
            [(Stun, Failure), (TurnUdp, Failure), (TurnTcp, Failure)]
        );
        assert_eq!(
            judged(all, &good, &view(&[1, 1]), &tried),
            [(Stun, Fine), (Nat, Fine), (TurnUdp, Warning), (TurnTcp, Warning)],
            "direct paths work"
        );
        assert_eq!(
            judged(IcePolicy::Relay, &good, &view(&[1, 1]), &tried)[2..],
            [(TurnUdp, Failure), (TurnTcp, Failure)]
        );
    }

    #[test]
    fn a_symmetric_nat_needs_a_relay() {
        use Verdict::{Failure, Ok as Fine, Warning};
        let good = [stun(Ok("198.51.100.9:40000"))];
        let nat = |turn: &[Tried]| judged(IcePolicy::All, &good, &view(&[1, 2]), turn)[1..].to_vec();
        assert_eq!(nat(&[]), [(Check::Nat, Failure)]);
        assert_eq!(
            nat(&[turn(UDP, Ok(true))]),
            [(Check::Nat, Fine), (Check::TurnUdp, Fine)]
        );
        assert_eq!(
            nat(&[turn(UDP, Err("no answer"))]),
            [(Check::Nat, Failure), (Check::TurnUdp, Failure)]
        );
        assert_eq!(
            judged(IcePolicy::All, &good, &view(&[1]), &[])[1..],
            [(Check::Nat, Warning), (Check::TurnUdp, Warning)]
        );
    }

    #[test]
    fn what_is_wrong_on_purpose_or_by_mistake_is_a_failure_even_beside_one_that_works() {
        let good = [stun(Ok("198.51.100.9:40000"))];
        for why in [
            "it refuses user and password",
            "TLS fails: invalid peer certificate: UnknownIssuer",
        ] {
            let tried = [turn(UDP, Ok(true)), turn(TLS, Err(why))];
            let judged = judged(IcePolicy::All, &good, &view(&[1, 1]), &tried);
            assert_eq!(judged[3], (Check::TurnTls, Verdict::Failure), "{why}");
        }
        let silent = [turn(UDP, Ok(false))];
        let judged = judged(IcePolicy::All, &good, &view(&[1, 1]), &silent);
        assert_eq!(judged[2], (Check::TurnUdp, Verdict::Warning), "no echo");
    }

    #[test]
    fn without_any_server_one_line_says_so() {
        let nothing = View::default();
        assert_eq!(
            judged(IcePolicy::All, &[], &nothing, &[]),
            [(Check::Stun, Verdict::Warning)]
        );
        assert_eq!(
            judged(IcePolicy::Relay, &[], &nothing, &[]),
            [(Check::TurnUdp, Verdict::Failure)]
        );
    }
}
