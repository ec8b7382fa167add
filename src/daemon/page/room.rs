//! How many connections there may be, and which one gives way to the next.
//!
//! A connection is a guest's until a request on it has shown that it may see the device. Guests never fill the room: where
//! there are many, one of them is closed for the next, first the oldest of an address that has more than a browser opens.
//! Whoever has the token is let in, whatever others send.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

/// Guests at once.
const GUESTS: usize = 24;
/// Connections of one address that a browser may open at once.
const FAIR: usize = 6;
/// Connections at once that may see the device: four pages with two each, scrapers, and those that hang for a while.
const ADMITTED: usize = 16;
/// Between two lines of the log about guests that give way.
const QUIET: Duration = Duration::from_secs(60);

/// Where a connection comes from, as far as limits tell apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// An address.
    V4(Ipv4Addr),
    /// The first 64 bits of an address: the rest is the other end's choice.
    V6([u16; 4]),
    /// A user of this machine; `None` where the system does not say which.
    User(Option<u32>),
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::V4(ip) => write!(f, "{ip}"),
            Self::V6([a, b, c, d]) => write!(f, "{}/64", Ipv6Addr::new(*a, *b, *c, *d, 0, 0, 0, 0)),
            Self::User(Some(uid)) => write!(f, "uid {uid}"),
            Self::User(None) => f.write_str("unix"),
        }
    }
}

/// The other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Peer {
    /// For limits.
    pub(super) source: Source,
    /// For logs: address and port, or the user.
    pub(super) name: String,
}

impl Peer {
    /// The other end of a TCP connection.
    pub(super) fn tcp(address: SocketAddr) -> Self {
        let source = match address.ip().to_canonical() {
            IpAddr::V4(ip) => Source::V4(ip),
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                Source::V6([a, b, c, d])
            }
        };
        Self { source, name: address.to_string() }
    }

    /// The other end of a Unix socket.
    pub(super) fn user(uid: Option<u32>) -> Self {
        Self { source: Source::User(uid), name: Source::User(uid).to_string() }
    }
}

/// A connection.
struct Seat {
    number: u64,
    source: Source,
    is_guest: bool,
    /// Dropped with the seat: the connection is closed.
    _leave: oneshot::Sender<()>,
}

/// All connections, the oldest first.
#[derive(Default)]
pub(super) struct Room {
    seats: Vec<Seat>,
    last_number: u64,
    told: Option<Instant>,
}

/// What a connection holds while it is open.
pub(super) struct Place {
    room: Rc<RefCell<Room>>,
    number: u64,
}

impl Room {
    /// A connection comes. The receiver ends once it has to go.
    pub(super) fn enter(room: &Rc<RefCell<Self>>, source: Source) -> (Place, oneshot::Receiver<()>) {
        let (leave, left) = oneshot::channel();
        let mut all = room.borrow_mut();
        all.make_room();
        all.last_number += 1;
        let number = all.last_number;
        all.seats.push(Seat { number, source, is_guest: true, _leave: leave });
        (Place { room: Rc::clone(room), number }, left)
    }

    fn guests(&self) -> impl Iterator<Item = &Seat> {
        self.seats.iter().filter(|seat| seat.is_guest)
    }

    /// Closes a guest's connection where there are too many.
    fn make_room(&mut self) {
        if self.guests().count() < GUESTS {
            return;
        }
        let count = |source: &Source| self.guests().filter(|seat| seat.source == *source).count();
        let most = self.guests().map(|seat| (count(&seat.source), &seat.source)).max_by_key(|(n, _)| *n);
        let crowd = most.filter(|(n, _)| *n > FAIR).map(|(_, source)| source);
        let goes = |seat: &Seat| seat.is_guest && crowd.is_none_or(|source| seat.source == *source);
        let Some(at) = self.seats.iter().position(goes) else { return };
        let seat = self.seats.remove(at);
        let now = Instant::now();
        if self.told.is_none_or(|told| now - told >= QUIET) {
            self.told = Some(now);
            tracing::warn!(
                source = %seat.source,
                "page: {GUESTS} connections wait that have shown no token; the oldest of an address gives way"
            );
        }
    }
}

impl Place {
    /// A request has shown that it may see the device: from here on nobody takes the place. False where too many have.
    pub(super) fn admit(&self) -> bool {
        let mut room = self.room.borrow_mut();
        let admitted = room.seats.iter().filter(|seat| !seat.is_guest).count();
        match room.seats.iter_mut().find(|seat| seat.number == self.number) {
            Some(seat) if !seat.is_guest => true,
            Some(seat) if admitted < ADMITTED => {
                seat.is_guest = false;
                true
            }
            _ => false,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.borrow_mut().seats.retain(|seat| seat.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(last: u8) -> Source {
        Source::V4(Ipv4Addr::new(192, 0, 2, last))
    }

    /// Whether a connection has been told to go.
    fn is_out(left: &mut oneshot::Receiver<()>) -> bool {
        !matches!(left.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }

    #[test]
    fn a_crowd_of_one_address_closes_its_own_connections_alone() {
        let room = Rc::default();
        let (_operator, mut operator_left) = Room::enter(&room, source(1));
        let mut crowd: Vec<_> = (0..200).map(|_| Room::enter(&room, source(2))).collect();
        assert!(!is_out(&mut operator_left));
        let stay = crowd.iter_mut().filter_map(|(_, left)| (!is_out(left)).then_some(())).count();
        assert_eq!(stay, GUESTS - 1);
        assert!(is_out(&mut crowd[0].1) && !is_out(&mut crowd[199].1), "the oldest goes first");
        drop(crowd);
        assert_eq!(room.borrow().seats.len(), 1, "each takes its seat with it");
    }

    #[test]
    fn many_addresses_keep_nobody_out() {
        let room = Rc::default();
        let mut crowd: Vec<_> = (0..100).map(|i| Room::enter(&room, source(100 + i % 50))).collect();
        // As a browser does.
        let mut pages: Vec<_> = (0..FAIR).map(|_| Room::enter(&room, source(1))).collect();
        assert!(pages.iter_mut().all(|(_, left)| !is_out(left)));
        let stay = crowd.iter_mut().filter_map(|(_, left)| (!is_out(left)).then_some(())).count();
        assert_eq!(stay + pages.len(), GUESTS);
    }

    #[test]
    fn who_has_shown_the_token_stays() {
        let room = Rc::default();
        let mut pages: Vec<_> = (0..ADMITTED).map(|_| Room::enter(&room, source(1))).collect();
        assert!(pages.iter().all(|(place, _)| place.admit() && place.admit()));
        let crowd: Vec<_> = (0..100).map(|_| Room::enter(&room, source(1))).collect();
        assert!(pages.iter_mut().all(|(_, left)| !is_out(left)));
        assert!(!crowd[99].0.admit(), "too many");
        assert!(!crowd[0].0.admit(), "it has been closed");
        pages.pop();
        assert!(crowd[99].0.admit(), "there is room again");
    }

    #[test]
    fn addresses_of_one_network_are_one_source() {
        let of = |text: &str| Peer::tcp(text.parse().expect("an address")).source;
        assert_eq!(of("192.0.2.7:1"), of("192.0.2.7:2"));
        assert_eq!(of("[::ffff:192.0.2.7]:1"), of("192.0.2.7:2"));
        assert_ne!(of("192.0.2.7:1"), of("192.0.2.8:1"));
        assert_eq!(of("[2001:db8::1]:1"), of("[2001:db8::ffff:1]:2"));
        assert_ne!(of("[2001:db8::1]:1"), of("[2001:db8:0:1::1]:1"));
        assert_eq!(of("[2001:db8::1]:1").to_string(), "2001:db8::/64");
        assert_eq!(Peer::user(Some(0)).name, "uid 0");
        assert_eq!(Peer::user(None).name, "unix");
    }
}
