//! Where this machine is seen from outside, and how the router before it behaves (RFC 5780): the same
//! socket asks several servers, and wants one answer from where it did not ask.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::time::{sleep_until, timeout_at};
use turn_types::stun::message::{Message, TransactionId};

use super::nat::{Seen, View};
use crate::call::paths::{Server, stun_answer, stun_request};
use crate::io::clock;
use crate::io::servers::{resolve, route};
use crate::signal::relay::{other_address_of, request_from_other_port};

/// A question is asked again after so long; the last answer is waited for as long.
const WAITS: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(600),
    Duration::from_millis(800),
];

/// The answer from another port comes at once or, where a router keeps it out, never.
const CHANGED_WAITS: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(400)];

/// More servers tell nothing more.
const MOST: usize = 6;

/// What one server answered, or why it did not.
pub(super) struct Asked {
    pub(super) server: Server,
    pub(super) answer: Result<Answer, String>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    /// The own address there.
    pub(super) mapped: SocketAddr,
    pub(super) took: Duration,
}

/// A question that is under way.
struct Question {
    to: SocketAddr,
    id: TransactionId,
    bytes: Vec<u8>,
    asked: Option<Instant>,
    answer: Option<(Answer, Option<SocketAddr>)>,
}

impl Question {
    fn new(to: SocketAddr, is_changed: bool) -> Self {
        let id = TransactionId::generate();
        Self {
            to,
            id,
            bytes: match is_changed {
                false => stun_request(id),
                true => request_from_other_port(id),
            },
            asked: None,
            answer: None,
        }
    }
}

/// Asks all servers; what it says of the router is for IPv4, or for IPv6 where nothing else answers.
pub(super) async fn ask(servers: Vec<Server>) -> (Vec<Asked>, View) {
    let mut places = Vec::new();
    for server in servers.into_iter().take(MOST) {
        let found = tokio::spawn({
            let (host, port) = (server.host.clone(), server.port);
            async move { resolve(&host, port).await }
        });
        places.push((server, found));
    }
    let mut asked = Vec::new();
    let mut resolved = Vec::new();
    for (server, found) in places {
        let address = match found.await {
            Ok(Ok(found)) => match found.iter().min_by_key(|(address, _)| address.is_ipv6()) {
                Some((address, _)) => Ok(*address),
                None => Err("there is no route to it".to_owned()),
            },
            Ok(Err(why)) => Err(why),
            Err(error) => Err(error.to_string()),
        };
        match address {
            Ok(address) => resolved.push((server, address)),
            Err(why) => asked.push(Asked {
                server,
                answer: Err(why),
            }),
        }
    }
    let mut view = View::default();
    for is_v6 in [false, true] {
        let of_family: Vec<_> = resolved
            .extract_if(.., |(_, address)| address.is_ipv6() == is_v6)
            .collect();
        if of_family.is_empty() {
            continue;
        }
        let addresses: Vec<_> = of_family.iter().map(|(_, address)| *address).collect();
        let (answers, seen) = match ask_family(&addresses, is_v6).await {
            Ok(asked) => asked,
            Err(error) => {
                let why = format!("no UDP socket can be opened: {error}");
                (vec![Err(why); addresses.len()], View::default())
            }
        };
        if view.seen.is_empty() {
            view = seen;
        }
        let of_family = of_family.into_iter().zip(answers);
        asked.extend(of_family.map(|((server, _), answer)| Asked { server, answer }));
    }
    (asked, view)
}

type Answers = Vec<Result<Answer, String>>;

async fn ask_family(servers: &[SocketAddr], is_v6: bool) -> std::io::Result<(Answers, View)> {
    let any: IpAddr = match is_v6 {
        false => Ipv4Addr::UNSPECIFIED.into(),
        true => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    let port = socket.local_addr()?.port();
    let mut questions: Vec<_> = servers.iter().map(|to| Question::new(*to, false)).collect();
    exchange(&socket, &mut questions, &WAITS).await;
    // A server's other address is one more view of the router.
    let mut named: Vec<_> = questions
        .iter()
        .filter_map(|question| {
            let (_, other) = question.answer?;
            Some((question.to, other?))
        })
        .filter(|(to, other)| to.is_ipv4() == other.is_ipv4())
        .collect();
    named.truncate(2);
    let known = |address: &SocketAddr| servers.contains(address);
    let mut more: Vec<_> = named
        .iter()
        .filter(|(_, other)| !known(other))
        .map(|(_, other)| Question::new(*other, false))
        .collect();
    // From where it was not asked; one is enough, and it must not have been sent to before.
    let fresh = UdpSocket::bind((any, 0)).await?;
    let mut changed: Vec<_> = named
        .iter()
        .take(1)
        .map(|(to, _)| Question::new(*to, true))
        .collect();
    tokio::join!(
        exchange(&socket, &mut more, &CHANGED_WAITS),
        exchange(&fresh, &mut changed, &CHANGED_WAITS),
    );
    let seen = questions.iter().chain(&more).filter_map(|question| {
        let (answer, _) = question.answer?;
        let local = route(question.to).ok()?;
        Some(Seen {
            server: question.to,
            local: (local, port).into(),
            mapped: answer.mapped,
        })
    });
    let view = View {
        seen: seen.collect(),
        lets_others_in: changed.first().map(|question| question.answer.is_some()),
    };
    let answers = questions.iter().map(|question| match question.answer {
        Some((answer, _)) => Ok(answer),
        None => Err("no answer".to_owned()),
    });
    Ok((answers.collect(), view))
}

/// Asks until all are answered, or the last wait is over.
async fn exchange(socket: &UdpSocket, questions: &mut [Question], waits: &[Duration]) {
    let mut buffer = [0; 1500];
    for wait in waits {
        for question in questions.iter_mut().filter(|question| question.answer.is_none()) {
            // What cannot be sent is not answered.
            let _ = socket.send_to(&question.bytes, question.to).await;
            question.asked.get_or_insert(clock::now());
        }
        let until = clock::now() + *wait;
        while questions.iter().any(|question| question.answer.is_none()) {
            match timeout_at(until.into(), socket.recv_from(&mut buffer)).await {
                Ok(Ok((length, _))) => take(questions, &buffer[..length]),
                // An ICMP error of before.
                Ok(Err(_)) => sleep_until((clock::now() + Duration::from_millis(1)).into()).await,
                Err(_) => break,
            }
        }
    }
}

fn take(questions: &mut [Question], bytes: &[u8]) {
    let Ok(message) = Message::from_bytes(bytes) else {
        return;
    };
    let id = message.transaction_id();
    let Some(question) = questions.iter_mut().find(|question| question.id == id) else {
        return;
    };
    let (Some(mapped), Some(asked)) = (stun_answer(&message), question.asked) else {
        return;
    };
    let took = clock::now().saturating_duration_since(asked);
    question.answer = Some((Answer { mapped, took }, other_address_of(&message)));
}
