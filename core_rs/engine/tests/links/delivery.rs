//! Whatever is sent, cut, held and resumed: every message arrives once, in order, and nothing stays behind.

use proptest::prelude::*;
use scaler_engine::wire::Role;

use crate::pair::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    Dial { bytes: usize },
    DialExpress,
    Accept { bytes: usize },
    AcceptExpress,
    Transmit,
    DeliverToAcceptor,
    DeliverToDialer,
    Settle,
    Cut,
    HoldAcceptor(bool),
    HoldDialer(bool),
    Wait { us: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = prop_oneof![4 => 0..1_000_usize, 1 => 1..6_000_000_usize];
    prop_oneof![
        4 => bytes.clone().prop_map(|bytes| Step::Dial { bytes }),
        1 => Just(Step::DialExpress),
        4 => bytes.prop_map(|bytes| Step::Accept { bytes }),
        1 => Just(Step::AcceptExpress),
        6 => Just(Step::Transmit),
        4 => Just(Step::DeliverToAcceptor),
        4 => Just(Step::DeliverToDialer),
        1 => Just(Step::Settle),
        2 => Just(Step::Cut),
        1 => any::<bool>().prop_map(Step::HoldAcceptor),
        1 => any::<bool>().prop_map(Step::HoldDialer),
        1 => (0..50_000_u64).prop_map(|us| Step::Wait { us }),
    ]
}

/// Numbers of what either side has sent: those that take credit count up from 0, the others from 1,000,000.
#[derive(Default)]
struct Sent {
    credit: u64,
    express: u64,
}

const EXPRESS: u64 = 1_000_000;

impl Sent {
    fn credit(&mut self, bytes: usize) -> Message {
        self.credit += 1;
        sized(self.credit - 1, bytes)
    }

    fn express(&mut self) -> Message {
        self.express += 1;
        express(EXPRESS + self.express - 1)
    }

    fn check(&self, got: &[u64]) {
        let (credit, express): (Vec<u64>, Vec<u64>) =
            got.iter().partition(|number| **number < EXPRESS);
        assert_eq!(credit, (0..self.credit).collect::<Vec<_>>());
        assert_eq!(
            express,
            (EXPRESS..EXPRESS + self.express).collect::<Vec<_>>()
        );
    }
}

fn take(pair: &mut Pair, step: Step, dialed: &mut Sent, accepted: &mut Sent) {
    match step {
        Step::Dial { bytes } => pair.dialer.send(dialed.credit(bytes)),
        Step::DialExpress => pair.dialer.send(dialed.express()),
        Step::Accept { bytes } => pair.acceptor.send(LINK, accepted.credit(bytes)),
        Step::AcceptExpress => pair.acceptor.send(LINK, accepted.express()),
        Step::Transmit => pair.transmit(),
        Step::DeliverToAcceptor => drop(pair.deliver_to_acceptor()),
        Step::DeliverToDialer => drop(pair.deliver_to_dialer()),
        Step::Settle => pair.settle(),
        Step::Cut => {
            pair.cut();
            pair.connect();
        }
        Step::HoldAcceptor(held) => pair.acceptor.hold(LINK, held),
        Step::HoldDialer(held) => pair.dialer.hold(held),
        Step::Wait { us } => pair.now += us,
    }
    assert!(!pair.dialer.wants_close(), "{step:?}");
    assert_eq!(pair.acceptor.poll_close(), None, "{step:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_message_arrives_once_and_in_order(steps in prop::collection::vec(step(), 0..120)) {
        let mut pair = Pair::connected(Role::Client);
        let (mut dialed, mut accepted) = (Sent::default(), Sent::default());
        for step in steps {
            take(&mut pair, step, &mut dialed, &mut accepted);
        }
        pair.acceptor.hold(LINK, false);
        pair.dialer.hold(false);
        pair.run_for(SECOND);
        dialed.check(&pair.accepted());
        accepted.check(&pair.dialed());
        prop_assert_eq!((pair.dialer.backlog(), pair.acceptor.backlog(LINK)), (0, 0));
        prop_assert!(pair.dialer.link().is_idle() && pair.dialer.credit());
    }
}

#[test]
fn a_held_sender_keeps_no_more_than_its_window() {
    let mut pair = Pair::connected(Role::Client);
    pair.acceptor.hold(LINK, true);
    for number in 0..20 {
        pair.dialer.send(sized(number, 4 << 20));
        pair.settle();
    }
    assert_eq!(pair.accepted(), [0, 1, 2]);
    pair.reconnect();
    assert_eq!(pair.accepted(), [0, 1, 2]);
    assert_eq!(pair.dialer.backlog(), 17 * (4 << 20));
    pair.acceptor.hold(LINK, false);
    pair.run_for(SECOND);
    assert_eq!(pair.accepted(), (0..20).collect::<Vec<_>>());
}

#[test]
fn a_frame_cut_on_its_way_is_not_delivered_twice() {
    let mut pair = Pair::connected(Role::Client);
    pair.dialer.send(numbered(1));
    pair.transmit();
    pair.deliver_to_acceptor();
    pair.reconnect();
    pair.run_for(SECOND);
    assert_eq!(pair.accepted(), [1]);
}

/// The properties above can fail: each planted mistake breaks one of them.
#[cfg(feature = "planted")]
mod planted {
    use scaler_engine::link::Bugs;

    use super::*;

    #[test]
    fn frames_sent_again_under_new_numbers_are_delivered_twice() {
        let mut pair = Pair::connected(Role::Client);
        pair.dialer.set_bugs(Bugs {
            resend_without_sequence: true,
            ..Bugs::default()
        });
        pair.dialer.send(numbered(1));
        pair.transmit();
        pair.deliver_to_acceptor();
        pair.reconnect();
        assert_eq!(pair.accepted(), [1, 1]);
    }

    #[test]
    fn a_forgotten_acknowledgement_stops_its_peer() {
        let mut pair = Pair::connected(Role::Client);
        pair.dialer.set_bugs(Bugs {
            forget_acknowledgement: true,
            ..Bugs::default()
        });
        for number in 0..10 {
            pair.dialer.send(numbered(number));
            pair.transmit();
            pair.dialer.send(express(100 + number));
            pair.settle();
        }
        pair.run_for(60 * SECOND);
        assert!(pair.accepted().len() < 20, "{:?}", pair.accepted());
    }
}
