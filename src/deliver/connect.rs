//! TCP connections to one of several addresses, as RFC 8305 ("Happy Eyeballs") has it.
//!
//! The addresses are tried in their order. The next one begins when the one before has failed, or has not answered
//! within [`STAGGER`]; those begun earlier may still win. The stagger is shorter where the time does not suffice for
//! all addresses, so that one that never answers leaves time for the others. The first connection wins. All others are
//! dropped before any byte is sent on them.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::{socket, stream};
use pingora::{Error, ErrorType};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// The time that an address has before the next one is tried as well (RFC 8305 §5).
const STAGGER: Duration = Duration::from_millis(250);
/// The addresses that a message names; the others are counted.
const NAMED_MAX: usize = 4;

/// The result of trying several addresses.
#[derive(Debug, Default)]
pub(super) struct Race {
    pub(super) winner: Option<(TcpStream, SocketAddr)>,
    /// The addresses that failed, or had not answered when the race ended.
    pub(super) lost: Vec<Loss>,
}

/// An address without a connection.
#[derive(Debug)]
pub(super) struct Loss {
    pub(super) address: SocketAddr,
    /// The reason, for people.
    pub(super) why: String,
}

/// Races connections to `addresses` until `deadline`.
pub(super) async fn race(addresses: &[SocketAddr], deadline: Instant) -> Race {
    let began = Instant::now();
    let time = deadline.saturating_duration_since(began);
    let parts = u32::try_from(addresses.len()).unwrap_or(u32::MAX).saturating_add(1);
    let stagger = STAGGER.min(time / parts);
    let mut race = Race::default();
    let mut waiting = addresses.iter().copied();
    let mut under_way: JoinSet<(SocketAddr, io::Result<TcpStream>)> = JoinSet::new();
    let mut unanswered: Vec<(SocketAddr, Instant)> = Vec::new();
    let mut next_at = began;
    while waiting.len() > 0 || !unanswered.is_empty() {
        tokio::select! {
            biased;
            Some(ended) = under_way.join_next() => {
                let Ok((address, connected)) = ended else { break };
                unanswered.retain(|(other, _)| *other != address);
                match connected {
                    Ok(stream) => {
                        race.winner = Some((stream, address));
                        break;
                    }
                    Err(error) => race.lost.push(Loss { address, why: words_of(&error) }),
                }
                next_at = Instant::now();
            }
            () = sleep_until(next_at), if waiting.len() > 0 => {
                if let Some(address) = waiting.next() {
                    under_way.spawn(async move { (address, TcpStream::connect(address).await) });
                    unanswered.push((address, Instant::now()));
                    next_at = Instant::now() + stagger;
                }
            }
            () = sleep_until(deadline) => break,
        }
    }
    let silent = unanswered.into_iter().map(|(address, since)| {
        let waited = Duration::from_millis(u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX));
        Loss { address, why: format!("no answer within {waited:?}") }
    });
    race.lost.extend(silent);
    race
}

/// Lists the addresses, each with its failure.
pub(super) fn told(lost: &[Loss]) -> String {
    let named: Vec<String> =
        lost.iter().take(NAMED_MAX).map(|Loss { address, why }| format!("{address} ({why})")).collect();
    let more = lost.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", named.join(", "))
}

/// Describes the system's error in a word or two.
pub(super) fn words_of(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "refused".into(),
        io::ErrorKind::ConnectionReset => "reset".into(),
        io::ErrorKind::TimedOut => "timed out".into(),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "unreachable".into(),
        io::ErrorKind::BrokenPipe => "closed".into(),
        io::ErrorKind::UnexpectedEof => "cut off".into(),
        _ => error.to_string(),
    }
}

/// A connection that is already made, for pingora to go on with.
#[derive(Debug)]
pub(super) struct Ready(Mutex<Option<TcpStream>>);

impl Ready {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self(Mutex::new(Some(stream)))
    }
}

#[async_trait]
impl L4Connect for Ready {
    async fn connect(&self, _: &socket::SocketAddr) -> pingora::Result<stream::Stream> {
        let stream = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        stream.map(Into::into).ok_or_else(|| Error::explain(ErrorType::InternalError, "the connection is already used"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opens a listening socket, and returns it with its address.
    async fn listening() -> (tokio::net::TcpListener, SocketAddr) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// Makes an address at which a SYN gets no answer, because the queue of connections is full, while the result
    /// lives.
    async fn silent(ip: [u8; 4], port: u16) -> (tokio::net::TcpListener, Vec<TcpStream>) {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((ip, port).into()).unwrap();
        let listener = socket.listen(0).unwrap();
        let mut filling = Vec::new();
        for _ in 0..16 {
            let connecting = TcpStream::connect(listener.local_addr().unwrap());
            match tokio::time::timeout(Duration::from_millis(100), connecting).await {
                Ok(connected) => filling.push(connected.unwrap()),
                Err(_) => return (listener, filling),
            }
        }
        panic!("the queue of connections never fills up");
    }

    #[tokio::test]
    async fn an_address_that_refuses_costs_no_time() {
        let (_listener, alive) = listening().await;
        let dead = SocketAddr::from(([127, 0, 0, 2], alive.port()));
        let began = Instant::now();
        let race = race(&[dead, alive], began + Duration::from_secs(5)).await;
        assert_eq!(race.winner.unwrap().1, alive);
        assert_eq!(told(&race.lost), format!("{dead} (refused)"));
        assert!(began.elapsed() < STAGGER, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn an_address_that_never_answers_costs_a_quarter_of_a_second_and_leaves_time_for_the_others() {
        let (_listener, alive) = listening().await;
        let port = alive.port();
        let silent = [silent([127, 0, 0, 3], port).await, silent([127, 0, 0, 4], port).await];
        let [one, two] = [0, 1].map(|at| silent[at].0.local_addr().unwrap());
        for (within, most) in [(5_000, 1_000), (300, 300)] {
            let began = Instant::now();
            let race = race(&[one, two, alive], began + Duration::from_millis(within)).await;
            assert_eq!(race.winner.unwrap().1, alive, "within {within} ms");
            assert_eq!(race.lost.iter().map(|loss| loss.address).collect::<Vec<_>>(), [one, two]);
            assert!(began.elapsed() < Duration::from_millis(most), "{:?}", began.elapsed());
        }
    }

    #[tokio::test]
    async fn where_no_address_answers_each_is_named() {
        let silent = silent([127, 0, 0, 5], 0).await;
        let silent_at = silent.0.local_addr().unwrap();
        let dead = SocketAddr::from(([127, 0, 0, 2], silent_at.port()));
        let race = race(&[silent_at, dead], Instant::now() + Duration::from_millis(400)).await;
        assert!(race.winner.is_none());
        let told = told(&race.lost);
        assert!(told.starts_with(&format!("{dead} (refused), {silent_at} (no answer within ")), "{told}");
    }

    #[test]
    fn a_message_names_some_addresses_and_counts_the_others() {
        let loss = |last| Loss { address: SocketAddr::from(([10, 0, 0, last], 80)), why: "refused".into() };
        let told = told(&(1..=9).map(loss).collect::<Vec<_>>());
        assert!(told.ends_with("10.0.0.4:80 (refused) and 5 more"), "{told}");
        assert!(told.len() < 160, "{told}");
    }
}
